"""Defaults of evaluation."""

from dataclasses import dataclass
from typing import Literal

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class EvaluationConfig:
    """Set how networks are scored."""

    challenging_threshold: float = option(
        5.0, "2D error above which a sample is challenging, in its unit", low=0.0
    )
    challenging_unit: Literal["crop", "image", "share"] = option(
        "crop", "Unit of that error: pixels of crop or image, or % of the person's height"
    )
    challenging_reduction: Literal["mean", "max"] = option(
        "mean", "How the keypoint errors of a sample are combined"
    )
    noise_px: tuple[float, ...] = option(
        (1.0, 2.0, 3.0, 4.0, 5.0),
        "Standard deviations of noise added to the keypoints, pixels of the crop",
    )
    top_votes: int = option(
        50,
        "Number of anchors with the highest weights per joint whose offsets are averaged",
        low=1,
    )
    batch: int = option(16, "People per batch", low=1)
    seed: int = option(0, "Random seed of the noise", low=0)
