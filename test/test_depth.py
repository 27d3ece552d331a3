from dataclasses import replace

import torch

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.depth import DepthNet, sine_position
from pandapose_ros.model.tokens import sample_tokens

J, D = 17, 16
CONFIG = ModelConfig(crop_height=64, crop_width=48, width=32, depth_bins=D, depth_feedforward=64)


def test_gives_a_distribution_per_joint_and_pixel():
    torch.manual_seed(0)
    net = DepthNet(CONFIG, J).eval()
    depth = net(torch.randn(2, 48, 4, 3))
    assert depth.logits.shape == depth.probabilities.shape == (2, J, D, 4, 3)
    assert depth.embedding.shape == (2, 12, 32)
    assert torch.allclose(depth.probabilities.sum(dim=2), torch.ones(()), atol=1e-5)
    assert (depth.probabilities >= 0).all()


def test_regressed_depth_keeps_its_digits_where_the_rest_is_cast():
    torch.manual_seed(0)
    net = DepthNet(replace(CONFIG, depth_head="regression", depth_bins=64), J)
    with torch.autocast("cpu", torch.bfloat16):
        depth = net(torch.randn(2, 48, 4, 3))
    assert depth.values.dtype == depth.probabilities.dtype == torch.float32
    centres = (torch.arange(64) + 0.5) / 64 * 2 - 1
    mean = (depth.probabilities * centres.view(-1, 1, 1)).sum(dim=2)
    assert torch.allclose(mean, depth.values, atol=1e-5)  # metres
    depth.values.sum().backward()
    assert net.classifier.weight.grad.any()


def test_position_codes_differ_between_pixels():
    codes = sine_position(5, 4, 32)
    assert codes.shape == (20, 32)
    assert codes.abs().max() <= 1
    assert torch.cdist(codes, codes).add(torch.eye(20) * 9).min() > 0.05
    assert torch.equal(codes[0, :16], codes[3, :16])  # the same row
    assert torch.equal(codes[1, 16:], codes[5, 16:])  # the same column


def test_encoder_is_told_the_position():
    net = DepthNet(CONFIG, J).eval()
    seen = {}
    for name in ("classifier", "encoder"):
        part = getattr(net, name)
        part.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    net(torch.randn(1, 48, 4, 3))
    pixels = seen["classifier"].flatten(2).transpose(1, 2)
    assert torch.allclose(seen["encoder"] - pixels, sine_position(4, 3, 32), atol=1e-5)


def test_windows_and_whole_levels_become_tokens():
    torch.manual_seed(0)
    fine, coarse = torch.randn(1, 3, 16, 12), torch.randn(1, 3, 4, 3)
    depth = torch.rand(1, 2, D, 4, 3).softmax(dim=2)
    keypoints_px = torch.tensor([[[3.0, 5.0], [500.0, -40.0]]])  # of the fine level; one outside
    tokens = sample_tokens([fine, coarse], depth, pixel_to_grid(keypoints_px, 12, 16), [3])
    table = tokens.token_of_pixel[0]
    assert tokens.sizes == ((12, 16), (3, 4))
    assert tokens.features.shape == (1, 1 + 2 * 9 + 12, 3)
    covered = table[: 12 * 16].view(16, 12) > 0
    expected = torch.zeros(16, 12, dtype=torch.bool)
    expected[4:7, 2:5] = True
    expected[0:3, 9:12] = True  # moved inside
    assert torch.equal(covered, expected)
    assert (table[12 * 16 :] > 0).all()
    dense = torch.cat((fine.flatten(2), coarse.flatten(2)), dim=2)[0].T
    assert torch.equal(tokens.features[0, table[table > 0]], dense[table > 0])
    assert (tokens.depth[0, 0] == 0).all()
    assert torch.allclose(tokens.depth[0, 1:].sum(dim=1), torch.ones(()), atol=1e-5)


def test_token_depth_is_that_of_the_joints_that_cover_it():
    height, width = 8, 8
    level = torch.randn(1, 3, height, width)
    depth = torch.rand(1, 2, D, height, width).softmax(dim=2)
    keypoints = pixel_to_grid(torch.tensor([[[2.0, 3.0], [3.0, 3.0]]]), width, height)
    tokens = sample_tokens([level], depth, keypoints, [3])
    table = tokens.token_of_pixel.view(height, width)
    joint_0, joint_1 = depth[0, 0], depth[0, 1]
    for v, u, expected in (
        (3, 1, joint_0[:, 3, 1]),
        (2, 4, joint_1[:, 2, 4]),
        (4, 2, (joint_0 + joint_1)[:, 4, 2] / 2),
    ):
        assert torch.allclose(tokens.depth[0, table[v, u]], expected, atol=1e-6)


def test_whole_level_depth_is_the_joints_mean_resized():
    depth = torch.rand(1, 3, D, 8, 8).softmax(dim=2)
    tokens = sample_tokens([torch.randn(1, 3, 4, 4)], depth, torch.zeros(1, 3, 2), [])
    blocks = depth.mean(dim=1).view(1, D, 4, 2, 4, 2).mean(dim=(3, 5))
    assert torch.allclose(tokens.depth[:, 1:], blocks.flatten(2).transpose(1, 2), atol=1e-6)
