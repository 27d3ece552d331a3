# Training as the paper does: on photographs, through a frozen HRNet. All is small: four images, an
# HRNet a quarter as wide with random weights, a lifter of width 32.
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from photographed_people import (
    COLOURS,
    MODEL,
    human36m_labels,
    small_data,
    train,
    write_3dhp,
    write_human36m,
)
from safetensors.torch import load_file
from torch import nn

from pandapose_ros.checkpoint import HRNET_KEY, hrnet_sha256, save_weights
from pandapose_ros.config import TrainConfig
from pandapose_ros.data.dataset import human36m, mpi_inf_3dhp
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.data.photographs import look_as_paper, mirror
from pandapose_ros.evaluation.views import KeypointSource, Viewer
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.tools import main
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import WEIGHTS_FILE, Trainer
from pandapose_ros.training.photograph_batches import PhotographBatches, open_photographs
from pandapose_ros.training.state import STATE_FILE

CONFIG = TrainConfig(batch=2, image_batch=2, skeleton_steps=0, steps=30, warm_up=3)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def labels(tmp_path):
    return human36m_labels(tmp_path)


@pytest.fixture
def data(tmp_path, labels):
    return small_data(tmp_path, labels)


def batches(data, config=CONFIG, share=None):
    return open_photographs(data, config, MODEL, share or Share())


def lifter(seed=0):
    torch.manual_seed(seed)
    return PandaPose(MODEL, nn.Identity())


def evaluate(data, run, dataset):
    files = ["--images", data.photographs, "--out", str(run / "result.json"), "--threads", "1"]
    nets = ["--weights", str(run / WEIGHTS_FILE), "--backbone-weights", data.backbone_weights]
    return main.main(["evaluate", "--dataset", *dataset, *files, *nets])


def greys_at(view):
    """Return the grey of the crop at each keypoint."""
    u, v = view.keypoints.round().astype(int).T
    return view.crop[v, u, 0].astype(int)


def test_crops_are_those_that_evaluation_looks_at(data, tmp_path):
    dataset = human36m([Path(data.human36m)], tmp_path)
    backbone = HRNet(8).eval()
    viewer = Viewer(MODEL, backbone, None, KeypointSource.GIVEN, mirrored=True)
    (seen,) = viewer.look(dataset, 4)
    views = [look_as_paper(dataset.at(i)) for i in range(4)]
    for name, tensors, some in (
        ("features", seen.features, views),
        ("mirrored", seen.mirrored_features, [mirror(view) for view in views]),
    ):
        crops = torch.from_numpy(np.stack([view.crop for view in some])).permute(0, 3, 1, 2)
        with torch.no_grad():
            for expected, found in zip(tensors, backbone(crops / 255).features, strict=True):
                assert torch.equal(expected, found), name
    np.testing.assert_allclose(seen.keypoints, [view.keypoints for view in views], atol=1e-4)
    np.testing.assert_allclose(seen.joints, [view.joints for view in views], atol=1e-6)
    assert np.abs(seen.keypoints - seen.true_keypoints).max() > 0.5  # the detected ones


def test_keypoints_lie_on_the_person_in_the_mirror_too(data, tmp_path):
    dataset = human36m([Path(data.human36m)], tmp_path)
    names = H36M_17.joint_names
    for i in range(4):
        view = look_as_paper(dataset.at(i))
        assert view.crop.shape == (256, 192, 3)
        np.testing.assert_allclose(greys_at(view), COLOURS, atol=6)
        seen = mirror(view)
        np.testing.assert_allclose(greys_at(seen), COLOURS[list(H36M_17.mirror)], atol=6)
        # The right hand is now where the left one seems to be, and the pose leans the other way.
        left, right = names.index("left_wrist"), names.index("right_wrist")
        np.testing.assert_allclose(seen.joints[left], view.joints[right] * (-1, 1, 1))
        for some in (view, seen):  # as at the pelvis' depth 2 m fill the crop's width
            u = some.joints[left, 0] * 95.5 + some.keypoints[0, 0]
            assert u == pytest.approx(some.keypoints[left, 0], abs=4)
        again = mirror(seen)
        for twice, once in zip(again, view, strict=True):
            np.testing.assert_allclose(twice, once)


def test_true_keypoints_of_mpi_inf_3dhp_lie_on_the_person(data, tmp_path):
    path = write_3dhp(tmp_path, 3)
    dataset = mpi_inf_3dhp([path], tmp_path)
    views = [look_as_paper(dataset.at(i)) for i in range(3)]
    for view in views:
        np.testing.assert_allclose(greys_at(view), COLOURS, atol=12)
        assert np.abs(view.joints).max() < 1.5
    # Both data sets together are one.
    both = replace(data, mpi_inf_3dhp=str(path))
    joints = batches(both, replace(CONFIG, image_batch=7)).batch(0).joints.numpy()
    for view in views:
        either = (view.joints, mirror(view).joints)
        assert sum(np.allclose(pose, known, atol=1e-5) for pose in joints for known in either) == 1


def test_chance_hangs_on_the_number_alone_and_processes_share_it(data):
    config = replace(CONFIG, batch=4, image_batch=4)
    source = batches(data, config)
    first, later = source.batch(0), source.batch(1)
    again = batches(data, config).batch(1)
    for a, b in zip((*later[:2], *later.features), (*again[:2], *again.features), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.keypoints, later.keypoints)
    parts = [batches(data, config, Share(rank, 2)).batch(1) for rank in range(2)]
    assert torch.equal(torch.cat([part.joints for part in parts]), later.joints)
    assert torch.allclose(torch.cat([p.features[3] for p in parts]), later.features[3], atol=1e-4)
    # Every round each of the four, mirrored or not.
    dataset = human36m([Path(data.human36m)], Path(data.photographs))
    truth = [look_as_paper(dataset.at(i)) for i in range(4)]
    flips = []
    for number in range(3):
        joints = source.batch(number).joints.numpy()
        for view in truth:
            mirrored = [np.allclose(mirror(view).joints, pose, atol=1e-5) for pose in joints]
            plain = [np.allclose(view.joints, pose, atol=1e-5) for pose in joints]
            assert sum(mirrored) + sum(plain) == 1
            flips.append(sum(mirrored))
    assert 3 <= sum(flips) <= 9


def test_learns_one_batch_and_leaves_the_backbone_alone(data):
    backbone = HRNet(8)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    dataset = human36m([Path(data.human36m)], Path(data.photographs))
    source = PhotographBatches([dataset], backbone, CONFIG, Share(), 1)
    config = replace(CONFIG, learning_rate=5e-3)
    batch = source.batch(0)
    trainer = Trainer(lifter(), config, lambda _: batch)
    results = [trainer.advance() for _ in range(12)]
    assert all(np.isfinite(result.loss) for result in results)
    assert results[-1].loss < 0.6 * results[0].loss
    assert results[-1].depth < results[0].depth
    learnt = {n for n, p in trainer.net.named_parameters() if p.grad is not None and p.grad.any()}
    for part in ("depth_net", "level_projections", "layers.0.image_attention"):
        assert any(name.startswith(part) for name in learnt), part
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key  # nor the statistics of its normalisation
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_cut_off_and_resumed_equals_uninterrupted_and_is_evaluated(data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train(data, whole) == 0
    assert train(data, cut, "--minutes", "1e-9") == 0
    assert [record["step"] for record in json.loads((cut / "history.json").read_text())] == [1]
    assert train(data, cut, "--resume") == 0
    for name in (STATE_FILE, WEIGHTS_FILE):
        expected, found = load_file(whole / name), load_file(cut / name)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), key
    history = json.loads((cut / "history.json").read_text())
    assert [record["step"] for record in history] == [1, 2, 3]
    assert all(np.isfinite(record["loss"]) and not record["held_out"] for record in history)
    assert evaluate(data, whole, ["human36m", "--data", data.human36m]) == 0


def test_a_run_goes_on_with_the_same_labels_and_hrnet_wherever_they_are(data, tmp_path, capsys):
    run, moved = tmp_path / "run", tmp_path / "moved.pth"
    assert train(data, run, "--minutes", "1e-9") == 0
    shutil.copy(data.backbone_weights, moved)
    digest = hashlib.sha256(moved.read_bytes()).hexdigest()
    assert hrnet_sha256(run / WEIGHTS_FILE) == digest
    out = ["--out", str(tmp_path / "out.safetensors"), "--name", "n", "--version", "1"]
    assert main.main(["export-weights", str(run), *out]) == 0
    assert hrnet_sha256(tmp_path / "out.safetensors") == digest
    same = replace(data, backbone_weights=str(moved))
    assert train(same, run, "--resume", "--minutes", "1e-9") == 0
    torch.save(HRNet(8).state_dict(), moved)
    others = replace(same, human36m="", mpi_inf_3dhp=str(write_3dhp(tmp_path, 3)))
    assert train(others, run, "--resume") == 1
    told = capsys.readouterr().err
    for key in ("backbone_sha256", "human36m", "mpi_inf_3dhp", "samples"):
        assert f"{key}: expected" in told


def test_kept_views_are_of_these_images_and_this_backbone(data, tmp_path):
    run, cache, elsewhere = tmp_path / "run", tmp_path / "cache", tmp_path / "elsewhere"
    run.mkdir()
    save_weights(run / WEIGHTS_FILE, lifter(), {})
    (images,) = tmp_path.glob("s_01_*")
    shutil.copytree(images, elsewhere / images.name)
    other = torch.load(data.backbone_weights, weights_only=True)
    other["conv1.weight"] += 1e-3
    torch.save(other, tmp_path / "other.pth")
    dataset = ["human36m", "--data", data.human36m, "--cache", str(cache)]
    for changes, folders in (
        ({}, 1),
        ({}, 1),
        ({"backbone_weights": str(tmp_path / "other.pth")}, 2),
        ({"photographs": str(elsewhere)}, 3),
    ):
        assert evaluate(replace(data, **changes), run, dataset) == 0
        assert len(list(cache.iterdir())) == folders, changes


def test_training_takes_the_detections_that_are_chosen(data, tmp_path, labels):
    for sample in labels:
        sample["joints_2d_hrnet"] = sample["joints_2d_gt"]
    write_human36m(tmp_path, labels)
    drawn = [
        batches(replace(data, detections=name)).batch(0).keypoints for name in ("cpn", "hrnet")
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 0.5
    assert train(replace(data, detections="hrnet"), tmp_path / "run", steps=1) == 0
    assert train(data, tmp_path / "run", "--resume", steps=1) == 1


def test_another_hrnet_than_that_of_training_is_refused(data, tmp_path, capsys):
    digest = file_sha256(Path(data.backbone_weights))
    dataset = ["human36m", "--data", data.human36m]
    for told, code in ((digest, 0), (digest[::-1], 1)):
        save_weights(tmp_path / WEIGHTS_FILE, lifter(), {HRNET_KEY: told})
        assert evaluate(data, tmp_path, dataset) == code
    assert "was trained with another file than" in capsys.readouterr().err


def test_mpi_inf_3dhp_trains_too(data, tmp_path):
    path = str(write_3dhp(tmp_path, 3))
    assert train(replace(data, human36m="", mpi_inf_3dhp=path), tmp_path, steps=2) == 0
    assert evaluate(data, tmp_path, ["mpi-inf-3dhp", "--data", path, "--keypoints", "true"]) == 0


def test_images_that_are_lost_are_told_before_the_work(data, tmp_path, labels, capsys):
    save_weights(tmp_path / WEIGHTS_FILE, lifter(), {})
    for sample in labels[1:3]:
        (tmp_path / sample["image"]).unlink()
    lost = f"no image {tmp_path / labels[1]['image']}; 2 of the 4 of human36m h36m_train.pkl"
    assert train(data, tmp_path / "run", steps=1) == 1
    assert lost in capsys.readouterr().err
    every_third = ["human36m", "--data", data.human36m, "--every", "3"]
    assert evaluate(data, tmp_path, every_third[:-2]) == 1
    told = capsys.readouterr().err
    assert lost in told
    assert "batch/s" not in told  # of the bar
    assert evaluate(data, tmp_path, every_third) == 0


def test_images_of_another_size_than_that_of_their_labels_are_refused(tmp_path, labels):
    path = write_3dhp(tmp_path, 1)
    write_human36m(tmp_path, labels)
    whole = human36m([tmp_path / "h36m_train.pkl"], tmp_path).at(0)
    crop = mpi_inf_3dhp([path], tmp_path).at(0)
    for sample, size in ((whole, "1000 x 1000"), (crop, "192 x 256")):
        image = cv2.imread(str(sample.image))
        cv2.imwrite(str(sample.image), cv2.resize(image, (500, 500)))  # not the crops, say
        with pytest.raises(ValueError, match=rf"01\.jpg: .* of {size} pixels.* got 500 x 500"):
            look_as_paper(sample)


def test_few_samples_and_unknown_keypoints_are_refused(data, tmp_path, labels):
    with pytest.raises(ValueError, match="at least the 5 samples of a batch, got 4"):
        batches(data, replace(CONFIG, image_batch=5))
    labels[0]["joints_2d_cpn"][10] = np.nan
    write_human36m(tmp_path, labels)
    with pytest.raises(ValueError, match=r"some are unknown of the sample .*_000001\.jpg"):
        batches(data, replace(CONFIG, image_batch=4)).batch(0)
