import ast
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from synthetic_people import RIG, made_up_body
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pandapose_ros.checkpoint import read_config, read_metadata
from pandapose_ros.config import (
    ModelConfig,
    SkeletonSampleConfig,
    TrainConfig,
    TrainDataConfig,
)
from pandapose_ros.data.dataset import rendered_clips
from pandapose_ros.data.image_features import parts_of
from pandapose_ros.data.image_samples import make_image_samples
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.tools import main
from pandapose_ros.training.batches import BatchSource
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import WEIGHTS_FILE
from pandapose_ros.training.recipe import read_recipe
from pandapose_ros.training.state import STATE_FILE

ROOT = Path(__file__).parents[1]
HEIGHTS = (0.9, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 1.1, 1.3, 1.5, 1.6, 1.4, 1.1, 0.9, 1.4, 1.1, 0.9)
SIDES = (0, -0.1, -0.1, -0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0.2, 0.3, 0.3, -0.2, -0.3, -0.3)
SMALL = ("width=32", "heads=2", "layers=1", "local_anchors=4", "feedforward=32", "depth_bins=8")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def motion(tmp_path):
    rng = np.random.default_rng(0)
    base = np.zeros((17, 3))
    base[:, 0], base[:, 1] = SIDES, HEIGHTS
    clips = {f"c{i}": (base + rng.normal(0, 0.03, (9, 17, 3))).astype("f4") for i in range(3)}
    np.savez(tmp_path / "motion.npz", **clips)
    return tmp_path / "motion.npz"


def options(motion, out, steps=4, save_every=2):
    small = [part for value in SMALL for part in ("--set", f"model.{value}")]
    return [
        *("train", "--motion", str(motion), "--out", str(out), "--held-out-share", "0.4"),
        *("--batch", "8", "--steps", str(steps), "--save-every", str(save_every)),
        *("--threads", "1", "--device", "cpu", "--quarter-anchors", *small),
    ]


def start(*arguments, launcher=()):
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "pandapose_ros.tools.main", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_saves_resumes_and_tells_of_itself(motion, tmp_path, capsys):
    out = tmp_path / "out"
    assert main.main([*options(motion, out), "--tensorboard", "--save-every", "1"]) == 0
    shown = capsys.readouterr().err
    assert "mpjpe=" in shown
    assert "samples/s" in shown
    history = json.loads((out / "history.json").read_text())
    assert [record["step"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["held_out"]["pa_mpjpe_mm"] <= history[-1]["held_out"]["mpjpe_mm"]
    assert read_config(out / WEIGHTS_FILE).depth_bins == 8
    with safe_open(out / STATE_FILE, framework="pt") as file:
        data = json.loads(file.metadata()["data"])
    assert (data["images"], data["bodies"], data["landmarks_sha256"]) == (False, False, "")
    assert (data["samples"], data["image_files"], data["body_file"]) == (0, "none", "none")
    assert main.main([*options(motion, out), "--resume"]) == 1
    assert "save_every: expected 2, got 1" in capsys.readouterr().err
    weights = (out / WEIGHTS_FILE).read_bytes()
    assert main.main([*options(motion, out), "--seed", "1"]) == 1
    assert "holds a training already: go on with it by --resume" in capsys.readouterr().err
    assert (out / WEIGHTS_FILE).read_bytes() == weights


def test_scalars_can_be_read(motion, tmp_path):
    assert main.main([*options(motion, tmp_path, steps=10, save_every=10), "--tensorboard"]) == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"train/loss", "train/mpjpe_mm", "held_out/mpjpe_mm"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [10]


def test_killed_and_resumed_equals_uninterrupted(motion, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main.main(options(motion, whole, steps=20)) == 0
    process = start(*options(motion, cut, steps=20))
    while not (cut / "history.json").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = json.loads((cut / "history.json").read_text())[-1]["step"]
    assert done < 20
    assert main.main([*options(motion, cut, steps=20), "--resume"]) == 0
    for name in (STATE_FILE, WEIGHTS_FILE):
        expected, found = load_file(whole / name), load_file(cut / name)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), key
    steps = [record["step"] for record in json.loads((cut / "history.json").read_text())]
    assert steps == list(range(2, 21, 2))


def test_two_processes_do_what_one_does(motion, tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main.main(options(motion, one, steps=3)) == 0
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start(*options(motion, two, steps=3), launcher=launcher)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    first = load_file(one / STATE_FILE), load_file(two / STATE_FILE)
    assert main.main([*options(motion, tmp_path / "other", steps=3), "--seed", "1"]) == 0
    other = load_file(tmp_path / "other" / STATE_FILE)
    for key in ("model.queries.weight", "model.heads.0.offsets.4.weight"):
        apart = (first[0][key] - first[1][key]).norm()
        assert apart < 1e-3 * (first[0][key] - other[key]).norm(), key
    losses = [json.loads((run / "history.json").read_text())[0]["loss"] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert main.main([*options(motion, two, steps=3), "--resume"]) == 1
    assert "is of a training by 2 processes, this one has 1: " in capsys.readouterr().err


def test_processes_share_a_batch_equally():
    parts = [list(range(8))[Share(rank, 2).of(8)] for rank in range(2)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(ValueError, match="2 processes can share equally, got 5"):
        Share(0, 2).of(5)


def test_people_are_rendered_while_training(motion, tmp_path):
    bodies = tmp_path / "bodies.safetensors"
    save_bodies(bodies, RIG, [made_up_body()])
    config = TrainConfig(batch=2, image_batch=2, held_out_share=0.4)
    landmarks = str(find_weights("default"))  # takes some figures of boxes for people
    data = TrainDataConfig(motion=str(motion), bodies=str(bodies), landmarks=landmarks)
    source = BatchSource(data, config, tmp_path, Share())
    features = source(0).features
    assert [level.shape for level in features] == [(2, 48, n, n) for n in (64, 32, 16)]
    assert source(1).features is None
    assert (source.about["images"], source.about["bodies"]) == (False, True)
    assert source.about["body_file"].startswith("1 file, ")
    odd, two = replace(config, batch=3), Share(1, 2)
    with pytest.raises(ValueError, match="2 processes can share equally, got 3"):
        BatchSource(data, odd, tmp_path, two)
    alone = BatchSource(data, replace(odd, skeleton_steps=0), tmp_path, two)
    assert alone(1).features is not None
    with pytest.raises(ValueError, match="2 processes can share equally, got 3"):
        BatchSource(data, replace(config, image_batch=3), tmp_path, two)
    with pytest.raises(ValueError, match="bodies to render, or images and features, got both"):
        BatchSource(replace(data, images="images"), config, tmp_path, Share())


def test_data_sets_become_samples_with_features():
    clip = rendered_clips([ROOT / "config" / "demo" / "walk.mp4"]).every(70)
    samples = list(clip.read())
    ((name, read),) = parts_of(clip, "clip")
    assert name == "clip_00000"
    images = list(read())
    assert len(images) == 2
    np.testing.assert_array_equal(images[1].image, samples[1].image)
    net = BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    found = make_image_samples(images, net, SkeletonSampleConfig(), np.random.default_rng(0))
    assert len(found) == 2
    assert (found.keypoints - found.clean_keypoints).norm(dim=-1).mean() < 15
    unknown = replace(samples[0], joints=np.full((17, 3), np.nan))
    ((_, read),) = parts_of(replace(clip, read=lambda: iter([unknown])), "clip")
    with pytest.raises(ValueError, match="expected images and all 17 joints"):
        list(read())


def test_exported_weights_are_half_as_large(motion, tmp_path, capsys):
    assert main.main(options(motion, tmp_path, steps=2)) == 0
    target = tmp_path / "hand" / "on.safetensors"
    told = ["--name", "small", "--version", "1.2"]
    assert main.main(["export-weights", str(tmp_path), "--out", str(target), "--half", *told]) == 0
    metadata = read_metadata(target)
    assert (metadata["name"], metadata["version"]) == ("small", "1.2")
    full, half = load_file(tmp_path / WEIGHTS_FILE), load_file(target)
    assert target.stat().st_size < 0.6 * (tmp_path / WEIGHTS_FILE).stat().st_size
    for key, tensor in full.items():
        assert torch.allclose(tensor.float(), half[key].float(), rtol=1e-3, atol=1e-6), key
    assert "small 1.2" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["default", "large", "paper"])
def test_shipped_recipes_are_what_they_say(name):
    recipe = read_recipe(ROOT / "config" / "train" / f"{name}.yaml", {})
    default = ModelConfig(dropout=0.0)
    assert read_config(find_weights("default")) == default
    more = {"width": 128, "feedforward": 512, "depth_feedforward": 512, "local_anchors": 8}
    large = replace(default, **more, global_anchor_rows=8, global_anchor_columns=8)
    expected = {"default": default, "large": large, "paper": ModelConfig.paper()}
    assert recipe.model == expected[name]
    if name == "paper":
        assert recipe.train.steps == 30 * recipe.train.epoch_steps
        assert recipe.train.epoch_steps == 1_559_752 // recipe.train.batch


@pytest.mark.parametrize(
    "arm", [{"anchors": "none"}, {"anchors": "local"}, {"lifting": "none"}, {"depth_bins": 16}]
)
def test_every_arm_of_the_ablation_is_a_change_of_one_recipe(arm):
    path = ROOT / "config" / "train" / "ablation.yaml"
    model = read_recipe(path, {"model": arm}).model
    assert model == replace(read_recipe(path, {}).model, **arm)
    assert model.local_anchors == ModelConfig().local_anchors // 2


def test_recipes_are_changed_by_options(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {layers: 3}\ntrain: {learning_rate: 1e-3, batch: 4, dropout: 0.2}\n")
    recipe = read_recipe(path, {"train": {"batch": 8}, "loss": {"depth_loss": "one_hot"}})
    assert (recipe.model.layers, recipe.model.dropout) == (3, 0.2)
    assert (recipe.train.learning_rate, recipe.train.batch) == (1e-3, 8)
    assert recipe.loss.depth_loss == "one_hot"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", "unknown section 'trian'; did you mean 'train'"),
        (
            "train: {learn_rate: 1}",
            "train: unknown key 'learn_rate'; did you mean 'learning_rate'",
        ),
        ("train: {batch: many}", "train: 'batch': expected int, got 'many'"),
        ("train: {batch: 0}", "'batch': expected 1 to any, got 0"),
        ("train: {schedule: linear}", "expected one of cosine, exponential, got linear"),
        ("model: {anchors: few}", "expected one of both, local, global, none, got few"),
        ("model: {dropout: 0.1}", "set 'dropout' in 'train'"),
        (
            "model: {backbone: hrnet_w48, level_channels: [32, 64], level_strides: [4, 8]}",
            r"recipe.yaml: model: level_channels: expected 48 first, as .* hrnet_w48; got \(32,",
        ),
        ("model: {backbone: hrnet_w32}", r"level_channels: expected 32 first.*got \(48, 48, 48\)"),
        ("model: {level_channels: [48, 48]}", "level_strides: expected as many as the 2 level_ch"),
        ("model: {level_channels: [a, 1, 2]}", "level_channels: expected positive whole numbers"),
        ("model: {layers: 0}", "layers: expected a positive number; got 0"),
        ("model: {heads: 7}", "width: expected a multiple of 4 and of the 7 heads; got 64"),
        ("model: {depth_level: 9}", "depth_level: expected 0 to 2; got 9"),
        ("model: {depth_bins: 0}", "depth_bins: expected a positive number; got 0"),
        ("model: {window_fraction: 0}", "window_fraction: expected a positive number; got 0.0"),
        (
            "model: {window_fraction: 0.8, crop_width: 192}",
            "window_fraction: expected at most 0.75",
        ),
        ("model: {crop_width: 200}", "crop_width: expected a multiple of the greatest stride, 16"),
        ("model: {windowed_levels: 4}", "windowed_levels: expected 0 to 3; got 4"),
        ("model: {level_kernel: 2}", "level_kernel: expected an odd number; got 2"),
        ("model: {metric_shift: [0.0]}", "metric_shift: expected 3 numbers"),
        ("train: {learning_rate: .nan}", "'learning_rate': expected 0.0 to any, got nan"),
        ("loss: 3", "expected keys and values in 'loss', got 3"),
        ("train: {", "is not YAML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recipe(path, {})


def test_no_pickle_is_ever_loaded():
    calls = []
    for file in (ROOT / "pandapose_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                call = ast.unparse(node.func)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if call == "torch.load":
                    calls.append(file.name)
                    assert given.get("weights_only") == "True", file
                if call == "np.load":
                    assert given.get("allow_pickle", "False") == "False", file
                assert call not in ("pickle.load", "pickle.loads", "pickle.Unpickler"), file
    assert calls == ["hrnet.py"]
