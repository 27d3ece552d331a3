import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.model.blazepose import LandmarkOutput
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.skeleton import H36M_17_FROM_BLAZEPOSE
from pandapose_ros.training.landmark_losses import FeatureProbes, landmark_loss
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


@pytest.fixture
def taught():
    """Crops of 8 people, and a landmark net that says the truth about them."""
    random = torch.Generator().manual_seed(0)
    places = 60 + 130 * torch.rand(8, 39, 2, generator=random)
    world = torch.rand(8, 39, 3, generator=random) - 0.5
    matrix = torch.from_numpy(H36M_17_FROM_BLAZEPOSE)
    keypoints, joints = matrix @ places[:, :33], matrix @ world[:, :33]
    turns, ones = torch.zeros(8), torch.ones(8)
    batch = LandmarkCrops(
        torch.zeros(8, 3, 1, 1), keypoints, joints, places[:, 33:35], turns, ones, ones
    )
    visibilities = torch.randint(0, 2, (8, 39), generator=random).float()
    return LandmarkOutput([], places, visibilities, ones, ones, world, keypoints), batch


def every_fourth(seen, shift=0.0):
    return replace(
        seen, landmarks_px=seen.landmarks_px[::4] + shift, visibilities=seen.visibilities[::4]
    )


def test_only_joints_that_are_taught_and_in_reach_count(taught):
    seen, batch = taught
    keypoints = seen.keypoints_px.clone()
    keypoints[:, 0] += torch.tensor([3.0, 4.0])  # the pelvis is a sum
    off = replace(seen, keypoints_px=keypoints)
    assert landmark_loss(seen, every_fourth(seen), batch, 1.0).keypoints_px == 0
    assert landmark_loss(off, every_fourth(seen), batch, 1.0).keypoints_px == 0
    all_of_them = landmark_loss(off, every_fourth(seen), batch, 1.0, is_refined=True).keypoints_px
    assert all_of_them.item() == pytest.approx(5 / 17, rel=1e-4)
    far = batch.keypoints.clone()
    far[:, 3] = 1000.0
    beyond = batch._replace(keypoints=far)
    assert landmark_loss(seen, every_fourth(seen), beyond, 1.0).keypoints_px == 0


def test_what_is_kept_moves_along_with_its_joint(taught):
    seen, batch = taught

    def kept(shift, now=seen):
        return landmark_loss(now, every_fourth(seen, shift), batch, 1.0).kept.item()

    assert kept(0.0) == pytest.approx(0, abs=1e-3)
    assert kept(6.0) == pytest.approx(0, abs=1e-3)
    stays = replace(seen, landmarks_px=seen.landmarks_px + 6.0)
    assert kept(6.0, stays) > 0.1
    # Who was quite wrong before teaches nothing.
    assert kept(60.0, stays) == pytest.approx(0, abs=1e-3)


def test_probes_read_the_maps_where_the_joints_are(taught):
    _, batch = taught
    heat = [torch.zeros(8, 48, side, side) for side in (64, 32)]
    for level in heat:
        pixels = ((batch.keypoints + 0.5) * level.shape[-1] / 256).long()
        for number, places in enumerate(pixels.clamp(0, level.shape[-1] - 1).tolist()):
            for joint, (u, v) in enumerate(places):
                level[number, joint, v, u] = 100.0
    depth = torch.zeros(8, 48, 16, 16)
    depth[:, :17] = batch.joints[..., 2, None, None]
    probes = FeatureProbes()
    for probe in (*probes.heat, probes.depth):
        nn.init.zeros_(probe.bias)
        probe.weight.data = torch.eye(17, 48)[..., None, None]
    assert probes([*heat, depth], batch).item() == pytest.approx(0, abs=1e-4)
    for wrong in ([heat[0].mT, heat[1], depth], [*heat, depth + 0.1]):
        assert probes(wrong, batch) > 0.05


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
