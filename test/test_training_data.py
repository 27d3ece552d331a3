import copy
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_images import walkers, write_chunk
from photographed_people import human36m_labels, write_human36m

from pandapose_ros.config import TrainConfig, TrainDataConfig
from pandapose_ros.data.image_features import check_features, make_features
from pandapose_ros.data.image_samples import ImageSampleSet, save_image_samples
from pandapose_ros.data.motion import take_apart
from pandapose_ros.evaluation.skeleton_views import skeleton_views
from pandapose_ros.evaluation.views import KeypointSource
from pandapose_ros.landmark_weights import save_backbone
from pandapose_ros.training.batches import BatchSource
from pandapose_ros.training.distribution import Share

CONFIG = TrainConfig(batch=2, image_batch=2, held_out_share=0.4)
WAIT = """
import sys
from pathlib import Path
from torch import distributed
from pandapose_ros.training.distribution import shared_training
with shared_training("cpu") as share:
    share.wait()
    group = distributed.distributed_c10d._get_default_group()
    timeout = group._get_backend(share.device).options._timeout
    Path(sys.argv[1], str(share.rank)).write_text(str(timeout.total_seconds() / 3600))
"""


@pytest.fixture
def images(tmp_path):
    """A folder of two rendered people."""
    write_chunk(tmp_path / "images" / "chunk_0000.npz", walkers(70))
    return tmp_path / "images"


@pytest.fixture
def motion(tmp_path):
    """Three clips of one kind, of people who are not quite straight."""
    rng = np.random.default_rng(0)
    joints = walkers(140)[0].joints * (1, -1, -1)
    clips = {f"c{i}": (joints + rng.normal(0, 0.03, (9, 17, 3))).astype("f4") for i in range(3)}
    np.savez(tmp_path / "motion.npz", **clips)
    return str(tmp_path / "motion.npz")


def test_features_are_kept_and_not_taken_for_those_of_other_images(images, tmp_path):
    data, folder = TrainDataConfig(images=str(images)), tmp_path / "features"
    make_features(data, folder)
    assert len(ImageSampleSet(folder)) == 2
    written = (folder / "chunk_0000.safetensors").stat().st_mtime_ns
    make_features(data, folder)
    assert (folder / "chunk_0000.safetensors").stat().st_mtime_ns == written
    for other in (replace(data, views=2), replace(data, images=str(tmp_path))):
        with pytest.raises(ValueError, match="keeps samples of something else"):
            make_features(other, folder)


def test_several_trainings_can_make_the_same_features_at_a_time(images, tmp_path):
    data, folder = TrainDataConfig(images=str(images)), tmp_path / "features"
    make_features(data, folder)
    samples = ImageSampleSet(folder).take([0])
    with ThreadPoolExecutor(4) as trainings:
        write = trainings.map(lambda _: save_image_samples(folder / "a", samples), range(100))
        begin = trainings.map(lambda _: make_features(data, folder), range(100))
        assert len([*write, *begin]) == 200
    assert {path.name for path in folder.iterdir()} == {
        "a", "chunk_0000.safetensors", "made_from.json"
    }  # fmt: skip


def test_images_in_which_nobody_is_recognised_are_not_trained_on(tmp_path):
    empty = [replace(walker, image=np.zeros_like(walker.image)) for walker in walkers(70)]
    write_chunk(tmp_path / "images" / "chunk_0000.npz", empty)
    make_features(TrainDataConfig(images=str(tmp_path / "images")), tmp_path / "features")
    with pytest.raises(ValueError, match=r"nobody was recognised .*features is of; see whether"):
        ImageSampleSet(tmp_path / "features")


def test_features_are_those_of_the_landmark_net_that_is_trained_on(
    images, motion, tmp_path, landmark_net
):
    first, features = tmp_path / "first.safetensors", tmp_path / "features"
    save_backbone(first, landmark_net, {})
    data = TrainDataConfig(images=str(images), landmarks=str(first))
    make_features(data, features)
    moved = str(first.rename(tmp_path / "moved.safetensors"))
    make_features(replace(data, landmarks=moved), features)  # the same net
    kept = TrainDataConfig(motion, landmarks=moved, features=str(features))
    assert BatchSource(kept, CONFIG, tmp_path, Share())(0).features is not None
    other = copy.deepcopy(landmark_net)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    save_backbone(tmp_path / "moved.safetensors", other, {})
    for changed in (replace(data, landmarks=moved), TrainDataConfig(images=str(images))):
        with pytest.raises(ValueError, match=r"features keeps .*landmarks_sha256: expected .*got"):
            make_features(changed, features)
    with pytest.raises(ValueError, match=r"features keeps .*landmarks_sha256: expected .*got"):
        BatchSource(kept, CONFIG, tmp_path, Share())
    (features / "made_from.json").unlink()
    with pytest.raises(ValueError, match=r"no made_from\.json"):
        BatchSource(kept, CONFIG, tmp_path, Share())


def test_features_of_older_versions_are_taken_if_they_are_of_mediapipes_net(tmp_path):
    about = {"images": "images", "views": 1}
    (tmp_path / "made_from.json").write_text(json.dumps(about))
    check_features(TrainDataConfig(), tmp_path)
    (tmp_path / "made_from.json").write_text(json.dumps(about | {"landmarks": "a.safetensors"}))
    with pytest.raises(ValueError, match="landmarks_sha256: expected , got None"):
        check_features(TrainDataConfig(), tmp_path)


def test_a_chunk_that_was_rendered_again_is_looked_at_again(images, tmp_path):
    data, folder = TrainDataConfig(images=str(images)), tmp_path / "features"
    write_chunk(images / "chunk_0000.npz", walkers(70)[:1])
    make_features(data, folder)
    write_chunk(images / "chunk_0000.npz", walkers(70))
    make_features(data, folder)
    assert len(ImageSampleSet(folder)) == 2


def test_features_of_chunks_that_were_deleted_are_refused(images, tmp_path):
    data, folder = TrainDataConfig(images=str(images)), tmp_path / "features"
    write_chunk(images / "chunk_0001.npz", walkers(70))
    make_features(data, folder)
    (images / "chunk_0001.npz").unlink()
    gone = r"features keeps samples of images that are gone: .*chunk_0001\.safetensors; delete"
    with pytest.raises(ValueError, match=gone):
        make_features(data, folder)
    (folder / "chunk_0001.safetensors").unlink()
    make_features(data, folder)
    assert len(ImageSampleSet(folder)) == 2


def test_features_of_labels_that_were_changed_are_refused(tmp_path):
    labels, folder = human36m_labels(tmp_path), tmp_path / "features"
    write_human36m(tmp_path, labels)
    data = TrainDataConfig(human36m=str(tmp_path / "h36m_train.pkl"), photographs=str(tmp_path))
    make_features(data, folder)
    about = json.loads((folder / "made_from.json").read_text())
    del about["label_files"]
    (folder / "made_from.json").write_text(json.dumps(about))  # as older versions have it
    make_features(data, folder)
    labels[0]["joints_3d"] = labels[0]["joints_3d"] + 0.01  # the file is as large as it was
    write_human36m(tmp_path, labels)
    with pytest.raises(ValueError, match=r"keeps samples of something else .*label_files: expec"):
        make_features(data, folder)


def test_no_features_are_made_before_all_images_are_there(images, tmp_path):
    labels, folder = human36m_labels(tmp_path), tmp_path / "features"
    write_human36m(tmp_path, labels)
    (tmp_path / labels[3]["image"]).unlink()
    data = TrainDataConfig(human36m=str(tmp_path / "h36m_train.pkl"), photographs=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"1 of the 4 of human36m .* are missing"):
        make_features(replace(data, images=str(images)), folder)
    assert not list(folder.glob("*.safetensors"))


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_motion_need_not_be_held_apart(motion, tmp_path, share):
    config = replace(CONFIG, held_out_share=share)
    source = BatchSource(TrainDataConfig(motion), config, tmp_path, Share())
    assert source(0).joints.shape == (2, 17, 3)
    assert (source.held_out is None) == (share == 0)


def test_runs_on_images_alone_are_not_scored_without(images, motion, tmp_path):
    make_features(TrainDataConfig(images=str(images)), tmp_path / "features")
    data = TrainDataConfig(motion, features=str(tmp_path / "features"))
    for steps, is_scored in ((1, True), (0, False)):
        config = replace(CONFIG, skeleton_steps=steps)
        source = BatchSource(data, config, tmp_path, Share())
        assert (source.held_out is not None) == is_scored
    # Without images each step is one with skeletons.
    assert BatchSource(TrainDataConfig(motion), config, tmp_path, Share()).held_out is not None


def test_batches_of_images_need_not_be_shared_if_there_are_none(motion, tmp_path):
    data, two = TrainDataConfig(motion), Share(1, 2)
    source = BatchSource(data, replace(CONFIG, image_batch=3), tmp_path, two)
    assert len(source(0).joints) == 1
    with pytest.raises(ValueError, match="2 processes can share equally, got 3"):
        BatchSource(data, replace(CONFIG, batch=3), tmp_path, two)


def test_fewer_people_than_in_a_batch_are_refused(images, motion, tmp_path):
    make_features(TrainDataConfig(images=str(images)), tmp_path / "features")
    data = TrainDataConfig(motion, features=str(tmp_path / "features"))
    with pytest.raises(ValueError, match=r"at least the 4 samples .* got 2; lower --image-batch"):
        BatchSource(data, replace(CONFIG, image_batch=4), tmp_path, Share())


def test_weights_of_hrnet_are_not_for_blazepose(motion, tmp_path):
    data = TrainDataConfig(motion=motion, backbone_weights="pose_hrnet_w32_256x192.pth")
    with pytest.raises(ValueError, match="--backbone-weights is for networks on HRNet"):
        BatchSource(data, CONFIG, tmp_path, Share())


def test_clips_of_which_none_is_held_apart_cannot_be_scored(motion, tmp_path):
    clip = tmp_path / "one.npz"
    with np.load(motion) as clips:
        np.savez(clip, alone=clips["c0"])
    with pytest.raises(ValueError, match="none of 1 clips is held apart to score on"):
        next(skeleton_views([clip], KeypointSource.TRUE, 8))
    views = next(skeleton_views([Path(motion)], KeypointSource.TRUE, 8))
    assert views.joints.shape == (8, 17, 3)


def test_clips_of_several_files_are_held_apart_as_in_training_on_each(
    motion, tmp_path, monkeypatch
):
    with np.load(motion) as file:
        clips = list(file.values())
    # Taken together, only the last of the four would be held apart.
    np.savez(tmp_path / "a.npz", c4=clips[0], c5=clips[1])
    np.savez(tmp_path / "b.npz", c1=clips[1], c2=clips[2])
    files, scored = [tmp_path / "a.npz", tmp_path / "b.npz"], []

    def watched(joints):
        scored.append(joints)
        return take_apart(joints)

    monkeypatch.setattr("pandapose_ros.evaluation.skeleton_views.take_apart", watched)
    for some in (files[:1], files[1:], files):
        assert next(skeleton_views(some, KeypointSource.TRUE, 8)).joints.shape == (8, 17, 3)
    np.testing.assert_array_equal(scored[0], clips[1])
    np.testing.assert_array_equal(scored[2], np.concatenate((clips[1], clips[2])))


def test_processes_wait_for_features_that_take_long_to_make(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WAIT)
    # As the launcher of PyTorch sets them, which takes long to start.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | group
    processes = [
        subprocess.Popen(
            [sys.executable, str(program), str(tmp_path)],
            env=environment | {"OMP_NUM_THREADS": "1", "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    told = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    hours = [float((tmp_path / rank).read_text()) for rank in "01"]
    assert min(hours) >= 24
