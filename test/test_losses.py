import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.training.losses import (
    depth_labels,
    depth_loss,
    ordinal_loss,
    pose_loss,
    training_loss,
)

CONFIG = replace(ModelConfig(), depth_bins=4, depth_range=1.0)


def test_pose_loss_is_zero_at_the_truth_and_the_mean_distance_elsewhere():
    truth = torch.zeros(1, 2, 3)
    joints = torch.tensor([[[0.3, 0.4, 0.0], [0.0, 0.0, 0.1]]])
    assert pose_loss(truth, truth) == 0
    assert pose_loss(joints, truth) == pytest.approx((0.5 + 0.1) / 2)


def test_ordinal_loss_by_hand():
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    # True bin 2: bins 0 and 1 must not hold the joint yet, bins 2 and 3 must.
    expected = -(math.log(0.9) + math.log(0.7) + math.log(0.6) + math.log(1.0))
    assert ordinal_loss(p.log(), torch.tensor(2)) == pytest.approx(expected, abs=1e-6)


def test_ordinal_loss_prefers_near_bins_to_far_ones():
    logits = 20.0 * torch.eye(4)  # sure of bin 0, 1, 2, 3
    losses = [ordinal_loss(row, torch.tensor(0)).item() for row in logits]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses == sorted(losses)


def test_depth_labels_cover_the_range_and_clamp():
    depths = torch.tensor([-5.0, -1.0, -0.51, -0.49, 0.0, 0.99, 5.0])
    assert depth_labels(depths, CONFIG).tolist() == [0, 0, 0, 1, 2, 3, 3]


def test_depth_loss_looks_only_inside_the_windows():
    logits = torch.zeros(1, 17, 4, 16, 16)
    keypoints = torch.full((1, 17, 2), 127.5)  # between pixels 7 and 8 of 16
    logits[:, :, 1, 7:9, 7:9] = 50.0
    depths = torch.full((1, 17), -0.25)
    assert depth_loss(logits, depths, keypoints, CONFIG) < 1e-3
    moved = depth_loss(logits, depths, keypoints + 64, CONFIG)
    flat = -(math.log(0.75) + math.log(0.5) + math.log(0.75))
    assert moved == pytest.approx(flat, abs=1e-5)


def test_windows_lie_where_the_crop_shows_the_keypoints():
    config = replace(CONFIG, crop_width=128)
    logits = torch.zeros(1, 17, 4, 16, 8)
    keypoints = torch.tensor([95.5, 191.5]).expand(1, 17, 2)  # between pixels 5, 6 and 11, 12
    logits[:, :, 1, 11:13, 5:7] = 50.0
    assert depth_loss(logits, torch.full((1, 17), -0.25), keypoints, config) < 1e-3


def test_windows_on_coarse_maps_hold_all_pixels_between_which_depths_are_read():
    flat = -(math.log(0.75) + math.log(0.5) + math.log(0.75))
    coarse = torch.zeros(1, 17, 4, 4, 4)
    coarse[:, :, 1, 1, 1] = 50.0
    middle = torch.full((1, 17, 2), 127.5)
    found = depth_loss(coarse, torch.full((1, 17), -0.25), middle, CONFIG)
    assert found == pytest.approx(0.75 * flat, abs=1e-5)  # one of four pixels is sure


def test_depth_loss_takes_keypoints_outside_the_crop():
    logits = torch.randn(2, 17, 4, 16, 16, requires_grad=True)
    keypoints = torch.tensor([-500.0, 900.0]).view(2, 1, 1).expand(2, 17, 2)
    loss = depth_loss(logits, torch.zeros(2, 17), keypoints, CONFIG)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_training_loss_weighs_its_parts():
    config = replace(
        ModelConfig(), width=32, heads=2, layers=1, local_anchors=2, dropout=0.0, feedforward=32
    )
    torch.manual_seed(0)
    net = PandaPose(config, nn.Identity()).eval()
    keypoints, joints = torch.rand(2, 17, 2) * 256, torch.rand(2, 17, 3) - 0.5
    features = [torch.randn(2, 48, side, side) for side in (64, 32, 16)]
    with_image = training_loss(net.lift(features, keypoints), joints, keypoints, config)
    assert with_image.total.item() == pytest.approx(
        2 * with_image.pose.item() + 0.1 * with_image.depth.item()
    )
    without = training_loss(net.lift(None, keypoints), joints, keypoints, config)
    assert without.depth is None
    assert without.total.item() == pytest.approx(2 * without.pose.item())
    assert np.isclose(
        without.pose.item(), (net.lift(None, keypoints).joints - joints).norm(dim=-1).mean().item()
    )
