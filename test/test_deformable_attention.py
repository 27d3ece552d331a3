from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck
from torch.autograd.graph import saved_tensors_hooks

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.deformable_attention import DeformableAttention3D, sample_volume
from pandapose_ros.model.tokens import ImageTokens, sample_tokens

SIZES = ((4, 3), (5, 7))
B, A, M, S, C, D = 2, 3, 2, 3, 2, 4
TWO_LEVELS = ModelConfig(
    level_channels=(8, 8), level_strides=(4, 8), depth_level=1, width=8, heads=M
)
PIXELS = sum(width * height for width, height in SIZES)


def dense_tokens(depth):
    # Every pixel is a token of its own.
    numbers = torch.arange(PIXELS).expand(len(depth), -1)
    return ImageTokens(torch.empty(0), depth, numbers, SIZES)


def sample_materialised(values, depth, locations, weights):
    levels, start = [], 0
    for index, (width, height) in enumerate(SIZES):
        pixels = slice(start, start + width * height)
        start += width * height
        volume = torch.einsum("bpmc,bpd->bmcdp", values[:, pixels], depth[:, pixels])
        volume = volume.reshape(B * M, C, D, height, width)
        grid = (locations[:, :, :, index] + 0.5) * 2 / torch.tensor([width, height, D]) - 1
        grid = grid.transpose(1, 2).reshape(B * M, A, S, 1, 3)
        samples = F.grid_sample(volume, grid, padding_mode="zeros", align_corners=False)
        samples = samples.view(B, M, C, A, S).permute(0, 3, 1, 4, 2)
        levels.append((samples * weights[:, :, :, index, :, None]).sum(dim=3))
    return torch.stack(levels).sum(dim=0).flatten(2)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    values = torch.randn(B, PIXELS, M, C, dtype=torch.float64)
    depth = torch.rand(B, PIXELS, D, dtype=torch.float64)
    locations = torch.rand(B, A, M, 2, S, 3, dtype=torch.float64) * 9 - 2  # also outside
    weights = torch.rand(B, A, M, 2, S, dtype=torch.float64)
    return values, depth, locations, weights


def test_equals_grid_sample_on_the_materialised_volume(inputs):
    values, depth, locations, weights = inputs
    ours = sample_volume(values, dense_tokens(depth), locations, weights)
    assert torch.allclose(ours, sample_materialised(*inputs), atol=1e-12)
    assert ours.abs().max() > 0.1


def test_gradients_equal_those_of_the_materialised_volume(inputs):
    for tensor in inputs:
        tensor.requires_grad_()
    values, depth, locations, weights = inputs
    ours = sample_volume(values, dense_tokens(depth), locations, weights)
    theirs = sample_materialised(*inputs)
    pull = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, inputs, pull),
        torch.autograd.grad(theirs, inputs, pull),
        strict=True,
    ):
        assert torch.allclose(mine, other, atol=1e-12)
        assert mine.abs().max() > 1e-3


def test_gradients_equal_finite_differences(inputs):
    for tensor in inputs:
        tensor.requires_grad_()
    assert gradcheck(
        lambda v, d, x, w: sample_volume(v, dense_tokens(d), x, w), inputs, fast_mode=True
    )


def test_pixel_centres_are_at_integers():
    values = torch.arange(PIXELS, dtype=torch.float32).view(1, PIXELS, 1, 1)
    depth = torch.zeros(1, PIXELS, D)
    depth[..., 2] = 1
    locations = torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 2.0]]).view(1, 1, 1, 2, 1, 3)
    for level, expected in enumerate((1 * 4 + 3, 12 + 6 * 5 + 4)):
        weights = torch.eye(2)[level].view(1, 1, 1, 2, 1)
        assert sample_volume(values, dense_tokens(depth), locations, weights).item() == expected


def test_looks_at_its_reference():
    # Without offsets and projections, a query at a pixel's and a bin's centre reads just these.
    config = replace(TWO_LEVELS, sampling_points=S)
    attention = DeformableAttention3D(config)
    with torch.no_grad():
        for part in (attention.sampling_offsets, attention.value, attention.output):
            part.bias.zero_()
        attention.value.weight.copy_(torch.eye(8))
        attention.output.weight.copy_(torch.eye(8))
    features, depth = torch.randn(1, PIXELS, 8), torch.zeros(1, PIXELS, D)
    depth[:, :12, 1] = 1  # the first level only, all at bin 1
    tokens = ImageTokens(features, depth, torch.arange(PIXELS)[None], SIZES)
    pixel = pixel_to_grid(torch.tensor([3.0, 1.0]), *SIZES[0])
    reference = torch.cat((pixel, torch.tensor([2 * 1.5 / D - 1]))).view(1, 1, 3)
    seen = attention(torch.randn(1, 1, 8), reference, tokens)
    assert torch.allclose(seen[0, 0], features[0, 1 * 4 + 3] / 2, atol=1e-5)  # half the weight


def test_void_pixels_give_nothing():
    config = replace(TWO_LEVELS, sampling_points=S)
    tokens = ImageTokens(
        torch.randn(B, 1, 8),
        torch.zeros(B, 1, D),
        torch.zeros(B, PIXELS, dtype=torch.int64),
        SIZES,
    )
    attention = DeformableAttention3D(config)
    seen = attention(torch.randn(B, A, 8), torch.rand(B, A, 3), tokens)
    assert torch.allclose(seen, attention.output.bias.expand_as(seen))


def test_starts_on_a_ring_round_the_reference():
    config = ModelConfig()
    attention = DeformableAttention3D(config)
    offsets = attention.sampling_offsets(torch.randn(1, 5, config.width))
    offsets = offsets.view(1, 5, config.heads, 3, config.sampling_points, 3)
    assert torch.allclose(offsets[:, :1], offsets, atol=1e-6)  # the same for every query
    radii = offsets[0, 0, ..., :2].norm(dim=-1)
    assert torch.allclose(radii, torch.arange(1.0, 1 + config.sampling_points).expand_as(radii))
    assert torch.allclose(offsets[0, 0].sum(dim=0), torch.zeros(()), atol=1e-5)  # all directions


def test_empty_batch():
    attention = DeformableAttention3D(TWO_LEVELS)
    tokens = ImageTokens(
        torch.zeros(0, 1, 8),
        torch.zeros(0, 1, D),
        torch.zeros(0, PIXELS, dtype=torch.int64),
        SIZES,
    )
    assert attention(torch.zeros(0, A, 8), torch.zeros(0, A, 3), tokens).shape == (0, A, 8)


def test_training_keeps_little_and_has_the_same_gradients():
    torch.manual_seed(0)
    config = replace(ModelConfig(), width=32, heads=2)
    attention = DeformableAttention3D(config)
    nn.init.normal_(attention.attention_logits.weight)
    queries, reference = torch.randn(2, 50, 32), torch.rand(2, 50, 3) * 2 - 1
    levels = [torch.randn(2, 32, side, side) for side in (16, 8, 4)]
    depth = torch.rand(2, 3, 8, 4, 4).softmax(dim=2)
    tokens = sample_tokens(levels, depth, torch.rand(2, 3, 2) * 2 - 1, [3, 2])
    gradients, kept = [], []
    for is_training in (True, False):
        attention.train(is_training).zero_grad()
        sizes: dict[int, int] = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            result = attention(queries, reference, tokens).square().sum()
        kept.append(sum(sizes.values()))
        result.backward()
        gradients.append([parameter.grad for parameter in attention.parameters()])
    assert kept[0] < kept[1] / 2
    for recomputed, direct in zip(*gradients, strict=True):
        assert torch.allclose(recomputed, direct, rtol=1e-4, atol=1e-5)
