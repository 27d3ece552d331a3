"""Defaults of evaluation."""

from dataclasses import dataclass
from typing import Literal

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class EvaluationConfig:
    """Set what is counted, and how, when networks are scored."""

    challenging_threshold: float = option(
        5.0, "2D error above which a sample is challenging, in its unit", low=0.0
    )
    challenging_unit: Literal["crop", "image", "share"] = option(
        "crop", "Unit of that error: pixels of crop or image, or % of the person's height"
    )
    challenging_reduction: Literal["mean", "max"] = option(
        "mean", "How the errors of a sample's keypoints become one"
    )
    noise_px: tuple[float, ...] = option(
        (1.0, 2.0, 3.0, 4.0, 5.0), "Noise added to the keypoints, pixels of the crop"
    )
    top_votes: int = option(50, "Weightest anchors of a joint whose offsets are averaged", low=1)
    batch: int = option(16, "People lifted at once", low=1)
    seed: int = option(0, "Of the noise", low=0)
