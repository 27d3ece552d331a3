"""The paper's two losses: mean joint error, and depth inside windows round the joints."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pandapose_ros.config import LossConfig, ModelConfig
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.pandapose import PandaPoseOutput
from pandapose_ros.model.tokens import window_pixels

# Windows finer than this would miss pixels that the sampling of the depth maps reads between.
LEAST_WINDOW = 2


class Losses(NamedTuple):
    """Hold the loss of a batch and its parts.

    Attributes:
        total: Weighted sum, scalar.
        pose: Mean joint error in metres, scalar.
        depth: Depth loss, scalar; None without image features or without a depth net.
    """

    total: Tensor
    pose: Tensor
    depth: Tensor | None


def training_loss(
    output: PandaPoseOutput,
    joints: Tensor,
    keypoints: Tensor,
    config: ModelConfig,
    loss: LossConfig = LossConfig(),
) -> Losses:
    """Sum the losses of a batch.

    Args:
        output: Of the network, in training mode; without depth the pose loss stands alone.
        joints: True joints [B, J, 3], metres, root-relative, crop-camera axes.
        keypoints: The keypoints that went into the network [B, J, 2], crop pixels.
        config: Of the network.
        loss: Weights and forms.

    Returns:
        The weighted sum, and both; `pose` is of the last layer alone.

    Source:
        PandaPose, section 3.7, whose weights 2 and 0.1 are the default. Our choice: metres.
    """
    pose = pose_loss(output.joints, joints)
    supervised = pose
    if loss.deep_supervision:
        layers = [pose_loss(layer, joints) for layer in output.layer_joints]
        supervised = torch.stack(layers).mean()
    total = loss.pose_weight * supervised
    depth = None
    if output.depth_values is not None:
        depth = regression_loss(output.depth_values, joints[..., 2], keypoints, config)
    elif output.depth_logits is not None:
        depth = depth_loss(output.depth_logits, joints[..., 2], keypoints, config, loss)
    return Losses(total if depth is None else total + loss.depth_weight * depth, pose, depth)


def pose_loss(joints: Tensor, truth: Tensor) -> Tensor:
    """Return the mean distance between joints [B, J, 3] and true ones, in their unit."""
    return (joints - truth).norm(dim=-1).mean()


def depth_loss(
    logits: Tensor,
    depths: Tensor,
    keypoints: Tensor,
    config: ModelConfig,
    loss: LossConfig = LossConfig(),
) -> Tensor:
    """Compare the depth distributions near each joint with its true depth, bin by bin.

    With c_k = p_0 + ... + p_k, a pixel whose joint lies in bin l costs
    - sum_{k < l} log(1 - c_k) - sum_{k >= l} log c_k: "is it nearer than the end of bin k?".

    Args:
        logits: [B, J, D, h, w], unnormalised over D.
        depths: True depths [B, J], metres, root-relative, any; outside the range the first or
            last bin counts.
        keypoints: Centres of the windows [B, J, 2], crop pixels, those the network was given.
        config: Of the network: crop size, window and depth range.
        loss: Other forms than the ordinal one.

    Returns:
        Mean over all windows' pixels of the sum over bins, scalar.

    Source:
        PandaPose, section 3.3, read as an ordinal loss. Our choice: the cumulative sum of the
        softmax as the probabilities, which keeps it a distribution, and windows of at least
        2 x 2 pixels.
    """
    windows = _windows(logits.flatten(3), logits.shape[-2:], keypoints, config)
    windows = windows.transpose(2, 3).float()  # [B, J, side * side, D]
    labels = depth_labels(depths, config)[..., None].expand(windows.shape[:3])
    if loss.depth_loss == "ordinal":
        return ordinal_loss(windows, labels)
    if loss.depth_loss == "cross_entropy":
        return F.cross_entropy(windows.flatten(0, 2), labels.flatten())
    p = windows.softmax(dim=-1)
    truth = F.one_hot(labels, p.shape[-1]).to(p)
    return F.binary_cross_entropy(p, truth, reduction="none").sum(dim=-1).mean()


def regression_loss(
    values: Tensor, depths: Tensor, keypoints: Tensor, config: ModelConfig
) -> Tensor:
    """Return the mean difference of depths near each joint to its true depth, metres.

    Args:
        values: [B, J, h, w], metres, root-relative.
        depths: True depths [B, J], metres, root-relative.
        keypoints: Centres of the windows [B, J, 2], crop pixels.
        config: Of the network: crop size and window.

    Source:
        PandaPose, Table 6, first row. Our choice: the absolute difference.
    """
    windows = _windows(values[:, :, None].flatten(3), values.shape[-2:], keypoints, config)
    return (windows[:, :, 0] - depths[..., None]).abs().mean()


def _windows(maps: Tensor, size: torch.Size, keypoints: Tensor, config: ModelConfig) -> Tensor:
    """Cut the window round each keypoint out of maps [B, J, D, h * w]: [B, J, D, side * side]."""
    height, width = size
    side = max(LEAST_WINDOW, round(config.window_fraction * height))
    grid = pixel_to_grid(keypoints, config.crop_width, config.crop_height)
    pixels = window_pixels(grid, height, width, side)
    return maps.gather(3, pixels[:, :, None].expand(-1, -1, maps.shape[2], -1))


def ordinal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean ordinal loss of logits [..., D] against bins [...]."""
    log_p = logits.float().log_softmax(dim=-1)
    log_up_to = log_p.logcumsumexp(dim=-1)[..., :-1]  # log c_k; c of the last bin is 1
    log_after = log_p.flip(-1).logcumsumexp(dim=-1).flip(-1)[..., 1:]  # log (1 - c_k)
    bins = torch.arange(log_up_to.shape[-1], device=logits.device)
    return -torch.where(bins >= labels[..., None], log_up_to, log_after).sum(dim=-1).mean()


def depth_labels(depths: Tensor, config: ModelConfig) -> Tensor:
    """Return the bin of each root-relative depth in metres, clamped to the first and last."""
    unit = (depths + config.depth_range) / (2 * config.depth_range)
    return (unit * config.depth_bins).floor().clamp(0, config.depth_bins - 1).long()
