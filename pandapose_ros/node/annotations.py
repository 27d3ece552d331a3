"""2D skeletons as Foxglove image annotations, where foxglove_msgs is installed."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import Header

from pandapose_ros.colours import skeleton_colours
from pandapose_ros.config import PictureConfig
from pandapose_ros.node.conversions import person_name
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import H36M_17

THICKNESS_PX = 3.0
FONT_SIZE_PX = 16.0


def make_annotator() -> "Annotator | None":
    """Return what makes annotations; None without foxglove_msgs."""
    try:
        from foxglove_msgs import msg  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return Annotator(msg)


class Annotator:
    """Turn poses into annotations of their image."""

    def __init__(self, messages: ModuleType) -> None:
        """Take the messages.

        Args:
            messages: `foxglove_msgs.msg`.
        """
        self._msg = messages
        self.message_type: type = messages.ImageAnnotations

    def annotate(self, poses: Sequence[Pose], header: Header, style: PictureConfig) -> Any:
        """Draw bones as lines, joints as points, and names and scores as texts.

        Args:
            poses: People in the image; may be empty, which clears what was drawn.
            header: Gives the image's stamp, by which Foxglove finds the image.
            style: Which keypoints, in which colours.
        """
        annotations = self._msg.ImageAnnotations()
        for pose in poses:
            shown = np.isfinite(pose.keypoints).all(-1)
            shown &= pose.joint_scores >= style.marker_score
            rgb = skeleton_colours(style.marker_colour, H36M_17, pose.id, pose.joint_scores) / 255
            bones = [bone for bone in H36M_17.bones if shown[bone[0]] and shown[bone[1]]]
            ends = [joint for bone in bones for joint in bone]
            lines = self._points(self._msg.PointsAnnotation.LINE_LIST, ends, pose, header.stamp)
            lines.outline_colors = [self._colour(rgb[joint]) for _, joint in bones]
            joints = np.flatnonzero(shown).tolist()
            dots = self._points(self._msg.PointsAnnotation.POINTS, joints, pose, header.stamp)
            dots.thickness = 2 * THICKNESS_PX
            dots.outline_colors = [self._colour(rgb[joint]) for joint in joints]
            annotations.points += [drawn for drawn in (lines, dots) if drawn.points]
            if np.isfinite(pose.box_xyxy).all():
                annotations.texts.append(self._label(pose, header.stamp))
        return annotations

    def _points(self, kind: int, joints: list[int], pose: Pose, stamp: Time) -> Any:
        """Return points at some joints; Foxglove's (0, 0) is the corner of the first pixel."""
        annotation = self._msg.PointsAnnotation(timestamp=stamp, type=kind, thickness=THICKNESS_PX)
        places = (pose.keypoints[joints] + 0.5).tolist() if joints else []
        annotation.points = [self._msg.Point2(x=u, y=v) for u, v in places]
        annotation.outline_color = self._colour(np.ones(3))
        return annotation

    def _label(self, pose: Pose, stamp: Time) -> Any:
        """Return the person's name and score above the box."""
        left, top = (pose.box_xyxy[:2] + 0.5).tolist()
        return self._msg.TextAnnotation(
            timestamp=stamp,
            position=self._msg.Point2(x=left, y=top),
            text=f"{person_name(pose)} {pose.score:.2f}",
            font_size=FONT_SIZE_PX,
            text_color=self._colour(np.ones(3)),
            background_color=self._msg.Color(a=0.6),
        )

    def _colour(self, rgb: NDArray[np.floating]) -> Any:
        """Return an opaque colour of [3] in [0, 1]."""
        red, green, blue = rgb.tolist()
        return self._msg.Color(r=red, g=green, b=blue, a=1.0)
