import json
import re
import shutil
import sys

import numpy as np
import pytest
from clip_images import walkers, write_chunk
from safetensors import safe_open
from safetensors.torch import load_file, save

from pandapose_ros.checkpoint import hrnet_sha256
from pandapose_ros.config import TrainDataConfig
from pandapose_ros.data.file_identity import identity
from pandapose_ros.tools import main
from pandapose_ros.training.data_identity import data_identity
from pandapose_ros.training.loop import WEIGHTS_FILE
from pandapose_ros.training.state import STATE_FILE

SMALL = ("width=32", "heads=2", "layers=1", "local_anchors=4", "feedforward=32", "depth_bins=8")
pytestmark = pytest.mark.usefixtures("one_thread")


def write_motion(path, seed=0):
    rng = np.random.default_rng(seed)
    joints = walkers(140)[0].joints * (1, -1, -1)
    clips = {f"c{i}": (joints + rng.normal(0, 0.03, (9, 17, 3))).astype("f4") for i in range(3)}
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **clips)
    return path


def train_whole(motion, out, *more):
    small = [part for value in SMALL for part in ("--set", f"model.{value}")]
    sizes = ("--batch", "4", "--steps", "3", "--save-every", "1", "--held-out-share", "0.4")
    speed = ("--threads", "1", "--device", "cpu")
    return main.main(
        ["train", "--motion", str(motion), "--out", str(out), *small, *sizes, *speed, *more]
    )


def train(motion, out, *more):
    return train_whole(motion, out, "--quarter-anchors", *more)


def test_a_run_goes_on_with_the_same_motion_wherever_it_is(tmp_path, capsys):
    motion, out = write_motion(tmp_path / "a" / "motion.npz"), tmp_path / "out"
    assert train(motion, out, "--minutes", "1e-9") == 0
    assert hrnet_sha256(out / WEIGHTS_FILE) == ""
    other = write_motion(tmp_path / "b" / "motion.npz", seed=1)
    assert other.stat().st_size == motion.stat().st_size
    assert train(other, out, "--resume") == 1
    assert "of another data configuration: motion: expected 1 file, " in capsys.readouterr().err
    (tmp_path / "c").mkdir()
    moved = shutil.move(motion, tmp_path / "c" / "walk.npz")
    assert train(moved, out, "--resume", "--minutes", "1e-9") == 0
    path = out / STATE_FILE
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    told["data"] = json.dumps({"images": False, "bodies": False, "landmarks_sha256": ""})
    path.write_bytes(save(load_file(path), told))  # as older versions wrote it
    assert train(other, out, "--resume") == 0


def test_a_run_goes_on_with_as_many_processes(tmp_path, capsys):
    motion, out = write_motion(tmp_path / "motion.npz"), tmp_path / "out"
    assert train(motion, out, "--minutes", "1e-9") == 0
    path = out / STATE_FILE
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    tensors = load_file(path)
    path.write_bytes(save(tensors, told | {"share": json.dumps({"processes": 4})}))
    assert train(motion, out, "--resume") == 1
    told_why = "is of a training by 4 processes, this one has 1: resume it with 4"
    assert told_why in capsys.readouterr().err
    told.pop("share", None)  # as older versions wrote it
    path.write_bytes(save(tensors, told))
    assert train(motion, out, "--resume", "--minutes", "1e-9") == 0
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["share"]) == {"processes": 1}


def test_a_start_may_have_a_quarter_of_the_anchors_or_all_but_no_others(tmp_path, capsys):
    motion, out = write_motion(tmp_path / "motion.npz"), tmp_path / "out"
    assert train(motion, out, "--minutes", "1e-9") == 0
    start = ("--minutes", "1e-9", "--start", str(out / WEIGHTS_FILE))
    assert train(motion, tmp_path / "same", *start) == 0
    assert train_whole(motion, tmp_path / "grown", *start) == 0
    # Anchors that cannot be quartered are no reason to tell of quarters.
    for number, (change, told) in enumerate(
        (
            ("anchors=local", "anchors: expected local, got both"),
            ("local_anchors=2", "local_anchors: expected 2, got 1"),
            ("layers=2", "layers: expected 2, got 1"),
        )
    ):
        other = tmp_path / str(number)
        assert train_whole(motion, other, *start, "--set", f"model.{change}") == 1
        text = capsys.readouterr().err
        assert "is for another configuration: " in text
        assert told in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("crop_width=192", "crop_width: expected 256, as BlazePose gives it; got 192"),
        ("level_channels=[32, 48, 48]", r"level_channels: expected \(48, 48, 48\), as BlazePose"),
    ],
)
def test_crops_that_blazepose_does_not_give_are_refused(tmp_path, capsys, change, told):
    motion = write_motion(tmp_path / "motion.npz")
    assert train(motion, tmp_path / "out", "--set", f"model.{change}") == 1
    assert re.search(told, capsys.readouterr().err)


def test_a_value_that_is_cut_off_is_refused(tmp_path, capsys):
    motion = write_motion(tmp_path / "motion.npz")
    assert train(motion, tmp_path / "out", "--set", "model.level_channels=[48, 96") == 1
    assert "--set model.level_channels: '[48, 96' is not YAML" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path, capsys):
    (tmp_path / f"{STATE_FILE}.part").mkdir()  # where the state would be written first
    assert train(write_motion(tmp_path / "motion.npz"), tmp_path) == 1
    told = capsys.readouterr().err
    assert f"{STATE_FILE}.part is a folder" in told
    assert "step" not in told  # of the bar


def test_a_start_is_refused_where_a_run_goes_on(tmp_path, capsys):
    motion, out = write_motion(tmp_path / "motion.npz"), tmp_path / "out"
    assert train(motion, out, "--minutes", "1e-9") == 0
    state = (out / STATE_FILE).read_bytes()
    assert train(motion, out, "--resume", "--start", str(out / WEIGHTS_FILE)) == 1
    assert "--start is without effect with --resume" in capsys.readouterr().err
    assert (out / STATE_FILE).read_bytes() == state


@pytest.mark.parametrize(
    ("option", "message"),
    [("--resume", "nothing to resume: no "), ("--tensorboard", "--tensorboard needs TensorBoard")],
)
def test_what_would_fail_in_the_end_is_said_before_features_are_made(
    tmp_path, capsys, monkeypatch, option, message
):
    write_chunk(tmp_path / "images" / "chunk_0000.npz", walkers(70))
    motion, features = write_motion(tmp_path / "motion.npz"), tmp_path / "features"
    folders = ("--images", str(tmp_path / "images"), "--features", str(features))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if not installed
    assert train(motion, tmp_path / "out", *folders, option) == 1
    assert message in capsys.readouterr().err
    assert not features.exists()


def test_a_landmark_net_without_a_state_is_not_gone_on_with(tmp_path, capsys):
    out = tmp_path / "out"
    assert main.main(["train-landmarks", str(tmp_path), "--out", str(out), "--resume"]) == 1
    assert f"nothing to resume: no {out / STATE_FILE}" in capsys.readouterr().err
    assert not out.exists()


def test_files_are_known_by_what_is_in_them(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "below").mkdir(parents=True)
        for name in ("1.bin", "below/2.bin"):
            (folder / name).write_bytes(name.encode())

    def told(folder):
        return identity([file for file in folder.rglob("*") if file.is_file()], folder)

    assert told(first) == told(second)
    assert told(first).startswith("2 files, 16 bytes, digest ")
    (second / "1.bin").write_bytes(b"other")
    assert told(first) != told(second)
    (second / "1.bin").write_bytes(b"1.bin")
    (second / "1.bin").rename(second / "3.bin")
    assert told(first) != told(second)
    large = [tmp_path / name for name in ("a.bin", "b.bin")]
    for path in large:
        with path.open("wb") as file:
            file.truncate(2**30)
    large[1].open("r+b").write(b"not read")
    assert identity(large[:1], large[0]) == identity(large[1:], large[1])


def test_features_alone_do_not_tell_of_which_images_they_are(tmp_path):
    (tmp_path / "chunk_0000.npz").write_bytes(b"people")
    images = data_identity(TrainDataConfig(images=str(tmp_path)))
    features = data_identity(TrainDataConfig(features=str(tmp_path)))
    assert images["images"] == features["images"] is True
    assert images["image_files"].startswith("1 file, 6 bytes")
    assert "image_files" not in features
