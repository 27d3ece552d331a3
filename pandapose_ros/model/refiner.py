"""Refinement of the 2D pose: where the feature maps show each keypoint, near its first estimate.

The landmark net regresses keypoints from a vector, which tells one wrist from the other but is not
accurate to the pixel; the feature maps that it computes on the way are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pandapose_ros.model.precision import full_precision

_WIDTH = 64
_FINE_WIDTH = 32
_BLOCKS = 2
_KERNEL = 7
_REACH_PX = 12.0  # initial standard deviation of the Gaussian around a keypoint


class KeypointRefiner(nn.Module):
    """Move keypoints to where the feature maps show them.

    With heat maps h and a learned spread s of each joint j, over the pixels x:

    p_j(x) = softmax over x of (h_j(x) - |x - keypoint_j|^2 / (2 s_j^2))
    refined keypoint_j = sum_x p_j(x) x

    Args:
        joints: How many keypoints, J.
        channels: Of each feature map.
        crop_size: Side of the crop, pixels.
        sides: Of the three feature maps, finest first, each half of the one before.

    Source:
        Our choice: the paper takes the 2D pose of a detector with heat maps (CPN, HRNet) as it
        is; BlazePose's is coarser. Expectation over a heat map as in Sun et al., Integral Human
        Pose Regression (arXiv 1711.08229), times a Gaussian around the first estimate.
    """

    ticks: Tensor

    def __init__(
        self, joints: int, channels: int, crop_size: int, sides: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.crop_size = crop_size
        self.entry = nn.Conv2d(len(sides) * channels + joints, _WIDTH, 1)
        self.blocks = nn.ModuleList(_Block() for _ in range(_BLOCKS))
        self.coarse = nn.Conv2d(_WIDTH, _FINE_WIDTH, 1)
        self.fine = nn.Conv2d(channels, _FINE_WIDTH, 1)
        self.heat = nn.Conv2d(_FINE_WIDTH, joints, 1)
        self.log_spread = nn.Parameter(torch.zeros(joints))
        stride = crop_size / sides[0]
        ticks = (torch.arange(sides[0]) + 0.5) * stride - 0.5
        self.register_buffer("ticks", ticks, persistent=False)

    def forward(self, features: list[Tensor], keypoints: Tensor) -> Tensor:
        """Refine keypoints.

        Args:
            features: Three maps [B, C, S, S], finest first.
            keypoints: [B, J, 2], crop pixels.

        Returns:
            [B, J, 2], crop pixels; keypoints that lie outside the crop are unchanged.
        """
        fine, middle, coarse = features
        with full_precision(keypoints.device):
            across, down = (keypoints[..., None] - self.ticks).square().unbind(2)
            apart = down[..., None] + across[..., None, :]  # [B, J, S, S], squared pixels
            near = (-apart / (2 * _REACH_PX**2)).exp()
        parts = (functional.avg_pool2d(fine, 2), middle, _doubled(coarse))
        trunk = self.entry(torch.cat((*parts, functional.avg_pool2d(near, 2)), dim=1))
        for block in self.blocks:
            trunk = block(trunk)
        heat = self.heat(functional.gelu(_doubled(self.coarse(trunk)) + self.fine(fine)))
        with full_precision(keypoints.device):
            spread = _REACH_PX * self.log_spread.exp()[:, None, None]
            logits = heat.float() - apart / (2 * spread**2)
            shares = logits.flatten(2).softmax(dim=-1).view_as(logits)  # [B, J, S, S]
            refined = (shares.sum(dim=2) @ self.ticks, shares.sum(dim=3) @ self.ticks)
            inside = ((keypoints > 0) & (keypoints < self.crop_size - 1)).all(dim=-1)
            return torch.where(inside[..., None], torch.stack(refined, dim=-1), keypoints)


class _Block(nn.Module):
    """Mix neighbouring pixels, then channels, and add the result to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Conv2d(_WIDTH, _WIDTH, _KERNEL, padding=_KERNEL // 2, groups=_WIDTH)
        self.norm = nn.GroupNorm(1, _WIDTH)
        self.channels = nn.Sequential(
            nn.Conv2d(_WIDTH, 2 * _WIDTH, 1), nn.GELU(), nn.Conv2d(2 * _WIDTH, _WIDTH, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [B, W, S, S] of the same shape."""
        return maps + self.channels(self.norm(self.places(maps)))


def _doubled(maps: Tensor) -> Tensor:
    """Return maps of twice the size."""
    return functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
