"""Defaults of what is drawn: markers and the debug image."""

from dataclasses import dataclass

from pandapose_ros.colours import MEANINGS
from pandapose_ros.config.options import option
from pandapose_ros.skeleton import H36M_17


@dataclass(frozen=True)
class PictureConfig:
    """Set how `pose_node` draws people."""

    marker_score: float = option(
        0.3,
        "Least joint score for a joint to be drawn, as a marker or in the debug image",
        low=0.0,
        high=1.0,
        live=True,
    )
    marker_lifetime: float = option(
        0.5,
        "Time after which RViz forgets markers of a node that is gone; 2.5 times that between "
        "messages, up to 2 s, if that is longer; 0: never [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )
    marker_colour: str = option(
        "side",
        "What colours tell of joints and bones: the body's side, the person, or the joint's score",
        choices=MEANINGS,
        live=True,
    )
    anchor_joint: str = option(
        "",
        "Joint whose votes and depth are drawn by the anchor and depth markers; empty: all joints",
        choices=("", *H36M_17.joint_names),
        live=True,
    )
    debug_image_width: int = option(
        0, "Greatest width of the debug image; 0: the camera's [px]", low=0, high=16384, live=True
    )
    debug_image_quality: int = option(
        80, "JPEG quality of the compressed debug image", low=1, high=100, live=True
    )
