"""The paper's two losses: mean joint error, and ordinal depth inside windows round the joints."""

from typing import NamedTuple

import torch
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.pandapose import PandaPoseOutput
from pandapose_ros.model.tokens import window_pixels

POSE_WEIGHT = 2.0
DEPTH_WEIGHT = 0.1
# Windows finer than this would miss pixels that the sampling of the depth maps reads between.
LEAST_WINDOW = 2


class Losses(NamedTuple):
    """Hold the loss of a batch and its parts.

    Attributes:
        total: Weighted sum, scalar.
        pose: Mean joint error in metres, scalar.
        depth: Ordinal depth loss, scalar; None without image features.
    """

    total: Tensor
    pose: Tensor
    depth: Tensor | None


def training_loss(
    output: PandaPoseOutput, joints: Tensor, keypoints: Tensor, config: ModelConfig
) -> Losses:
    """Sum the losses of a batch.

    Args:
        output: Of the network; without depth logits the pose loss stands alone.
        joints: True joints [B, J, 3], metres, root-relative, crop-camera axes.
        keypoints: The keypoints that went into the network [B, J, 2], crop pixels.
        config: Of the network.

    Returns:
        The sum 2 pose + 0.1 depth, and both.

    Source:
        PandaPose, section 3.7: weights 2 and 0.1. Our choice: metres.
    """
    pose = pose_loss(output.joints, joints)
    if output.depth_logits is None:
        return Losses(POSE_WEIGHT * pose, pose, None)
    depth = depth_loss(output.depth_logits, joints[..., 2], keypoints, config)
    return Losses(POSE_WEIGHT * pose + DEPTH_WEIGHT * depth, pose, depth)


def pose_loss(joints: Tensor, truth: Tensor) -> Tensor:
    """Return the mean distance between joints [B, J, 3] and true ones, in their unit."""
    return (joints - truth).norm(dim=-1).mean()


def depth_loss(logits: Tensor, depths: Tensor, keypoints: Tensor, config: ModelConfig) -> Tensor:
    """Compare the depth distributions near each joint with its true depth, bin by bin.

    With c_k = p_0 + ... + p_k, a pixel whose joint lies in bin l costs
    - sum_{k < l} log(1 - c_k) - sum_{k >= l} log c_k: "is it nearer than the end of bin k?".

    Args:
        logits: [B, J, D, h, w], unnormalised over D.
        depths: True depths [B, J], metres, root-relative, any; outside the range the first or
            last bin counts.
        keypoints: Centres of the windows [B, J, 2], crop pixels, those the network was given.
        config: Of the network: crop size, window and depth range.

    Returns:
        Mean over all windows' pixels of the sum over bins, scalar.

    Source:
        PandaPose, section 3.3, read as an ordinal loss. Our choice: the cumulative sum of the
        softmax as the probabilities, which keeps it a distribution, and windows of at least
        2 x 2 pixels.
    """
    height, width = logits.shape[-2:]
    side = max(LEAST_WINDOW, round(config.window_fraction * height))
    grid = pixel_to_grid(keypoints, config.crop_width, config.crop_height)
    pixels = window_pixels(grid, height, width, side)
    index = pixels[:, :, None].expand(-1, -1, logits.shape[2], -1)
    windows = logits.flatten(3).gather(3, index).transpose(2, 3)  # [B, J, side * side, D]
    return ordinal_loss(windows, depth_labels(depths, config)[..., None])


def ordinal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean ordinal loss of logits [..., D] against bins [...] (broadcast)."""
    log_p = logits.float().log_softmax(dim=-1)
    log_up_to = log_p.logcumsumexp(dim=-1)[..., :-1]  # log c_k; c of the last bin is 1
    log_after = log_p.flip(-1).logcumsumexp(dim=-1).flip(-1)[..., 1:]  # log (1 - c_k)
    bins = torch.arange(log_up_to.shape[-1], device=logits.device)
    return -torch.where(bins >= labels[..., None], log_up_to, log_after).sum(dim=-1).mean()


def depth_labels(depths: Tensor, config: ModelConfig) -> Tensor:
    """Return the bin of each root-relative depth in metres, clamped to the first and last."""
    unit = (depths + config.depth_range) / (2 * config.depth_range)
    return (unit * config.depth_bins).floor().clamp(0, config.depth_bins - 1).long()
