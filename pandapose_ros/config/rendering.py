"""Defaults of people rendered while the lifter is trained."""

from dataclasses import dataclass, field

from pandapose_ros.config.options import option
from pandapose_ros.config.poses import PoseConfig


@dataclass(frozen=True)
class RenderConfig:
    """Set how images are rendered inside the training loop."""

    size: int = option(448, "Width and height, a multiple of 16 [px]", low=16)
    at_once: int = option(16, "Images rendered per batch; more need more memory", low=1)
    bystanders: float = option(0.0, "Fraction of images with a bystander", low=0.0, high=1.0)
    jpeg_quality: tuple[int, int] = option(
        (35, 95), "Minimum and maximum JPEG quality, as in libjpeg"
    )
    poses: PoseConfig = field(default_factory=PoseConfig)
