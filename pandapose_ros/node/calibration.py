"""The intrinsics of a camera's images, or why they are unknown and what is assumed."""

import time

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from pandapose_ros.camera.lens import Distortion
from pandapose_ros.geometry import Array
from pandapose_ros.node.intrinsics import OtherSizeError, intrinsics_from_message
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.qos_report import explain_missing
from pandapose_ros.node.statistics import NodeStatistics

# camera_info may arrive this much later than the first image of a size, without a warning [s].
_GRACE = 1.0
# It has settled when it has not changed for so long: the next change is news [s].
_SETTLED = 10.0
# A zoom, or digits that jitter, may change it with every image: that is told again so late [s].
_AGAIN_AFTER = 600.0


class Calibration:
    """Read the intrinsics from the latest camera_info, and log what is wrong with it.

    Attributes:
        state: In use, none, or refused, and why.
        changes: How often those in use have changed.
    """

    def __init__(
        self, node: Node, topic: str, statistics: NodeStatistics, notices: Notices
    ) -> None:
        """Start without any.

        Args:
            node: Knows the topic's publishers.
            topic: Of camera_info, resolved.
            statistics: Counts the images for which it was refused.
            notices: Where to log that.
        """
        self.state = "none yet"
        self.changes = 0
        self._node = node
        self._topic = topic
        self._statistics = statistics
        self._notices = notices
        self._first_time: float | None = None
        self._hint, self._asked = "", -float("inf")
        self._is_assumed = False
        self._size = (0, 0)
        self._since = -float("inf")
        self._earlier: CameraInfo | None = None
        self._last: CameraInfo | None = None
        self._changed = self._told = -float("inf")
        self._is_untold = False

    def read(
        self,
        message: CameraInfo | None,
        size: tuple[int, int],
        field_of_view: float,
        *,
        rectified: bool,
    ) -> tuple[Array | None, Distortion | None]:
        """Return K and distortion; None twice, with the reason in the log, if they are unknown.

        Args:
            message: The newest camera_info, if there is one.
            size: (width, height) of the image, pixels.
            field_of_view: Horizontal, assumed without camera_info, radians; 0: none.
            rectified: As of `intrinsics_from_message`.
        """
        fallback = (
            f"assuming a horizontal field of view of {field_of_view:g} rad, distances may be off "
            "by a common factor"
        )
        if field_of_view <= 0:
            fallback = "people get no 3D position (root_source NONE)"
        self._follow_size(size, message)
        if message is None:
            self._miss(fallback)
            return None, None
        try:
            intrinsics = intrinsics_from_message(message, *size, rectified=rectified)
        except ValueError as error:
            if isinstance(error, OtherSizeError) and self._may_be_replaced(message):
                self.state = f"none for images of {size[0]}x{size[1]} yet, {fallback}"
                return None, None
            self.state = f"refused, {fallback}: {error}"
            self._statistics.refused_camera_info += 1
            self._notices.error(f"camera_info on {self._topic} ignored, {fallback}: {error}")
            return None, None
        self.state = "in use"
        self._follow(message)
        return intrinsics

    def _follow_size(self, size: tuple[int, int], message: CameraInfo | None) -> None:
        """Note when images of another size begin, as those of a camera that was restarted."""
        if size != self._size:
            self._size, self._since, self._earlier = size, time.monotonic(), message

    def _may_be_replaced(self, message: CameraInfo) -> bool:
        """Tell whether a message came before the images of this size, which are new."""
        return message is self._earlier and time.monotonic() - self._since <= _GRACE

    def _miss(self, fallback: str) -> None:
        now = time.monotonic()
        self._first_time = now if self._first_time is None else self._first_time
        if now - self._first_time <= _GRACE:
            self.state = f"none, {fallback}"
            return
        if now - self._asked > _GRACE:  # not with every image
            self._hint, self._asked = explain_missing(self._node, self._topic, "camera_info"), now
        self.state = f"none, {fallback} ({self._hint})"
        self._is_assumed = True
        self._notices.warn(f"no camera_info on {self._topic}: {fallback} ({self._hint})")

    def _follow(self, message: CameraInfo) -> None:
        """Log when the intrinsics come late, or change, as after a zoom; count the changes.

        Of changes that follow one another, the first is logged, and where they end.
        """
        if self._is_assumed:
            self._is_assumed = False
            self._notices.info(f"camera_info on {self._topic} has come and is in use")
        before, self._last = self._last, message
        now = time.monotonic()
        has_settled = now - self._changed > _SETTLED
        if before is not None and before is not message and _lens(before) != _lens(message):
            self.changes += 1
            self._changed, self._is_untold = now, True
        if self._is_untold and (has_settled or now - self._told > _AGAIN_AFTER):
            self._told, self._is_untold = now, False
            self._notices.info(
                f"camera_info on {self._topic} has changed: fx is {message.k[0]:g} px "
                f"(changes so far: {self.changes})",
                again_after=0.0,
            )


def _lens(message: CameraInfo) -> tuple[str, bytes, bytes, bytes]:
    """Return what a camera_info says about the lens, bit for bit: NaN is like NaN then."""
    k, p, d = message.k.tobytes(), message.p.tobytes(), message.d.tobytes()
    return (message.distortion_model, k, p, d)
