import json

import pytest
import torch
from clip_images import walkers, write_chunk, write_clip_images
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.blazepose import LANDMARKS, TURN_OUTPUTS
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.tools import main
from pandapose_ros.training.landmarks import LANDMARKS_FILE
from pandapose_ros.training.log import HISTORY_FILE
from pandapose_ros.training.state import STATE_FILE

SMALL = ["--steps", "6", "--batch", "4", "--warm-up", "2", "--save-every", "2"]
SMALL += ["--learning-rate", "1e-4", "--device", "cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_clip_images(tmp_path_factory.mktemp("images"))


def test_resumed_equals_uninterrupted(images, tmp_path, capsys):
    options = ["train-landmarks", str(images), "--threads", "1", *SMALL, "--steps", "4"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main.main([*options, "--out", str(whole)]) == 0
    assert main.main([*options, "--out", str(cut), "--minutes", "1e-9"]) == 0
    assert "stopped at step 1 of 4" in capsys.readouterr().out
    assert main.main([*options, "--out", str(cut), "--resume", "--readers", "3"]) == 0
    for name in (STATE_FILE, LANDMARKS_FILE):
        expected, found = load_file(whole / name), load_file(cut / name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert main.main([*options, "--out", str(cut), "--resume", "--batch", "5"]) == 1
    assert "batch: expected 5, got 4" in capsys.readouterr().err
    begun_with = ["--start", str(whole / LANDMARKS_FILE)]
    assert main.main([*options, "--out", str(cut), "--resume", *begun_with]) == 1
    assert "of another landmarks configuration: start_sha256: expected" in capsys.readouterr().err
    (tmp_path / "others").mkdir()
    write_chunk(tmp_path / "others" / "chunk_0000.npz", walkers(70))
    others = ["train-landmarks", str(tmp_path / "others"), *options[2:], "--out", str(cut)]
    assert main.main([*others, "--resume"]) == 1
    assert "of another data configuration: images: expected 1 file" in capsys.readouterr().err
    assert main.main([*options, "--out", str(cut)]) == 1
    assert "holds a training already: go on with it by --resume" in capsys.readouterr().err
    none = ["--start", str(tmp_path / "none")]
    assert main.main([*options, "--out", str(tmp_path / "new"), *none]) == 1
    assert "no weights at" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(images, tmp_path, capsys):
    (tmp_path / f"{STATE_FILE}.part").mkdir()  # where the state would be written first
    options = ["train-landmarks", str(images), "--threads", "1", *SMALL, "--out", str(tmp_path)]
    assert main.main(options) == 1
    told = capsys.readouterr().err
    assert f"{STATE_FILE}.part is a folder" in told
    assert "step" not in told  # of the bar


def test_another_file_of_mediapipe_can_be_taught(images, tmp_path, capsys, monkeypatch):
    file = tmp_path / "another.tflite"
    file.write_bytes(find_model_file(LANDMARK_NET).read_bytes())
    options = ["train-landmarks", str(images), "--steps", "1", "--batch", "2", "--device", "cpu"]
    first, second = tmp_path / "first", tmp_path / "second"
    with monkeypatch.context() as patch:
        patch.setenv("PANDAPOSE_MODEL_DIR", str(tmp_path / "none"))
        assert main.main([*options, "--out", str(first)]) == 1
        assert "pose_landmark_full.tflite is missing" in capsys.readouterr().err
        assert main.main([*options, "--net", str(file), "--out", str(first)]) == 0
        made = open_landmark_net(first / LANDMARKS_FILE)  # needs no file of MediaPipe's
    assert made.is_tuned
    assert made.graph_text == open_landmark_net().graph_text
    start = ["--start", str(first / LANDMARKS_FILE), "--out", str(second)]
    assert main.main([*options, "--net", str(file), *start]) == 0
    text = made.graph_text.replace('"padding":1', '"padding":0', 1)
    add_graph(first / LANDMARKS_FILE, text)
    assert main.main([*options, *start[:2], "--out", str(tmp_path / "third")]) == 1
    assert "give the file that it was made from by --net" in capsys.readouterr().err


def test_a_start_can_be_moved_towards_the_original(images, tmp_path, capsys):
    options = ["train-landmarks", str(images), "--steps", "1", "--batch", "2", "--device", "cpu"]
    assert main.main([*options, "--refined", "--out", str(tmp_path / "tuned")]) == 0
    start = tmp_path / "tuned" / LANDMARKS_FILE
    options += ["--start", str(start), "--learning-rate", "0", "--keypoints-only"]
    original, tuned = (dict(net.named_parameters()) for net in
                       (open_landmark_net(), open_landmark_net(start)))  # fmt: skip
    for share in (0.0, 0.25, 1.0):
        out = tmp_path / str(share)
        assert main.main([*options, "--towards-original", str(share), "--out", str(out)]) == 0
        moved = dict(open_landmark_net(out / LANDMARKS_FILE).named_parameters())
        assert moved.keys() == tuned.keys() > original.keys()
        for name, value in moved.items():
            expected = tuned[name].lerp(original.get(name, tuned[name]), share).detach()
            if len(value) == 5 * LANDMARKS:  # the original knows nothing of turns
                expected[list(TURN_OUTPUTS)] = tuned[name][list(TURN_OUTPUTS)]
            assert torch.allclose(value, expected, rtol=0, atol=1e-6), name
    assert any(not torch.equal(tuned[name], value) for name, value in original.items())
    for share in ("1.1", "-0.1", "nan"):
        assert main.main([*options, "--towards-original", share, "--out", str(tmp_path)]) == 1
        assert f"--towards-original: expected 0 to 1, got {share}" in capsys.readouterr().err
    alone = ["train-landmarks", str(images), "--towards-original", "0.5", "--out", str(tmp_path)]
    assert main.main(alone) == 1
    assert "--towards-original is without effect" in capsys.readouterr().err


def add_graph(path, text):
    """Say that a landmark net has another graph."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | {"landmark_graph": text}
    save_file(load_file(path), path, metadata)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--save-every=0", "save_every must be at least 1, got 0"),
        ("--background=12", "background must be at least 0.0 and at most 1.0, got 12.0"),
    ],
)
def test_options_out_of_their_bounds_are_refused(images, tmp_path, capsys, option, told):
    out = tmp_path / "out"
    assert main.main(["train-landmarks", str(images), "--out", str(out), *SMALL, option]) == 1
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_checkpoints_are_scored_on_people_held_out(images, tmp_path):
    options = ["train-landmarks", str(images), "--held-out", str(images), "--steps", "2"]
    options += ["--batch", "4", "--save-every", "1", "--device", "cpu", "--out", str(tmp_path)]
    assert main.main(options) == 0
    history = json.loads((tmp_path / HISTORY_FILE).read_text())
    assert [record["step"] for record in history] == [1, 2]
    for record in history:
        assert 0 < record["held_out"]["keypoints_px"] < 12
        assert 0 < record["held_out"]["joints_mm"] < 130
        assert record["held_out"]["wrong_turns"] == 0
        assert 0 < record["held_out"]["misplaced_wrong_turns"] <= 1
    assert history[0]["held_out"] != history[1]["held_out"]
