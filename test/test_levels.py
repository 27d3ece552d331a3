from dataclasses import replace

import pytest
import torch

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.levels import LevelProjections, pixels_of

CONFIG = replace(ModelConfig(), width=64)


@pytest.mark.parametrize("kernel", [1, 3])
def test_some_pixels_are_those_of_the_whole(kernel):
    torch.manual_seed(0)
    projections = LevelProjections(replace(CONFIG, level_kernel=kernel)).double()
    convolution, norm = projections.projections[1]
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    level = torch.randn(2, 48, 8, 6).double() * 3 + torch.randn(48, 1, 1).double() * 5
    pixels = torch.randint(48, (2, 7))
    whole = projections(1, level)
    assert torch.allclose(whole, norm(convolution(level)).flatten(2).transpose(1, 2))
    some = projections(1, level, pixels)
    expected = torch.stack([rows[chosen] for rows, chosen in zip(whole, pixels, strict=True)])
    assert torch.allclose(some, expected)
    direction = torch.randn(2, 7, 64).double()
    parameters = list(projections.projections[1].parameters())
    gradients = [torch.autograd.grad(y, parameters, direction) for y in (some, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs)


def test_single_precision_is_enough():
    torch.manual_seed(0)
    projections = LevelProjections(CONFIG)
    level = torch.randn(2, 48, 64, 64) + 30 * torch.randn(48, 1, 1)
    pixels = torch.randint(4096, (2, 50))
    found = projections(0, level, pixels)
    exact = projections.double()(0, level.double(), pixels)
    assert (found - exact).abs().max() < 1e-3


def test_pixels_are_counted_row_by_row():
    level = torch.arange(12.0).view(1, 1, 3, 4)
    assert pixels_of(level, torch.tensor([[5, 0]])).flatten().tolist() == [5, 0]
    assert pixels_of(level, None).flatten().tolist() == list(range(12))


def test_a_width_that_cannot_be_normalised_is_named():
    with pytest.raises(ValueError, match=r"width: expected a multiple of 32, .* got 48"):
        LevelProjections(replace(CONFIG, width=48))
