"""Defaults of how people are placed in the robot's world."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class WorldConfig:
    """Set in which frame `pose_node` publishes, and where in addition to its own topics."""

    target_frame: str = option(
        "", "Frame to publish in, with tf at the image's time; empty: the camera's optical frame"
    )
    transform_timeout: float = option(
        0.1,
        "Maximum wait for the transform to target_frame: set it to the period plus the delay of "
        "the slowest tf; in real time, so use more if a simulation runs slower [s]",
        low=0.0,
        high=10.0,
        live=True,
    )
    publish_tf: bool = option(
        False,
        "Publish a frame body_ID per tracked person on /tf (REP 155: x forward, z to the head)",
    )
    publish_hri: bool = option(
        False, "Publish the tracked people on /humans/bodies (REP 155); needs hri_msgs"
    )
