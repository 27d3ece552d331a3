"""The depth net's result for each joint: a distribution over depths, along the joint's ray."""

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import grid_to_pixel, pixel_to_grid
from pandapose_ros.pose import DepthVotes
from pandapose_ros.runtime.protocols import LiftedJoints

Array = NDArray[np.floating]


def depth_profiles(
    output: LiftedJoints, keypoints: torch.Tensor, config: ModelConfig
) -> torch.Tensor | None:
    """Read the depth distributions at the keypoints.

    Args:
        output: Of the network.
        keypoints: [B, J, 2], crop pixels, on the output's device; for one outside the crop, the
            nearest pixel is read.
        config: Of the network.

    Returns:
        [B, J, D], each row sums to 1; None if the network lifts no features.
    """
    volume = output.depth_probabilities
    if volume is None:
        return None
    B, J, _, height, width = volume.shape
    grid = pixel_to_grid(keypoints, config.crop_width, config.crop_height)
    pixels = grid_to_pixel(grid, width, height).round().long()
    u, v = pixels[..., 0].clamp(0, width - 1), pixels[..., 1].clamp(0, height - 1)
    people = torch.arange(B, device=volume.device)[:, None]
    joints = torch.arange(J, device=volume.device)[None]
    return volume[people, joints, :, v, u]


def place_depth(
    profile: Array, pelvis_depth: float, depth_range: float, axis: Array, rays: Array, root: Array
) -> DepthVotes:
    """Place one person's depth distributions along the rays of the joints.

    Args:
        profile: [J, D], over equal bins of [-depth_range, depth_range] from the root.
        pelvis_depth: The network's depth of the pelvis, which is at `root`, metres.
        depth_range: Metres.
        axis: [3], along which depth is measured: the crop's optical axis in the camera's frame.
        rays: [J, 3], from the camera towards the keypoints, any length but zero.
        root: [3], the pelvis in the camera's frame, metres.

    Returns:
        The distributions, pelvis-relative along the camera's axes.
    """
    bins = profile.shape[1]
    centres = ((np.arange(bins) + 0.5) / bins * 2 - 1) * depth_range - pelvis_depth
    depths = axis @ root + centres  # [D]
    per_metre = rays / (rays @ axis)[:, None]  # [J, 3]
    return DepthVotes(per_metre[:, None] * depths[:, None] - root, profile)
