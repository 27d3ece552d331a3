"""The depth of each image, or why there is none."""

import math

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.camera.depth_root import check_depth
from pandapose_ros.node.depth import DepthBuffer, check_registered, depth_from_message
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics

# Images between two depth images are told of for so long.
_LATELY_NS = 1_000_000_000


class DepthReader:
    """Find the depth image of each image, or say why there is none; for the worker's thread.

    Attributes:
        state: In use, none and since when or when not, or refused, and why.
        fault: The same, of the last image without the depth that it should have had.
    """

    def __init__(self, buffer: DepthBuffer, statistics: NodeStatistics, notices: Notices) -> None:
        """Start without any.

        Args:
            buffer: The depth images received.
            statistics: Counts the images whose depth is missing or refused.
            notices: Where to log why.
        """
        self.state, self.fault = "none", ""
        self._buffer = buffer
        self._statistics = statistics
        self._notices = notices
        # Stamps of the last depth image in use, and of the last image between two.
        self._used_ns: int | None = None
        self._between_ns: int | None = None
        self._state_in_use = "in use"

    def read(
        self, stamp_ns: int, size: tuple[int, int], frame_id: str, window: float
    ) -> NDArray[np.float32] | None:
        """Return the depths of an image [H, W] in metres; None if there are none.

        Args:
            stamp_ns: Of the image, nanoseconds.
            size: (width, height) of the image, pixels.
            frame_id: As of `check_registered`.
            window: As of `DepthBuffer.find`.
        """
        message = self._buffer.find(stamp_ns, window)
        if message is None:
            if not self._is_between(stamp_ns):
                self._miss(stamp_ns, window)
            return None
        try:
            check_registered(message, frame_id)
            depth = depth_from_message(message)
            check_depth(depth, size)
        except ValueError as error:
            self._used_ns = None
            self.state = self.fault = f"refused: {error}"
            self._statistics.refused_depth += 1
            self._notices.error(f"depth image ignored: {error}")
            return None
        self._used_ns = nanoseconds(message.header.stamp)
        if self._between_ns is None or abs(stamp_ns - self._between_ns) > _LATELY_NS:
            self._state_in_use = "in use"
        self.state = self._state_in_use
        return depth

    def skip(self) -> None:
        """Count the depth of an image that is not used as the camera is not calibrated."""
        if self._buffer.is_alive:
            self.state = self.fault = "not used without camera_info"
            self._statistics.missed_depth += 1

    def _is_between(self, stamp_ns: int) -> bool:
        """Return, and count, whether an image has no depth only as there is less of it."""
        used_ns = self._used_ns
        if used_ns is None or not self._buffer.is_alive:
            return False
        if not self._buffer.is_between(stamp_ns, used_ns):
            return False
        self._statistics.between_depth += 1
        if gap := self._buffer.gap:
            self._between_ns = stamp_ns
            self._state_in_use = f"in use, one every {gap:.2g} s: images between have none"
            self.state = self._state_in_use
            self._notices.info(
                f"depth comes every {gap:.2g} s, less often than images: people in those between "
                "are placed by their size, or with a greater depth_window by older depth"
            )
        return True

    def _miss(self, stamp_ns: int, window: float) -> None:
        """Count and log that an image has no depth, unless no depth image ever came."""
        silence = self._buffer.silence
        if math.isinf(silence):
            self.state = "none"
            return
        when, oldest_ns = f"within {window:g} s of an image (depth_window)", self._buffer.oldest_ns
        if not self._buffer.is_alive:
            when = f"for {silence:.1f} s"
        elif self._buffer.is_of_another_clock(stamp_ns):
            when += (
                ": images and depth images are stamped by different clocks, or one has no stamp"
            )
        elif oldest_ns is not None and oldest_ns > stamp_ns:
            gone = (oldest_ns - stamp_ns) / 1e9
            when += f", already gone: the oldest one kept is {gone:.2g} s later than the image"
        self.state = self.fault = f"none {when}"
        self._statistics.missed_depth += 1
        self._notices.warn(
            f"no depth image {when}: distances are estimated from people's size",
            again_after=10.0,
        )
