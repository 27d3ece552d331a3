"""Defaults of how people are placed in the robot's world."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class WorldConfig:
    """Set in which frame `pose_node` publishes, and to whom beside its own topics."""

    target_frame: str = option(
        "", "Frame to publish in, by tf at the image's time; empty: the camera's optical frame"
    )
    transform_timeout: float = option(
        0.1,
        "How long people wait for their transform to target_frame: set it to the period plus the "
        "delay of the slowest tf; in real time, so more where a simulation is slower [s]",
        low=0.0,
        high=10.0,
        live=True,
    )
    publish_tf: bool = option(
        False, "A frame body_ID per tracked person on /tf: REP 155, x forward, z to the head"
    )
    publish_hri: bool = option(
        False, "Publish the tracked people on /humans/bodies as REP 155 asks; needs hri_msgs"
    )
