"""HRNet: the paper's frozen image backbone, four feature levels kept side by side.

Modules carry the names of the public COCO pose weights (`pose_hrnet_w32_256x192.pth`), so that
those load unchanged.
"""

import functools
import pickle
import textwrap
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
STEM_WIDTH = 64
BRANCH_DEPTH = 4
HEAT_MAP_LAYER = "final_layer."
_SHOWN_CHARACTERS = 400  # of the differences of a file


class HRNetOutput(NamedTuple):
    """Hold the backbone's result.

    Attributes:
        features: List of 4 tensors [B, C_l, H / s, W / s] at strides s = 4, 8, 16, 32.
    """

    features: list[Tensor]


class HRNet(nn.Module):
    """Extract the feature levels of HRNet; with width 32: 28.536 M parameters.

    Source:
        Sun et al., Deep High-Resolution Representation Learning (arXiv 1902.09212), without the
        heat-map layer. The finest level is the output of stage 4, which fuses only that branch;
        the other three are the inputs of stage 4, as PandaPose inherits from CA-PF.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.register_buffer("mean", _per_channel(IMAGENET_MEAN), persistent=False)
        self.register_buffer("deviation", _per_channel(IMAGENET_DEVIATION), persistent=False)
        self.conv1 = nn.Conv2d(3, STEM_WIDTH, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_WIDTH)
        self.conv2 = nn.Conv2d(STEM_WIDTH, STEM_WIDTH, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_WIDTH)
        bottlenecks = [Bottleneck(STEM_WIDTH)] + [Bottleneck(4 * STEM_WIDTH) for _ in range(3)]
        self.layer1 = nn.Sequential(*bottlenecks)
        self.transition1 = _first_transition(4 * STEM_WIDTH, widths[:2])
        self.stage2 = _stage(widths[:2], modules=1)
        self.transition2 = _transition(widths[:3])
        self.stage3 = _stage(widths[:3], modules=4)
        self.transition3 = _transition(widths)
        self.stage4 = _stage(widths, modules=3, last_outputs=1)

    def forward(self, crops: Tensor) -> HRNetOutput:
        """Extract features.

        Args:
            crops: [B, 3, H, W], RGB in [0, 1]; H and W multiples of 32.
        """
        crops = (crops - self.mean) / self.deviation
        stem = F.relu(self.bn1(self.conv1(crops)))
        stem = self.layer1(F.relu(self.bn2(self.conv2(stem))))
        levels = self.stage2([step(stem) for step in self.transition1])
        levels = self.stage3([*levels, self.transition2[-1](levels[-1])])
        levels = [*levels, self.transition3[-1](levels[-1])]
        return HRNetOutput([*self.stage4(levels), *levels[1:]])


class Bottleneck(nn.Module):
    """Add a 1x1, 3x3, 1x1 convolution to the input; 64 channels inside, 256 outside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, outer = STEM_WIDTH, 4 * STEM_WIDTH
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = nn.Sequential()
        if channels != outer:
            self.downsample.extend(_convolution(channels, outer, side=1))

    def forward(self, level: Tensor) -> Tensor:
        """Return the sum, rectified."""
        residual = F.relu(self.bn1(self.conv1(level)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        return F.relu(self.downsample(level) + self.bn3(self.conv3(residual)))


class BasicBlock(nn.Module):
    """Add two 3x3 convolutions to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, level: Tensor) -> Tensor:
        """Return the sum, rectified."""
        residual = F.relu(self.bn1(self.conv1(level)))
        return F.relu(level + self.bn2(self.conv2(residual)))


class HighResolutionModule(nn.Module):
    """Refine every level by itself, then sum over all levels, each resized to the others."""

    def __init__(self, widths: list[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(BRANCH_DEPTH))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resize(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the fused levels, finest first."""
        levels = [branch(level) for branch, level in zip(self.branches, levels, strict=True)]
        return [F.relu(_sum_resized(fuse, levels)) for fuse in self.fuse_layers]


def load_coco_weights(net: HRNet, path: Path) -> None:
    """Load the public COCO pose weights, for example `pose_hrnet_w32_256x192.pth`.

    Args:
        net: The network to fill.
        path: A file written by `torch.save`, holding nothing but tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds anything but weights, or those of another network. Its
            heat-map layer is ignored.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no HRNet weights at {path}; get pose_hrnet_w32_256x192.pth from the HRNet authors"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        # PyTorch raises OSError for a file that was cut off.
        raise ValueError(f"{path} is not a plain file of weights, or damaged: {error}") from error
    if not (isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())):
        raise ValueError(
            f"{path} is not a plain file of weights: expected tensors by name, as in the file of "
            "the HRNet authors"
        )
    state = {key: value for key, value in state.items() if not key.startswith(HEAT_MAP_LAYER)}
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        # With another width, hundreds of layers differ; the first few are enough.
        differences = textwrap.shorten(str(error), _SHOWN_CHARACTERS)
        raise ValueError(f"{path} does not fit this HRNet: {differences}") from error


def _per_channel(values: tuple[float, ...]) -> Tensor:
    """Return values as [1, 3, 1, 1]."""
    return torch.tensor(values).view(1, -1, 1, 1)


def _convolution(channels: int, width: int, side: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its normalisation."""
    convolution = nn.Conv2d(channels, width, side, stride, padding=side // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


def _first_transition(channels: int, widths: list[int]) -> nn.ModuleList:
    """Return the step from the stem to the two levels of stage 2."""
    same = nn.Sequential(*_convolution(channels, widths[0]), nn.ReLU())
    half = nn.Sequential(*_convolution(channels, widths[1], stride=2), nn.ReLU())
    return nn.ModuleList([same, nn.Sequential(half)])


def _transition(widths: list[int]) -> nn.ModuleList:
    """Return the step that makes one more level of the last; the others stay as they are."""
    half = nn.Sequential(*_convolution(widths[-2], widths[-1], stride=2), nn.ReLU())
    return nn.ModuleList([*(nn.Identity() for _ in widths[:-1]), nn.Sequential(half)])


def _stage(widths: list[int], modules: int, last_outputs: int | None = None) -> nn.Sequential:
    """Return modules one after another; the last may give only the finest levels."""
    outputs = [len(widths)] * (modules - 1) + [last_outputs or len(widths)]
    return nn.Sequential(*(HighResolutionModule(widths, count) for count in outputs))


def _resize(widths: list[int], source: int, target: int) -> nn.Module:
    """Return the layer that brings level `source` to the size and width of level `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_convolution(widths[source], widths[target], side=1), up)
    steps = target - source
    halves = [
        nn.Sequential(*_convolution(widths[source], widths[source], stride=2), nn.ReLU())
        for _ in range(steps - 1)
    ]
    return nn.Sequential(
        *halves, nn.Sequential(*_convolution(widths[source], widths[target], stride=2))
    )


def _sum_resized(fuse: nn.Module, levels: list[Tensor]) -> Tensor:
    """Return the sum of the levels, each through its layer."""
    resized = [layer(level) for layer, level in zip(fuse.children(), levels, strict=True)]
    return functools.reduce(torch.add, resized)
