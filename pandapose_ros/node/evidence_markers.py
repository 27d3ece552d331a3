"""Markers that show why a joint is where it is: the anchors that voted, and its depth.

The rules of `markers.py` hold here too.
"""

import numpy as np
from geometry_msgs.msg import Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from pandapose_ros.colours import joint_colours
from pandapose_ros.config import PictureConfig
from pandapose_ros.node.conversions import add_root
from pandapose_ros.node.estimate import Placed
from pandapose_ros.node.markers import SHADES, marker, points_of, shade
from pandapose_ros.skeleton import Skeleton

ANCHOR_DIAMETER = 0.03  # m
VOTE_WIDTH = 0.004
DEPTH_WIDTH = 0.02
GLOBAL_COLOUR = (150, 150, 150)  # of no joint

_ANCHOR_NAMESPACES = ("anchors_local", "anchors_global")  # index = AnchorVotes.kinds


def anchor_markers(placed: Placed, skeleton: Skeleton, style: PictureConfig) -> list[Marker]:
    """Draw anchors, the more opaque the more they count in the vote.

    Args:
        placed: People; those without a root are left out.
        skeleton: Names of the joints.
        style: `anchor_joint` names the joint whose vote is drawn: all anchors in its colour, and
            a line from each that counts to the joint. Empty: anchors by their mean weight over
            all joints; local ones in the colour of their joint, with a line to it, global ones
            in grey.

    Returns:
        Up to three markers per person, in the namespaces anchors_local, anchors_global and votes.
    """
    chosen = _joint(skeleton, style)
    palette = joint_colours(skeleton)
    markers, header = [], placed.header
    for pose in placed.poses:
        votes = pose.anchors
        if pose.root is None or not len(votes.positions):
            continue
        positions = add_root(votes.positions, pose)
        steps = _steps(votes.shares if chosen is None else votes.weights[:, chosen])
        owners = votes.owners if chosen is None else np.full_like(votes.owners, chosen)
        rgb = np.where((owners >= 0)[:, None], palette[owners], GLOBAL_COLOUR)
        finite = np.isfinite(positions).all(-1)
        for kind, ns in enumerate(_ANCHOR_NAMESPACES):
            drawn = np.flatnonzero(finite & (votes.kinds == kind))
            if len(drawn):
                spheres = marker(header, ns, pose.id, Marker.SPHERE_LIST, style)
                spheres.scale = Vector3(x=ANCHOR_DIAMETER, y=ANCHOR_DIAMETER, z=ANCHOR_DIAMETER)
                spheres.points = points_of(positions[drawn])
                spheres.colors = _shades(rgb[drawn], steps[drawn])
                markers.append(spheres)
        joints = add_root(pose.joints[owners], pose)
        drawn = np.flatnonzero(finite & (owners >= 0) & (steps > 1) & np.isfinite(joints).all(-1))
        if len(drawn):
            lines = marker(header, "votes", pose.id, Marker.LINE_LIST, style)
            lines.scale.x = VOTE_WIDTH
            lines.points = points_of(np.stack((positions[drawn], joints[drawn]), 1).reshape(-1, 3))
            lines.colors = _shades(rgb[drawn].repeat(2, 0), steps[drawn].repeat(2))
            markers.append(lines)
    return markers


def depth_markers(placed: Placed, skeleton: Skeleton, style: PictureConfig) -> list[Marker]:
    """Draw the depth distributions: along the ray of a joint, the more opaque the more likely.

    Args:
        placed: People; those without a root are left out.
        skeleton: Names of the joints.
        style: `anchor_joint` names the joint that is drawn; empty: all.

    Returns:
        Up to one marker per person, in the namespace depth.
    """
    chosen = _joint(skeleton, style)
    palette = joint_colours(skeleton)
    markers, header = [], placed.header
    for pose in placed.poses:
        if pose.root is None or pose.depth is None:
            continue
        positions = add_root(pose.depth.positions, pose)
        # A piece of line from bin to bin, as likely as its ends are on average.
        pairs = np.stack((positions[:, :-1], positions[:, 1:]), axis=2)  # [J, D - 1, 2, 3]
        likely = (pose.depth.probabilities[:, :-1] + pose.depth.probabilities[:, 1:]) / 2
        steps = np.stack([_steps(row) for row in likely])
        drawn = (steps > 1) & np.isfinite(pairs).all((-1, -2))
        if chosen is not None:
            drawn &= np.arange(len(drawn))[:, None] == chosen
        if drawn.any():
            lines = marker(header, "depth", pose.id, Marker.LINE_LIST, style)
            lines.scale.x = DEPTH_WIDTH
            lines.points = points_of(pairs[drawn].reshape(-1, 3))
            rgb = palette[np.nonzero(drawn)[0]]
            lines.colors = _shades(rgb.repeat(2, 0), steps[drawn].repeat(2))
            markers.append(lines)
    return markers


def _joint(skeleton: Skeleton, style: PictureConfig) -> int | None:
    """Return the index of the joint to show; None for all."""
    return skeleton.joint_names.index(style.anchor_joint) if style.anchor_joint else None


def _steps(shares: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the opacity step [...] of each share: the largest opaque, NaN and 0 hardly visible.

    The root spreads the many small shares over the steps.
    """
    shares = np.nan_to_num(shares)
    steps = np.ceil((SHADES - 1) * np.sqrt(shares / max(float(shares.max(initial=0)), 1e-9)))
    return steps.astype(np.int64)


def _shades(rgb: NDArray[np.uint8], steps: NDArray[np.int64]) -> list[ColorRGBA]:
    """Return a colour for each row of colours [N, 3] and opacity steps [N]."""
    rows = np.concatenate((rgb, steps[:, None]), axis=1).tolist()
    return [shade(*row) for row in rows]
