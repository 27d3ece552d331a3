"""Markers for RViz: joints, bones and a label per person, and the anchors.

What RViz does, and what therefore holds here: one NaN rejects a whole marker, so unknown joints
and their bones are left out; an id that is no longer sent stays, so it is deleted; a marker of a
node that died stays too, so each has a lifetime; nobody is drawn whose place is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.drawing import SIDE_COLOURS
from pandapose_ros.node.conversions import anchor_shares, person_name, placed
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import Skeleton

JOINT_DIAMETER = 0.06  # m
BONE_WIDTH = 0.03
LABEL_HEIGHT = 0.12
LABEL_GAP = 0.2  # above the highest joint
ANCHOR_DIAMETER = 0.03

_COLOURS = {
    side: ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=1.0)
    for side, (red, green, blue) in SIDE_COLOURS.items()
}
_WHITE = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
_LOCAL_COLOUR, _GLOBAL_COLOUR = (0.94, 0.78, 0.24), (0.47, 0.86, 0.55)
_ANCHOR_NAMESPACES = ("anchors_local", "anchors_global")  # index = AnchorVotes.kinds


@dataclass(frozen=True)
class MarkerStyle:
    """Set how markers are drawn.

    Attributes:
        score: Joints with a lower score are left out.
        lifetime: Seconds after which RViz removes a marker by itself.
    """

    score: float
    lifetime: float


@dataclass
class LivingMarkers:
    """Remember which markers RViz holds, to delete those that are gone.

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


def person_markers(
    poses: Sequence[Pose], skeleton: Skeleton, header: Header, style: MarkerStyle
) -> list[Marker]:
    """Draw people: a sphere per joint, a line per bone, and a name above the head.

    Args:
        poses: People; those without a root are left out.
        skeleton: Names and bones of the joints.
        header: As in the skeletons' message.
        style: Which joints, and for how long.

    Returns:
        Up to three markers per person, in the namespaces joints, bones and labels, each with the
        track's number as its id. Left, right and centre differ in colour.
    """
    sides = [_COLOURS[skeleton.side(joint)] for joint in range(len(skeleton.joint_names))]
    markers = []
    for pose in poses:
        if pose.root is None:
            continue
        positions = placed(pose.joints, pose)
        drawn = np.isfinite(positions).all(-1) & (pose.joint_scores >= style.score)
        if not drawn.any():
            continue
        points = [Point(x=x, y=y, z=z) for x, y, z in positions.tolist()]
        joints = _marker(header, "joints", pose.id, Marker.SPHERE_LIST, style)
        joints.scale = Vector3(x=JOINT_DIAMETER, y=JOINT_DIAMETER, z=JOINT_DIAMETER)
        joints.points = [points[j] for j in np.flatnonzero(drawn)]
        joints.colors = [sides[j] for j in np.flatnonzero(drawn)]
        markers.append(joints)
        ends = [(a, b) for a, b in skeleton.bones if drawn[a] and drawn[b]]
        if ends:
            bones = _marker(header, "bones", pose.id, Marker.LINE_LIST, style)
            bones.scale.x = BONE_WIDTH
            bones.points = [points[j] for bone in ends for j in bone]
            bones.colors = [sides[b] for _, b in ends for _ in range(2)]
            markers.append(bones)
        markers.append(_label(pose, positions[drawn], header, style))
    return markers


def _label(
    pose: Pose, positions: NDArray[np.float64], header: Header, style: MarkerStyle
) -> Marker:
    """Write the person's name and distance above the highest joint (y points down)."""
    label = _marker(header, "labels", pose.id, Marker.TEXT_VIEW_FACING, style)
    x, y, z = positions[positions[:, 1].argmin()].tolist()
    label.pose.position = Point(x=x, y=y - LABEL_GAP, z=z)
    label.scale.z = LABEL_HEIGHT
    distance = float(np.linalg.norm(np.asarray(pose.root)))
    label.text = f"{person_name(pose.id)}  {distance:.1f} m"
    return label


def anchor_markers(poses: Sequence[Pose], header: Header, style: MarkerStyle) -> list[Marker]:
    """Draw anchors, the more opaque the more they count in the vote.

    Args:
        poses: People; those without a root are left out.
        header: As in the skeletons' message.
        style: Gives the lifetime.

    Returns:
        Up to two markers per person, in the namespaces anchors_local and anchors_global.
    """
    markers = []
    for pose in poses:
        if pose.root is None:
            continue
        positions = placed(pose.anchors.positions, pose)
        shares = np.nan_to_num(anchor_shares(pose))
        # The root spreads the many small shares; 16 steps let colours be shared objects.
        steps = np.ceil(15 * np.sqrt(shares / max(float(shares.max()), 1e-9))).astype(int)
        finite = np.isfinite(positions).all(-1)
        for kind, ns in enumerate(_ANCHOR_NAMESPACES):
            chosen = np.flatnonzero(finite & (pose.anchors.kinds == kind))
            if not len(chosen):
                continue
            marker = _marker(header, ns, pose.id, Marker.SPHERE_LIST, style)
            marker.scale = Vector3(x=ANCHOR_DIAMETER, y=ANCHOR_DIAMETER, z=ANCHOR_DIAMETER)
            marker.points = [Point(x=x, y=y, z=z) for x, y, z in positions[chosen].tolist()]
            marker.colors = [_ANCHOR_COLOURS[kind][step] for step in steps[chosen].tolist()]
            markers.append(marker)
    return markers


def _shades(red: float, green: float, blue: float) -> list[ColorRGBA]:
    """Return 16 opacities of a colour, from hardly visible to opaque."""
    return [ColorRGBA(r=red, g=green, b=blue, a=0.06 + 0.94 * step / 15) for step in range(16)]


_ANCHOR_COLOURS = (_shades(*_LOCAL_COLOUR), _shades(*_GLOBAL_COLOUR))


def _marker(header: Header, ns: str, number: int, kind: int, style: MarkerStyle) -> Marker:
    """Return a marker with what all have in common."""
    nanoseconds = round(style.lifetime * 1e9)
    marker = Marker(header=header, ns=ns, id=number, type=kind, action=Marker.ADD, color=_WHITE)
    marker.lifetime = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    marker.pose.orientation = Quaternion(w=1.0)
    return marker
