# Tiny data sets of photographs, in the formats of Human3.6M and MPI-INF-3DHP.
# And a network small enough for them: its HRNet is a quarter as wide, with random weights.
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from pandapose_ros.config import ModelConfig, TrainDataConfig
from pandapose_ros.geometry import project
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.tools import main

K = np.array(((1145.0, 0, 512.5), (0, 1144.0, 515.4), (0, 0, 1)))
HEIGHTS = (0.0, 0.0, 0.45, 0.85, 0.0, 0.45, 0.85, -0.25, -0.5, -0.62, -0.74, -0.45, -0.2, 0.05)
HEIGHTS = np.array((*HEIGHTS, -0.45, -0.2, 0.05))  # y is down
SIDES = (0, -0.15, -0.16, -0.18, 0.15, 0.16, 0.18, 0, 0, 0, 0, 0.2, 0.4, 0.55, -0.2, -0.4, -0.55)
COLOURS = np.random.default_rng(3).permutation(np.linspace(40, 250, 17)).astype(int)
# Where H36M-17's joints are in files of MPI-INF-3DHP.
IN_3DHP = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
PAPER = str(Path(__file__).parents[1] / "config" / "train" / "paper.yaml")
SMALL = {"width": 32, "heads": 2, "layers": 1, "feedforward": 32, "depth_feedforward": 32}
SMALL |= {"local_anchors": 2, "global_anchor_rows": 4, "global_anchor_columns": 4}
SMALL |= {"depth_bins": 8, "depth_blocks": 1, "level_kernel": 1}
MODEL = replace(ModelConfig.paper(), **SMALL, level_channels=(8, 16, 32, 64), dropout=0.0)


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


def write_human36m(folder, labels):
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


def human36m_labels(folder):
    rng = np.random.default_rng(0)
    return [human36m_label(rng, folder, frame) for frame in range(1, 5)]


def small_data(folder, labels):
    write_human36m(folder, labels)
    weights = folder / "pose_hrnet_w8.pth"
    torch.manual_seed(0)
    head = {"weight": torch.zeros(17, 8, 1, 1), "bias": torch.zeros(17)}  # of the public file
    extra = {f"final_layer.{key}": value for key, value in head.items()}
    torch.save({**HRNet(8).state_dict(), **extra}, weights)
    return TrainDataConfig(
        human36m=str(folder / "h36m_train.pkl"),
        photographs=str(folder),
        backbone_weights=str(weights),
        readers=2,
    )


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
