"""2D-prior sampling: the few pixels of the feature levels that matter, with their depth.

The finest levels keep windows around the keypoints, the coarser ones all pixels. Every pixel kept
is a token with a feature and a depth distribution; the lifted feature volume is the outer
product of the two and zero elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pandapose_ros.geometry import grid_to_pixel, pixel_to_grid
from pandapose_ros.model.levels import pixels_of


@dataclass(frozen=True)
class ImageTokens:
    """Hold the sampled pixels of all levels.

    Attributes:
        features: [B, N, C]. Token 0 is empty: it stands for every pixel that was not sampled.
        depth: Depth distribution of each token [B, N, D]; zero for the empty one. D = 1 if
            features are not lifted.
        token_of_pixel: [B, P] int64: token of each of the P pixels of all levels, finest level
            first and row by row; 0 where not sampled.
        sizes: (width, height) of each level.
    """

    features: Tensor
    depth: Tensor
    token_of_pixel: Tensor
    sizes: tuple[tuple[int, int], ...]


def read_as_they_are(_: int, level: Tensor, pixels: Tensor | None) -> Tensor:
    """Return pixels [B, N] of a level [B, C, H, W] as [B, N, C]; None: all."""
    return pixels_of(level, pixels)


def sample_tokens(
    levels: list[Tensor],
    depth_probabilities: Tensor,
    keypoints: Tensor,
    window_sides: list[int],
    random: torch.Generator | None = None,
    project: Callable[[int, Tensor, Tensor | None], Tensor] = read_as_they_are,
) -> ImageTokens:
    """Sample the levels: windows around the keypoints on the finest ones, whole maps after that.

    Args:
        levels: List of L tensors [B, C_l, H_l, W_l], finest first.
        depth_probabilities: [B, J, D, h, w], a distribution over D; flat if D = 1.
        keypoints: [B, J, 2], grid units; a window around a keypoint near or past the border is
            moved inside.
        window_sides: Side of the windows in pixels, one for each windowed level, finest first.
        random: If given, draws as many pixels of these levels at random instead of windows.
        project: Reads pixels of the level of an index, as `LevelProjections.forward` does.

    Returns:
        The tokens.

    Source:
        PandaPose, section 3.4: r x r windows on the two finest levels, depth sampled likewise.
        Our choice: where windows overlap, the mean of the joints' distributions; on whole levels
        the mean over all joints, as for random pixels.
    """
    depth_mean = depth_probabilities.mean(dim=1)  # [B, D, h, w]
    features, depth = [], [depth_mean.new_zeros(keypoints.shape[0], 1, depth_mean.shape[1])]
    tables, first = [], 1
    for index, level in enumerate(levels):
        chosen = None
        if index < len(window_sides):
            pixels = window_pixels(keypoints, level.shape[2], level.shape[3], window_sides[index])
            joint_depth = depth_probabilities
            if random is not None:
                pixels = _random_pixels(pixels, level, random)
                joint_depth = depth_mean[:, None].expand_as(depth_probabilities)
            depth.append(_window_depth(joint_depth, pixels, level))
            chosen = pixels.flatten(1)  # [B, J * r * r]
        else:
            depth.append(_whole_depth(depth_mean, level))
        features.append(project(index, level, chosen))
        tables.append(_number_pixels(chosen, level, first))
        first = first + features[-1].shape[1]  # not in place, for the sake of the export
    sizes = tuple((level.shape[3], level.shape[2]) for level in levels)
    features = torch.cat((torch.zeros_like(features[0][:, :1]), *features), 1)
    return ImageTokens(features, torch.cat(depth, 1), torch.cat(tables, 1), sizes)


def window_pixels(keypoints: Tensor, height: int, width: int, side: int) -> Tensor:
    """Find the pixels of a map in a square window around each keypoint, kept inside the map.

    Args:
        keypoints: [B, J, 2], grid coordinates.
        height: Rows of the map.
        width: Columns of the map.
        side: Pixels along each side of the window.

    Returns:
        Indices [B, J, side * side] into the map's pixels, row by row.
    """
    first = (grid_to_pixel(keypoints, width, height) - (side - 1) / 2).round()
    steps = torch.arange(side, device=keypoints.device)
    u = first[..., 0].clamp(0, width - side).long()[..., None] + steps  # [B, J, side]
    v = first[..., 1].clamp(0, height - side).long()[..., None] + steps
    return (v[..., :, None] * width + u[..., None, :]).flatten(2)


def _random_pixels(pixels: Tensor, level: Tensor, random: torch.Generator) -> Tensor:
    """Return as many random pixels of a level as there are pixels [B, J, r * r]."""
    high = level.shape[2:].numel()
    return torch.randint(high, pixels.shape, generator=random, device=pixels.device)


def _window_depth(probabilities: Tensor, pixels: Tensor, level: Tensor) -> Tensor:
    """Return each window pixel's depth [B, J * r * r, D], the mean of the joints that cover it."""
    height, width = level.shape[-2:]
    (B, J, n), D = pixels.shape, probabilities.shape[2]
    centres = torch.stack((pixels % width, pixels // width), dim=-1).to(probabilities.dtype)
    sampled = F.grid_sample(
        probabilities.flatten(0, 1),
        pixel_to_grid(centres, width, height).view(B * J, n, 1, 2),
        padding_mode="border",
        align_corners=False,
    )  # [B * J, D, n, 1]
    sampled = sampled.view(B, J, D, n).transpose(2, 3).flatten(1, 2)
    pixels = pixels.flatten(1)
    same = (pixels[:, :, None] == pixels[:, None, :]).to(sampled.dtype)  # [B, J * n, J * n]
    return same @ sampled / same.sum(dim=2, keepdim=True)


def _whole_depth(depth_mean: Tensor, level: Tensor) -> Tensor:
    """Return the joints' mean depth distribution at every pixel of a level [B, h * w, D]."""
    if depth_mean.shape[-2:] != level.shape[-2:]:
        size = level.shape[-2:]
        depth_mean = F.interpolate(depth_mean, size, mode="bilinear", align_corners=False)
    return depth_mean.flatten(2).transpose(1, 2)


def _number_pixels(pixels: Tensor | None, level: Tensor, first: int) -> Tensor:
    """Return the token of each pixel of a level [B, h * w], 0 for pixels not in the list, if any.

    A pixel in two windows has two equal tokens; it does not matter which one it gets.
    """
    count = level.shape[2:].numel()
    if pixels is None:
        return torch.arange(first, first + count, device=level.device).expand(level.shape[0], -1)
    table = pixels.new_zeros(pixels.shape[0], count)
    numbers = torch.arange(first, first + pixels.shape[1], device=pixels.device)
    return table.scatter(1, pixels, numbers.expand_as(pixels))
