# Scores on motion clips that are held apart: which ones, and for which networks.
import json
import os

import numpy as np
import pytest
import torch
from clip_images import walkers
from photographed_people import MODEL, small_data
from torch import nn

from pandapose_ros.checkpoint import save_weights
from pandapose_ros.config import ModelConfig
from pandapose_ros.evaluation.kept_views import keep_views
from pandapose_ros.evaluation.skeleton_views import skeleton_views
from pandapose_ros.evaluation.views import KeypointSource
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.tools import main
from pandapose_ros.training.loop import WEIGHTS_FILE

SMALL = ("width=32", "heads=2", "layers=1", "local_anchors=4", "feedforward=32", "depth_bins=8")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def motion(tmp_path, monkeypatch):
    """Five clips of one kind, few poses of which are scored."""
    monkeypatch.setattr("pandapose_ros.evaluation.skeleton_views._SAMPLES", 16)
    rng = np.random.default_rng(0)
    joints = walkers(140)[0].joints * (1, -1, -1)
    clips = {f"c{i}": (joints + rng.normal(0, 0.03, (9, 17, 3))).astype("f4") for i in range(5)}
    np.savez(tmp_path / "motion.npz", **clips)
    return tmp_path / "motion.npz"


def trained(motion, share):
    out = motion.parent / share
    small = [part for value in SMALL for part in ("--set", f"model.{value}")]
    sizes = ["--steps", "1", "--batch", "2", "--device", "cpu", "--held-out-share", share]
    assert main.main(["train", "--motion", str(motion), "--out", str(out), *small, *sizes]) == 0
    return str(out / WEIGHTS_FILE)


def evaluate(motion, *more):
    out = motion.parent / "result.json"
    data = ("--dataset", "motion", "--data", str(motion), "--cache", str(motion.parent / "cache"))
    return main.main(["evaluate", *data, "--out", str(out), *more])


def told(motion):
    return json.loads((motion.parent / "result.json").read_text())["dataset"]["name"]


def test_the_clips_that_training_held_apart_are_scored(motion, tmp_path, capsys):
    default, more, nothing = (trained(motion, share) for share in ("0.2", "0.4", "0.0"))
    exported = str(tmp_path / "exported.safetensors")
    name = ("--name", "n", "--version", "1", "--out", exported)
    assert main.main(["export-weights", more, *name]) == 0
    for options, text in (
        ((f"a={default}",), ""),
        ((f"a={more}", exported), ", 0.4 held apart"),
        ((nothing, "--held-out-share", "0.6"), ", 0.6 held apart"),
        ((f"a={default}", f"b={more}", "--held-out-share", "0.2"), ""),
    ):
        assert evaluate(motion, "--weights", *options) == 0
        assert told(motion) == f"motion motion.npz{text}"
    assert len(list((tmp_path / "cache").iterdir())) == 3
    for files, message in (
        ((nothing,), "none of 5 clips is held apart: the weights were trained on all; give other"),
        ((f"a={default}", f"b={more}"), "different shares of clips, [0.2, 0.4]; give the least"),
    ):
        assert evaluate(motion, "--weights", *files) == 1
        assert message in capsys.readouterr().err


def test_weights_of_older_versions_held_the_default_share_apart(motion, tmp_path):
    net = PandaPose(ModelConfig(width=32, heads=2, layers=1, depth_bins=8), nn.Identity())
    save_weights(tmp_path / "older.safetensors", net, {})
    assert evaluate(motion, "--weights", str(tmp_path / "older.safetensors")) == 0
    assert told(motion) == "motion motion.npz"


def test_files_in_folders_with_an_equals_sign_need_no_name(motion, tmp_path, capsys):
    net = PandaPose(ModelConfig(width=32, heads=2, layers=1, depth_bins=8), nn.Identity())
    folder = tmp_path / "lr=1e-3"
    folder.mkdir()
    save_weights(folder / "w.safetensors", net, {})
    for given, name in (("", "w, all"), ("other=", "other, all")):
        assert evaluate(motion, "--weights", f"{given}{folder / 'w.safetensors'}") == 0
        assert name in capsys.readouterr().out


def test_networks_on_hrnet_have_other_crops_than_motion_clips(motion, tmp_path, capsys):
    coco = small_data(tmp_path, []).backbone_weights
    save_weights(tmp_path / "hrnet.safetensors", PandaPose(MODEL, nn.Identity()), {})
    options = ("--weights", str(tmp_path / "hrnet.safetensors"), "--keypoints", "true")
    assert evaluate(motion, *options, "--backbone-weights", coco) == 1
    assert "motion clips are for networks on BlazePose" in capsys.readouterr().err


def test_two_evaluations_may_keep_the_same_views_at_a_time(motion, tmp_path):
    folder = tmp_path / "views"
    first, second = (
        keep_views(folder, skeleton_views([motion], KeypointSource.TRUE, 8), torch.device("cpu"))
        for _ in range(2)
    )
    next(first)
    with (folder / "000000.safetensors").open("rb") as file:
        next(second)
        kept = file.read()  # of the file that the first one wrote: replaced, not written over
        assert kept == (folder / "000000.safetensors").read_bytes()
        assert os.fstat(file.fileno()).st_nlink == 0
    assert [len(list(each)) for each in (first, second)] == [3, 3]
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", *[".safetensors"] * 4]
