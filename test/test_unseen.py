import json

import numpy as np
import pytest
import torch
from torch import nn

from pandapose_ros.checkpoint import HELD_OUT_KEY, MOTION_KEY, read_metadata, save_weights
from pandapose_ros.config import ModelConfig, TrainDataConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.tools import main
from pandapose_ros.training.unseen import unseen_motion

SMALL = ("width=32", "heads=2", "layers=1", "local_anchors=4", "feedforward=32", "depth_bins=8")
HERE = "1 file, 1 bytes, digest a"
ELSEWHERE = "1 file, 1 bytes, digest b"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return what writes weights that tell something of their motion."""
    net = PandaPose(ModelConfig(width=32, heads=2, layers=1), nn.Identity())
    folder = tmp_path_factory.mktemp("weights")

    def write(**told):
        path = folder / "start.safetensors"
        save_weights(path, net, told)
        return path

    return write


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "motion.npz", clip=np.zeros((2, 17, 3)))
    return TrainDataConfig(motion=str(tmp_path / "motion.npz"), images=str(tmp_path))


def test_weights_that_saw_more_clips_are_told_of(weights):
    start = weights(held_out_share="0.1", motion=HERE)
    unseen = unseen_motion(TrainDataConfig(), 0.2, HERE, start)
    assert unseen.warnings == (
        f"{start} held out 0.1 of the clips, this run 0.2: its scores on these are too good",
    )
    assert unseen.metadata == {HELD_OUT_KEY: "0.1", MOTION_KEY: HERE}
    assert unseen_motion(TrainDataConfig(), 0.1, HERE, start).warnings == ()
    # Nothing is held out, so that no score is too good; nor is more than they held out.
    for share in (0.0, 0.05):
        unseen = unseen_motion(TrainDataConfig(), share, HERE, start)
        assert unseen == ({HELD_OUT_KEY: str(share), MOTION_KEY: HERE}, ())
    older = weights()  # which held out what is the default
    assert unseen_motion(TrainDataConfig(), 0.2, HERE, older).warnings == ()
    assert "held out 0.2 of" in unseen_motion(TrainDataConfig(), 0.3, HERE, older).warnings[0]


def test_weights_of_other_motion_are_told_of(weights):
    start = weights(held_out_share="0.2", motion=ELSEWHERE)
    unseen = unseen_motion(TrainDataConfig(), 0.2, HERE, start)
    assert "was trained on other motion too, held-out clips maybe" in unseen.warnings[0]
    assert unseen.metadata[MOTION_KEY] == f"{HERE}; {ELSEWHERE}"
    start = weights(**unseen.metadata)
    assert unseen_motion(TrainDataConfig(), 0.2, ELSEWHERE, start).warnings != ()


def test_images_of_clips_that_are_held_out_are_told_of(data, tmp_path):
    path, motion = tmp_path / "options.json", tmp_path / "motion.npz"
    told = {"motion_sha256": file_sha256(motion), "held_out_share": 0.2, "test": False}
    for share, changes, expected in (
        (0.2, {}, "0.2"),
        (0.4, {}, "0.2"),
        (0.2, {"test": True}, "0.0"),
        (0.4, {"motion_sha256": "that of other motion"}, "0.4"),
    ):
        path.write_text(json.dumps(told | changes))
        unseen = unseen_motion(data, share, HERE, None)
        assert unseen.metadata[HELD_OUT_KEY] == expected
        assert len(unseen.warnings) == (float(expected) < share)
        assert all("shows motion of clips that this run hold" in w for w in unseen.warnings)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"options.json is no JSON: .*delete it and render again"):
        unseen_motion(data, 0.2, HERE, None)
    path.unlink()  # older folders tell nothing
    assert unseen_motion(data, 0.2, HERE, None).warnings == ()


def test_a_chain_of_trainings_tells_what_all_of_them_held_out(tmp_path, capsys):
    rng = np.random.default_rng(0)
    base = torch.randn(17, 3, generator=torch.Generator().manual_seed(0)).numpy()
    clips = {f"c{i}": (base + rng.normal(0, 0.03, (3, 17, 3))).astype("f4") for i in range(3)}
    np.savez(tmp_path / "motion.npz", **clips)

    def train(out, share, *more):
        small = [part for value in SMALL for part in ("--set", f"model.{value}")]
        sizes = ("--batch", "4", "--steps", "2", "--save-every", "1", "--threads", "1")
        files = ("--motion", str(tmp_path / "motion.npz"), "--out", str(tmp_path / out))
        given = ("--device", "cpu", "--held-out-share", share, *more)
        assert main.main(["train", *files, *small, *sizes, *given]) == 0
        path = tmp_path / out / "weights.safetensors"
        return path, read_metadata(path)[HELD_OUT_KEY], capsys.readouterr().err

    first, share, shown = train("first", "0")
    assert (share, "too good" in shown) == ("0.0", False)
    start = ("--start", str(first))
    second, share, shown = train("second", "0.4", *start, "--minutes", "1e-9")
    assert share == "0.0"
    assert f"pandapose train: {first} held out 0 of the clips, this run 0.4: its scores" in shown
    _, share, shown = train("second", "0.4", "--resume")
    assert (share, f"{second} held out 0 of" in shown) == ("0.0", True)
    command = ["evaluate", "--dataset", "motion", "--data", str(tmp_path / "motion.npz")]
    found = ("--weights", str(second), "--out", str(tmp_path / "scores.json"))
    assert main.main([*command, *found]) == 1
    assert "none of 3 clips is held apart: the weights were trained on" in capsys.readouterr().err
