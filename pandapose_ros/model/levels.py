"""Level projections: every feature level of the backbone gets the same number of channels."""

import torch
from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.precision import full_precision

NORM_GROUPS = 32
NORM_EPSILON = 1e-5


class LevelProjections(nn.Module):
    """Project each feature level to `width` channels: a convolution, then group normalisation.

    Source:
        PandaPose, section 3.4 (all levels are normalised to the same channels). Our choice:
        group normalisation, as in Deformable DETR, and the side of the kernel (see ModelConfig).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.width % NORM_GROUPS:
            raise ValueError(
                f"width: expected a multiple of {NORM_GROUPS}, as levels are normalised in that "
                f"many groups; got {config.width}"
            )
        self.kernel = side = config.level_kernel
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, config.width, side, padding=side // 2),
                nn.GroupNorm(NORM_GROUPS, config.width, NORM_EPSILON),
            )
            for channels in config.level_channels
        )

    def forward(self, index: int, level: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Project a level, or some pixels of it; the normalisation is over all its pixels.

        With a 1x1 kernel only the wanted pixels are computed, which saves a quarter of a training
        step: their normalisation follows from the mean and covariance of the level (`_in_one`).

        Args:
            index: Of the level, finest first.
            level: [B, C_l, H_l, W_l].
            pixels: [B, N], row by row; None: all.

        Returns:
            [B, N, C], C = `width`.
        """
        projection = self.projections[index]
        if pixels is None or self.kernel > 1:
            return pixels_of(projection(level), pixels)
        with full_precision(level.device):  # variances need all their digits
            parameters = list(projection.parameters())
            level = level.to(parameters[0].dtype)
            weight, shift = _in_one(parameters, level)
            return torch.baddbmm(shift[:, None], pixels_of(level, pixels), weight)


def pixels_of(level: Tensor, pixels: Tensor | None) -> Tensor:
    """Return pixels [B, N] of a level [B, C, H, W] as [B, N, C]; None: all, row by row."""
    level = level.flatten(2)
    if pixels is not None:
        level = level.gather(2, pixels[:, None].expand(-1, level.shape[1], -1))
    return level.transpose(1, 2)


def _in_one(parameters: list[nn.Parameter], level: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1x1 convolution and norm of a level as one map: [B, C_l, C] and shift [B, C].

    Channel c of W x + b has the mean m_c = W_c mean(x) + b_c and the variance v_c =
    W_c cov(x) W_c^T; a group has the mean m of its m_c and the variance mean(v_c + (m_c - m)^2).
    """
    weight, bias, norm_weight, norm_bias = parameters
    weight, level = weight.flatten(1), level.flatten(2)  # [C, C_l], [B, C_l, P]
    mean = level.mean(dim=2)
    apart = level - mean[..., None]
    covariance = apart @ apart.transpose(1, 2) / level.shape[2]  # [B, C_l, C_l]
    means = (mean @ weight.T + bias).unflatten(1, (NORM_GROUPS, -1))
    variances = ((weight @ covariance) * weight).sum(dim=2).unflatten(1, (NORM_GROUPS, -1))
    mean, size = means.mean(dim=2), means.shape[2]  # of a group [B, G]
    variance = variances.mean(dim=2) + (means - mean[..., None]).square().mean(dim=2)
    scale = norm_weight * (variance + NORM_EPSILON).rsqrt().repeat_interleave(size, dim=1)
    shift = (bias - mean.repeat_interleave(size, dim=1)) * scale + norm_bias
    return weight.T * scale[:, None], shift
