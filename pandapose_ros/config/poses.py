"""Defaults of the poses that are made up for training."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class PoseConfig:
    """Set how often each family of poses is drawn; only their ratios matter."""

    captured: float = option(0.15, "Captured poses, mirrored half of the time", low=0.0)
    mixed: float = option(0.30, "Trunk, legs and arms of different frames", low=0.0)
    random_limbs: float = option(0.20, "Random limbs within joint limits", low=0.0)
    sitting: float = option(0.12, "On a chair, on the floor, cross-legged", low=0.0)
    crouching: float = option(0.08, "Squatting, kneeling, on one knee", low=0.0)
    reaching: float = option(0.10, "Arms far up, forward or to the side; bending down", low=0.0)
    lying: float = option(0.05, "On the back, a side or the belly", low=0.0)
