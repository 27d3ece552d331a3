# Training as the paper does: on photographs, through a frozen HRNet. All is small: four images, an
# HRNet a quarter as wide with random weights, a lifter of width 32.
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pandapose_ros.config import ModelConfig, TrainConfig, TrainDataConfig
from pandapose_ros.data.batches import BatchSource
from pandapose_ros.data.dataset import human36m, mpi_inf_3dhp
from pandapose_ros.data.photographs import (
    PhotographBatches,
    look_as_paper,
    mirror,
    open_photographs,
)
from pandapose_ros.evaluation.views import KeypointSource, Viewer
from pandapose_ros.geometry import project
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.tools import main
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import WEIGHTS_FILE, Trainer
from pandapose_ros.training.state import STATE_FILE

ROOT = Path(__file__).parents[1]
PAPER = str(ROOT / "config" / "train" / "paper.yaml")
K = np.array(((1145.0, 0, 512.5), (0, 1144.0, 515.4), (0, 0, 1)))
HEIGHTS = (0.0, 0.0, 0.45, 0.85, 0.0, 0.45, 0.85, -0.25, -0.5, -0.62, -0.74, -0.45, -0.2, 0.05)
HEIGHTS = np.array((*HEIGHTS, -0.45, -0.2, 0.05))  # y is down
SIDES = (0, -0.15, -0.16, -0.18, 0.15, 0.16, 0.18, 0, 0, 0, 0, 0.2, 0.4, 0.55, -0.2, -0.4, -0.55)
COLOURS = np.random.default_rng(3).permutation(np.linspace(40, 250, 17)).astype(int)
# Where H36M-17's joints are in files of MPI-INF-3DHP.
IN_3DHP = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
SMALL = {"width": 32, "heads": 2, "layers": 1, "feedforward": 32, "depth_feedforward": 32}
SMALL |= {"local_anchors": 2, "global_anchor_rows": 4, "global_anchor_columns": 4}
SMALL |= {"depth_bins": 8, "depth_blocks": 1, "level_kernel": 1}
MODEL = replace(ModelConfig.paper(), **SMALL, level_channels=(8, 16, 32, 64), dropout=0.0)
CONFIG = TrainConfig(batch=2, image_batch=2, skeleton_steps=0, steps=30, warm_up=3)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def person(rng):
    joints = np.stack((SIDES, HEIGHTS, np.zeros(17)), axis=1) + rng.normal(0, 0.01, (17, 3))
    place = np.array((rng.uniform(-0.5, 0.5), 0.1, rng.uniform(4.5, 6)))
    return joints + place


def picture(size, keypoints, radius):
    """Show each joint as a disc of its own grey."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for (u, v), grey in zip(keypoints, COLOURS, strict=True):
        cv2.circle(image, (round(u), round(v)), radius, [int(grey)] * 3, -1)
    return image


def human36m_label(rng, folder, frame):
    joints = person(rng)
    true = project(joints, K)
    detected = true + rng.normal(0, 1.5, (17, 2))
    box = project(joints[0] + np.array(((-1, -0.9, 0), (1, 1.1, 0))), K)
    centre, scale = box.mean(axis=0), (box[1] - box[0]) / 200
    name = "s_01_act_02_subact_01_ca_02"
    path = folder / name / f"{name}_{frame:06d}.jpg"
    path.parent.mkdir(exist_ok=True, parents=True)
    cv2.imwrite(str(path), picture((1000, 1000), true, 10))
    label = {"image": f"{name}/{path.name}", "joints_3d": joints.astype(np.float32)}
    for kind, points in (("gt", true), ("cpn", detected)):
        label[f"joints_2d_{kind}"] = (points / 500 - 1).astype(np.float32)
        crop = (points - centre) * 191 / (scale[0] * 200 - 1) + (95.5, 127.5)
        label[f"joints_2d_{kind}_crop"] = crop.astype(np.float32)
    camera = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    camera |= {"k": np.zeros(3), "p": np.zeros(2)}
    numbers = {"subject": 1, "action": 2, "subaction": 1, "camera_id": 1}
    return label | numbers | {"camera": camera, "center": centre, "scale": scale}


@pytest.fixture
def labels(tmp_path):
    rng = np.random.default_rng(0)
    return [human36m_label(rng, tmp_path, frame) for frame in range(1, 5)]


@pytest.fixture
def data(tmp_path, labels):
    write(tmp_path, labels)
    weights = tmp_path / "pose_hrnet_w8.pth"
    torch.manual_seed(0)
    head = {"weight": torch.zeros(17, 8, 1, 1), "bias": torch.zeros(17)}  # of the public file
    extra = {f"final_layer.{key}": value for key, value in head.items()}
    torch.save({**HRNet(8).state_dict(), **extra}, weights)
    return TrainDataConfig(
        human36m=str(tmp_path / "h36m_train.pkl"),
        photographs=str(tmp_path),
        backbone_weights=str(weights),
        readers=2,
    )


def write(folder, labels):
    with (folder / "h36m_train.pkl").open("wb") as file:
        pickle.dump(labels, file)


def write_3dhp(folder, count):
    rng = np.random.default_rng(1)
    order = np.argsort(IN_3DHP)
    joints = np.stack([person(rng) for _ in range(count)])
    pixels = np.stack([project(pose, K) for pose in joints])
    crop = (pixels - pixels[:, :1]) * 0.4 + (95.5, 115)
    name = "s_01_seq_02_ca_04"
    (folder / name).mkdir()
    for frame, points in enumerate(crop, 1):
        image = picture((192, 256), points, 5)
        cv2.imwrite(str(folder / name / f"{name}_{frame:06d}.jpg"), image)
    label = {"data_2d": pixels[:, order], "data_2d_crop": crop[:, order]}
    label["data_3d"] = joints[:, order] * 1000
    np.savez(folder / "data_train_3dhp.npz", data={"S1 Seq2": [{"4": label}, 25]})
    return folder / "data_train_3dhp.npz"


def batches(data, config=CONFIG, share=None):
    return open_photographs(data, config, MODEL, share or Share())


def lifter(seed=0):
    torch.manual_seed(seed)
    return PandaPose(MODEL, nn.Identity())


def train(data, out, *more, steps=3):
    changes = {key: value for key, value in vars(MODEL).items() if key in SMALL}
    changes |= {"level_channels": list(MODEL.level_channels)}
    small = [p for key, value in changes.items() for p in ("--set", f"model.{key}={value}")]
    given = {key: str(value) for key, value in vars(data).items() if value and key != "views"}
    paths = [p for key, value in given.items() for p in (f"--{key.replace('_', '-')}", value)]
    sizes = ["--batch", "2", "--image-batch", "2", "--steps", str(steps), "--save-every", "1"]
    speed = ["--threads", "1", "--device", "cpu"]
    return main.main(
        ["train", "--config", PAPER, "--out", str(out), *small, *paths, *sizes, *speed, *more]
    )


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
    for number in range(5):
        joints = source.batch(number).joints.numpy()
        for view in truth:
            mirrored = [np.allclose(mirror(view).joints, pose, atol=1e-5) for pose in joints]
            plain = [np.allclose(view.joints, pose, atol=1e-5) for pose in joints]
            assert sum(mirrored) + sum(plain) == 1
            flips.append(sum(mirrored))
    assert 4 <= sum(flips) <= 16


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


def test_mpi_inf_3dhp_trains_too(data, tmp_path):
    path = str(write_3dhp(tmp_path, 3))
    assert train(replace(data, human36m="", mpi_inf_3dhp=path), tmp_path, steps=2) == 0
    assert evaluate(data, tmp_path, ["mpi-inf-3dhp", "--data", path, "--keypoints", "true"]) == 0


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
    write(tmp_path, labels)
    assert train(data, tmp_path / "run") == 1
    assert "sample 2: expected the field 'joints_2d_cpn'" in capsys.readouterr().err


def test_few_samples_and_unknown_joints_are_refused(data, tmp_path, labels):
    with pytest.raises(ValueError, match="at least the 5 samples of a batch, got 4"):
        batches(data, replace(CONFIG, image_batch=5))
    labels[0]["joints_3d"][10] = np.nan
    write(tmp_path, labels)
    with pytest.raises(ValueError, match=r"some are unknown of the sample .*_000001\.jpg"):
        batches(data, replace(CONFIG, image_batch=4)).batch(0)


def test_weights_of_hrnet_are_not_for_blazepose(data, tmp_path):
    data = TrainDataConfig(motion="walk.bvh", backbone_weights=data.backbone_weights)
    with pytest.raises(ValueError, match="--backbone-weights is for networks on HRNet"):
        BatchSource(data, CONFIG, tmp_path, Share())
