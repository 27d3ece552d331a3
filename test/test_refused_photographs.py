# What is refused of photographs to train on, and how it is told.
import re
from dataclasses import replace

import pytest
import torch
from photographed_people import MODEL, human36m_labels, small_data, train, write_human36m
from torch import nn

from pandapose_ros.checkpoint import save_weights
from pandapose_ros.config import TrainConfig
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.tools import main
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import WEIGHTS_FILE
from pandapose_ros.training.photograph_batches import open_photographs

CONFIG = TrainConfig(batch=2, image_batch=2, skeleton_steps=0)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def labels(tmp_path):
    return human36m_labels(tmp_path)


@pytest.fixture
def data(tmp_path, labels):
    return small_data(tmp_path, labels)


def batches(data, config, share=None):
    return open_photographs(data, config, MODEL, share or Share())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_weights": ""}, "on hrnet_w32 need its COCO file: --backbone-weights"),
        ({"backbone_weights": "none.pth"}, r"none\.pth"),
        ({"human36m": ""}, "nothing to train on: give --human36m or --mpi-inf-3dhp"),
        ({"motion": "walk.bvh"}, "on photographs alone: leave out --motion"),
        ({"images": "renders"}, "on photographs alone"),
        ({"photographs": "elsewhere"}, r"no image elsewhere/s_01.*expected the image tree"),
    ],
)
def test_what_is_missing_or_too_much_is_named(data, tmp_path, capsys, changes, message):
    assert train(replace(data, **changes), tmp_path / "run") == 1
    assert re.search(message, capsys.readouterr().err)


def test_lost_images_and_fields_are_named(data, tmp_path, labels, capsys):
    lost = tmp_path / labels[3]["image"]
    lost.unlink()
    assert train(data, tmp_path / "run", "--image-batch", "4") == 1
    assert f"no image {lost}" in capsys.readouterr().err
    del labels[2]["joints_2d_cpn"]
    write_human36m(tmp_path, labels)
    assert train(data, tmp_path / "run") == 1
    assert "sample 2: expected the field 'joints_2d_cpn'" in capsys.readouterr().err


def test_what_would_be_without_effect_is_refused_or_not_asked_for(data):
    two = Share(0, 2)
    assert len(batches(data, replace(CONFIG, batch=3), two).batch(0).joints) == 1
    with pytest.raises(ValueError, match="2 processes can share equally, got 3"):
        batches(data, replace(CONFIG, image_batch=3), two)
    config = replace(CONFIG, held_out_share=0.5, schedule="exponential", final_learning_rate=0.5)
    with pytest.raises(ValueError, match=r"--views, --held-out-share, --final-learning-rate: wi"):
        batches(replace(data, views=5), config)


def test_a_start_is_of_the_hrnet_that_is_trained_on(data, tmp_path, capsys):
    start = ("--start", str(tmp_path / "first" / WEIGHTS_FILE))
    assert train(data, tmp_path / "first", steps=1) == 0
    assert train(data, tmp_path / "same", *start, steps=1) == 0
    other = torch.load(data.backbone_weights, weights_only=True)
    other["conv1.weight"] += 1e-3
    torch.save(other, tmp_path / "other.pth")
    changed = replace(data, backbone_weights=str(tmp_path / "other.pth"))
    capsys.readouterr()
    assert train(changed, tmp_path / "changed", *start, steps=1) == 1
    assert re.search(r"first/weights\S* was trained with .*other\.pth", capsys.readouterr().err)


def test_a_start_that_does_not_fit_is_refused_before_features_are_made(data, tmp_path, capsys):
    assert train(data, tmp_path / "first", steps=1) == 0
    renders, run = tmp_path / "renders", tmp_path / "run"  # not there, which is found out later
    given = ("--motion", "walk.bvh", "--images", str(renders), "--out", str(run))
    start = str(tmp_path / "first" / WEIGHTS_FILE)
    assert main.main(["train", *given, "--start", start, "--device", "cpu"]) == 1
    assert "backbone: expected blazepose, got hrnet_w32" in capsys.readouterr().err


@pytest.fixture
def scored(data, tmp_path):
    """What scores a network on the data, but for its images."""
    torch.manual_seed(0)
    save_weights(tmp_path / WEIGHTS_FILE, PandaPose(MODEL, nn.Identity()), {})
    nets = ["--weights", str(tmp_path / WEIGHTS_FILE), "--backbone-weights", data.backbone_weights]
    dataset = ["--dataset", "human36m", "--data", data.human36m]
    return ["evaluate", *dataset, *nets, "--out", str(tmp_path / "o.json"), "--threads", "1"]


def test_a_network_that_needs_images_is_not_scored_without(scored, capsys):
    assert main.main(scored) == 1
    assert "give the folder of those of human36m by --images" in capsys.readouterr().err


def test_a_sample_without_a_keypoint_to_lift_is_named(scored, tmp_path, labels, capsys):
    labels[2]["joints_2d_cpn"][10] = float("nan")
    write_human36m(tmp_path, labels)
    assert main.main([*scored, "--images", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "h36m_train.pkl, sample 2: the given keypoints lack ['head'], which are to be" in told


@pytest.mark.parametrize(("subjects", "told"), [((1, 5, 8, 6), ""), ((9, 1, 11, 1), "S11, S9")])
def test_training_on_those_who_are_scored_is_warned_of(
    data, tmp_path, labels, capsys, subjects, told
):
    for sample, subject in zip(labels, subjects, strict=True):
        sample["subject"] = subject
    write_human36m(tmp_path, labels)
    assert train(data, tmp_path / "run", steps=1) == 0
    warned = f"human36m h36m_train.pkl shows {told}, on whom results are scored"
    text = capsys.readouterr().err
    assert (warned in text) == ("are scored" in text) == bool(told)
