"""Level projections: every feature level of the backbone brought to one number of channels."""

from torch import Tensor, nn

from pandapose_ros.config import ModelConfig

NORM_GROUPS = 32


class LevelProjections(nn.Module):
    """Bring each feature level to `width` channels: a convolution, then group normalisation.

    Source:
        PandaPose, section 3.4 (all levels are normalised to one number of channels). Our choice:
        group normalisation, as in Deformable DETR, and the side of the kernel (see ModelConfig).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        side = config.level_kernel
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, config.width, side, padding=side // 2),
                nn.GroupNorm(NORM_GROUPS, config.width),
            )
            for channels in config.level_channels
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Project every level.

        Args:
            features: List of L tensors [B, C_l, H_l, W_l], finest first.

        Returns:
            List of L tensors [B, C, H_l, W_l], C = `width`.
        """
        return [project(level) for project, level in zip(self.projections, features, strict=True)]
