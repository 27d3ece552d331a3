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
        "Minimum score of a joint to be drawn, as a marker or in the debug image",
        low=0.0,
        high=1.0,
        live=True,
    )
    marker_lifetime: float = option(
        0.5,
        "Lifetime of markers in RViz after the node has stopped; 2.5 times the interval between "
        "messages, up to 2 s, if that is longer; 0: forever [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )
    marker_colour: str = option(
        "side",
        "Meaning of the colours of joints and bones: body side, person, or score of the joint",
        choices=MEANINGS,
        live=True,
    )
    anchor_joint: str = option(
        "",
        "Joint for which the anchor and depth markers show votes and depth; empty: all joints",
        choices=("", *H36M_17.joint_names),
        live=True,
    )
    debug_image_width: int = option(
        0,
        "Maximum width of the debug image; 0: the camera's width [px]",
        low=0,
        high=16384,
        live=True,
    )
    debug_image_quality: int = option(
        80, "JPEG quality of the compressed debug image", low=1, high=100, live=True
    )
