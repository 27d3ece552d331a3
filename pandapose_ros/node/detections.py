"""People's boxes from another node's detector (vision_msgs): what they say, and of which image."""

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from pandapose_ros.config import NodeConfig
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.stamps import DECADE, nanoseconds
from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.people.boxes import NO_BOXES

Array = NDArray[np.floating]

_TYPE_NAME = "vision_msgs/msg/Detection2DArray"


def detections_type() -> type:
    """Return the class of the messages.

    Raises:
        RuntimeError: If vision_msgs is not installed.
    """
    try:
        from vision_msgs.msg import Detection2DArray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise RuntimeError(
            f"use_detections needs vision_msgs ({error}): sudo apt install "
            "ros-$ROS_DISTRO-vision-msgs, or set use_detections to false"
        ) from error
    return Detection2DArray


def boxes_from_message(
    message: Any, classes: Sequence[str], size: tuple[int, int]
) -> tuple[Array, list[str]]:
    """Return the boxes of the people in an image, and why others of people are of no use.

    Args:
        message: vision_msgs/Detection2DArray, in pixels of the image as it is published.
        classes: Class IDs of people; one empty ID: every detection is one.
        size: (width, height) of the image, pixels.

    Returns:
        [P, 4], xyxy, pixels, those of the highest score first; and the reasons. A box that is
        turned is replaced by the upright one round it.
    """
    found, reasons, is_any = [], [], "" in classes
    for detection in message.detections:
        hypotheses = [result.hypothesis for result in detection.results]
        scores = [h.score for h in hypotheses if is_any or h.class_id in classes]
        if not (scores or is_any):
            continue
        try:
            found.append((max(scores, default=0.0), _box(detection.bbox, size)))
        except ValueError as error:
            reasons.append(str(error))
    found.sort(key=lambda scored: -scored[0])
    return np.reshape([box for _, box in found], (-1, 4)), reasons


def _box(bbox: Any, size: tuple[int, int]) -> Array:
    """Return a box [4], xyxy, pixels.

    Raises:
        ValueError: If it is not finite, less than a pixel wide or high, or its centre is not in
            the image.
    """
    u, v = bbox.center.position.x, bbox.center.position.y
    width, height, turn = bbox.size_x, bbox.size_y, bbox.center.theta
    if not all(map(math.isfinite, (u, v, width, height, turn))):
        raise ValueError(
            f"a box of {width:g} x {height:g} px at ({u:g}, {v:g}), turned by {turn:g} rad, is "
            "not finite"
        )
    if min(width, height) < 1:
        raise ValueError(
            f"a box of {width:g} x {height:g} px at ({u:g}, {v:g}) has no area; are the "
            "detector's boxes in shares of the image, not in pixels?"
        )
    if not (0 <= u <= size[0] and 0 <= v <= size[1]):
        raise ValueError(
            f"a box's centre ({u:g}, {v:g}) is not in the image of {size[0]}x{size[1]}; are the "
            "detector's boxes in pixels of images of another size?"
        )
    cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
    half = np.array((width * cosine + height * sine, width * sine + height * cosine)) / 2
    # Pixels counted from the image's edge, ours from the centre of the first pixel.
    centre = np.array((u, v)) - 0.5
    # Of somebody who is cut off, a box may go on outside of the image, but not without end.
    low, high = -np.asarray(size), 2 * np.asarray(size)
    return np.concatenate((centre - half, centre + half)).clip(np.tile(low, 2), np.tile(high, 2))


class DetectionBuffer:
    """Keep the newest detections; filled by the executor, read by the worker.

    Attributes:
        received: Number of messages so far.
        subscriptions: Number of subscriptions so far; nothing comes between two of them.
    """

    def __init__(self) -> None:
        self.received = self.subscriptions = 0
        self._message: Any = None
        self._lock = threading.Lock()

    def add(self, message: Any) -> None:
        """Replace the detections by newer ones."""
        with self._lock:
            self._message = message
            self.received += 1

    def resume(self) -> None:
        """Forget the detections, as there was no subscription until now."""
        with self._lock:
            self._message = None
            self.subscriptions += 1

    def forget_after(self, stamp_ns: int) -> None:
        """Forget detections later than a stamp, as when time has jumped back.

        Args:
            stamp_ns: Of the last ones to keep, nanoseconds.
        """
        with self._lock:
            message = self._message
            if message is not None and nanoseconds(message.header.stamp) > stamp_ns:
                self._message = None

    def take(self) -> Any:
        """Return the newest detections, once; None if there are no new ones."""
        with self._lock:
            message, self._message = self._message, None
        return message


class DetectionReader:
    """Find the boxes for each image, or say why there are none; for the worker's thread.

    Attributes:
        state: None yet, none and since when, in use, of another time, or refused, and why.
        fault: Why an image was last without the detections that it should have had.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        buffer: DetectionBuffer,
        statistics: NodeStatistics,
        notices: Notices,
    ) -> None:
        """Start without any.

        Args:
            node: Knows who publishes detections.
            topic: Resolved name of the detections' topic.
            buffer: The detections received.
            statistics: Counts the images whose detections are missing or refused.
            notices: Where to log why.
        """
        self.state, self.fault = "none yet", ""
        self._node, self._topic = node, topic
        self._buffer = buffer
        self._statistics = statistics
        self._notices = notices
        self._subscriptions = -1
        self._last_image = self._silent_since = 0.0
        self._is_stamped = True
        self._have_people_come = False

    def read(self, stamp_ns: int, size: tuple[int, int], config: NodeConfig) -> Array:
        """Return the boxes [P, 4], xyxy, pixels, to look for people in; often there are none.

        Every message counts for one image, the first that is processed after its arrival: who has
        been found is followed from then on.

        Args:
            stamp_ns: Of the image, nanoseconds; 0: unknown, and so is how far away detections are.
            size: (width, height) of the image, pixels.
            config: Which classes are people, how far away detections may be, and which silence is
                counted and logged.
        """
        message = self._buffer.take()
        silence = self._silence(stamp_ns, has_come=message is not None)
        if message is None:
            if silence > config.image_timeout:
                self._miss(f"none for {silence:.1f} s ({self._publishers()})")
            return NO_BOXES
        if reason := _why_of_another_time(message, stamp_ns, config.detections_window):
            self._miss(reason)
            return NO_BOXES
        boxes, reasons = boxes_from_message(message, config.detections_classes, size)
        self.state = f"in use: {len(boxes)} of {len(message.detections)} are people"
        if reasons:
            self.fault = f"refused: {reasons[0]}"
            self._statistics.refused_detections += 1
            self._notices.error(f"detections refused: {reasons[0]}", again_after=10.0)
        self._have_people_come |= len(boxes) + len(reasons) > 0
        if message.detections and not self._have_people_come:
            self._warn_of_classes(message, config.detections_classes)
        return boxes

    def _silence(self, stamp_ns: int, *, has_come: bool) -> float:
        """Return the seconds since the last detections, by the time of the images."""
        is_stamped = stamp_ns != 0
        now = stamp_ns / 1e9 if is_stamped else time.monotonic()
        is_new = self._buffer.subscriptions != self._subscriptions or now < self._last_image
        is_new |= is_stamped != self._is_stamped  # two clocks do not compare
        self._is_stamped = is_stamped
        if has_come or is_new:
            self._silent_since = now
        self._subscriptions, self._last_image = self._buffer.subscriptions, now
        return now - self._silent_since

    def _miss(self, reason: str) -> None:
        """Count and log that an image has no detections."""
        self.state = self.fault = reason
        self._statistics.missed_detections += 1
        self._notices.warn(f"no new people are found, detections: {reason}", again_after=10.0)

    def _warn_of_classes(self, message: Any, classes: Sequence[str]) -> None:
        """Say once, until a person comes, which classes the detector knows."""
        results = [result for detection in message.detections for result in detection.results]
        seen = sorted({result.hypothesis.class_id for result in results})
        self._notices.warn(
            f"detections of {', '.join(map(repr, seen)) or 'no class'}, but of no person yet: "
            f"detections_classes are {', '.join(map(repr, classes))}"
        )

    def _publishers(self) -> str:
        """Say how many nodes publish detections and, if none does, what else there is."""
        count = self._node.count_publishers(self._topic)
        if count:
            return f"{count} publishers on {self._topic}"
        topics = self._node.get_topic_names_and_types()
        others = sorted(name for name, types in topics if _TYPE_NAME in types)
        others = [name for name in others if name != self._topic]
        similar = ", ".join(others) or "none, is the detector's node running?"
        return f"0 publishers on {self._topic}; similar topics: {similar}"


def _why_of_another_time(message: Any, stamp_ns: int, window: float) -> str:
    """Return why detections do not belong to an image; empty if they do, or nobody can tell."""
    own_ns = nanoseconds(message.header.stamp)
    if stamp_ns == 0:
        return ""
    if own_ns == 0:
        return "without a stamp: the detector has to copy that of its image"
    apart = abs(own_ns - stamp_ns) / 1e9
    if apart <= window:
        return ""
    if apart > DECADE:
        return "stamped by another clock: the detector has to copy the stamp of its image"
    return f"{apart:.3g} s from the image, more than detections_window"
