"""Markers for RViz: joints, bones and a label per person.

RViz rejects a marker with one NaN, so unknown joints and their bones are left out. It keeps
markers that are no longer sent, so they are deleted, and those of a node that died, so each has a
lifetime, within which the next one has to come. People without a root are not drawn.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.colours import skeleton_colours
from pandapose_ros.config import PictureConfig
from pandapose_ros.frames.transform import Transform
from pandapose_ros.node.conversions import add_root, person_name
from pandapose_ros.node.estimate import Placed
from pandapose_ros.node.stamps import duration
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import Skeleton

JOINT_DIAMETER = 0.06  # m
BONE_WIDTH = 0.03
LABEL_HEIGHT = 0.12
LABEL_SPACE = 0.06  # width of a space
LABEL_GAP = 0.2  # above the highest joint
SHADES = 16  # opacities of a colour
# A marker lasts for this many intervals between messages, as one may be late or lost, but at most
# for this long [s], as it outlives a dead node by the same time.
_INTERVALS = 2.5
_LONGEST_FOR_INTERVALS = 2.0


@dataclass
class LivingMarkers:
    """Remember which markers RViz shows, to delete those that are no longer sent.

    Attributes:
        keys: (namespace, id) of every marker of the last array.
    """

    keys: set[tuple[str, int]] = field(default_factory=set)

    def replace(self, markers: Sequence[Marker], header: Header) -> MarkerArray:
        """Return an array that draws these markers and deletes all others drawn before."""
        keys = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self.keys - keys)
        ]
        self.keys = keys
        return MarkerArray(markers=[*gone, *markers])


def lasting(style: PictureConfig, pause: float) -> PictureConfig:
    """Return a style whose markers last until the next ones come, so that they do not blink.

    Args:
        style: Its `marker_lifetime` is the minimum; 0, which is unlimited, stays.
        pause: Interval between the last messages, seconds; 0: unknown.
    """
    if not style.marker_lifetime:
        return style
    lifetime = max(style.marker_lifetime, min(_INTERVALS * pause, _LONGEST_FOR_INTERVALS))
    return replace(style, marker_lifetime=lifetime)


def person_markers(placed: Placed, skeleton: Skeleton, style: PictureConfig) -> list[Marker]:
    """Draw people: a sphere per joint, a line per bone, and a name above the head.

    Args:
        placed: People; those without a root are left out.
        skeleton: Names and bones of the joints.
        style: Which joints, in which colours, and for how long.

    Returns:
        Up to three markers per person, in the namespaces joints, bones and labels, each with the
        track's number as its id.
    """
    markers, header = [], placed.header
    for pose in placed.poses:
        if pose.root is None:
            continue
        positions = add_root(pose.joints, pose)
        drawn = np.isfinite(positions).all(-1) & (pose.joint_scores >= style.marker_score)
        if not drawn.any():
            continue
        points = points_of(positions)
        rgb = skeleton_colours(style.marker_colour, skeleton, pose.id, pose.joint_scores)
        colours = [shade(*colour, SHADES - 1) for colour in rgb.tolist()]
        joints = marker(header, "joints", pose.id, Marker.SPHERE_LIST, style)
        joints.scale = Vector3(x=JOINT_DIAMETER, y=JOINT_DIAMETER, z=JOINT_DIAMETER)
        joints.points = [points[j] for j in np.flatnonzero(drawn)]
        joints.colors = [colours[j] for j in np.flatnonzero(drawn)]
        markers.append(joints)
        ends = [(a, b) for a, b in skeleton.bones if drawn[a] and drawn[b]]
        if ends:
            bones = marker(header, "bones", pose.id, Marker.LINE_LIST, style)
            bones.scale.x = BONE_WIDTH
            bones.points = [points[j] for bone in ends for j in bone]
            bones.colors = [colours[b] for _, b in ends for _ in range(2)]
            markers.append(bones)
        label = marker(header, "labels", pose.id, Marker.TEXT_VIEW_FACING, style)
        _write_label(label, pose, positions[drawn], placed.camera)
        markers.append(label)
    return markers


def _write_label(
    label: Marker, pose: Pose, positions: NDArray[np.float64], camera: Transform
) -> None:
    """Write the person's name and distance from the camera above the highest joint."""
    up = -camera.rotation[:, 1]  # y points down in the image
    x, y, z = (positions[(positions @ up).argmax()] + LABEL_GAP * up).tolist()
    label.pose.position = Point(x=x, y=y, z=z)
    # x: RViz 2's width of a space, by default that of letters which are 1 m high.
    label.scale = Vector3(x=LABEL_SPACE, z=LABEL_HEIGHT)
    distance = float(np.linalg.norm(np.asarray(pose.root) - camera.translation))
    label.text = f"{person_name(pose)} {distance:.1f} m".strip()


def marker(header: Header, ns: str, number: int, kind: int, style: PictureConfig) -> Marker:
    """Return a marker with what all have in common: white, and for a limited time.

    Args:
        header: As in the skeletons' message.
        ns: Namespace; in RViz a check-box.
        number: Of the track; with `ns` it identifies the marker.
        kind: `Marker.type`.
        style: Gives the lifetime.
    """
    white = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    made = Marker(header=header, ns=ns, id=number, type=kind, action=Marker.ADD, color=white)
    made.lifetime = duration(style.marker_lifetime)
    return made


def points_of(positions: NDArray[np.floating]) -> list[Point]:
    """Convert positions [N, 3]."""
    return [Point(x=x, y=y, z=z) for x, y, z in positions.tolist()]


# Cached, as making these few messages again and again would cost more than all else here.
@functools.cache
def shade(red: int, green: int, blue: int, step: int) -> ColorRGBA:
    """Return a colour (0 to 255) in one of `SHADES` opacities, from hardly visible to opaque.

    The message returned is shared and must not be changed.
    """
    opacity = 0.06 + 0.94 * step / (SHADES - 1)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
