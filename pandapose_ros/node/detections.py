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
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics

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


def boxes_from_message(message: Any, classes: Sequence[str], size: tuple[int, int]) -> Array:
    """Return the boxes of the people in an image.

    Args:
        message: vision_msgs/Detection2DArray, in pixels of the image as it is published.
        classes: Class ids of people; one empty id: every detection is one.
        size: (width, height) of the image, pixels.

    Returns:
        [P, 4], xyxy, pixels, those of the highest score first. A box that is turned is replaced
        by the upright one round it.

    Raises:
        ValueError: If a person's box is not finite, has no area, or its centre is not in the
            image.
    """
    found, is_any = [], "" in classes
    for detection in message.detections:
        hypotheses = [result.hypothesis for result in detection.results]
        scores = [h.score for h in hypotheses if is_any or h.class_id in classes]
        if scores or is_any:
            found.append((max(scores, default=0.0), _box(detection.bbox, size)))
    found.sort(key=lambda scored: -scored[0])
    return np.reshape([box for _, box in found], (-1, 4))


def _box(bbox: Any, size: tuple[int, int]) -> Array:
    """Return a box [4], xyxy, pixels."""
    u, v = bbox.center.position.x, bbox.center.position.y
    width, height, turn = bbox.size_x, bbox.size_y, bbox.center.theta
    if not (all(map(math.isfinite, (u, v, width, height, turn))) and width > 0 and height > 0):
        raise ValueError(f"the box of {width:g} x {height:g} at ({u:g}, {v:g}) is none")
    if not (0 <= u <= size[0] and 0 <= v <= size[1]):
        raise ValueError(
            f"the box at ({u:g}, {v:g}) is not in the image of {size[0]}x{size[1]}: detections "
            "have to be in pixels of the images that this node receives"
        )
    cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
    half = np.array((width * cosine + height * sine, width * sine + height * cosine)) / 2
    # Pixels counted from the image's edge, ours from the centre of the first pixel.
    centre = np.array((u, v)) - 0.5
    return np.concatenate((centre - half, centre + half))


class DetectionBuffer:
    """Keep the newest detections; filled by the executor, read by the worker.

    Attributes:
        received: Number of messages so far.
    """

    def __init__(self) -> None:
        self.received = 0
        self._message: Any = None
        self._lock = threading.Lock()
        self._silent_since = time.monotonic()

    def add(self, message: Any) -> None:
        """Replace the detections by newer ones."""
        with self._lock:
            self._message = message
            self.received += 1
            self._silent_since = time.monotonic()

    def resume(self) -> None:
        """Restart the silence, as there was no subscription until now."""
        with self._lock:
            self._silent_since = time.monotonic()

    def take(self) -> Any:
        """Return the newest detections, once; None if there are no new ones."""
        with self._lock:
            message, self._message = self._message, None
        return message

    @property
    def silence(self) -> float:
        """Seconds since the last detections, or since `resume`."""
        return time.monotonic() - self._silent_since


class DetectionReader:
    """Find the boxes for each image, or say why there are none; for the worker's thread.

    Attributes:
        state: In use, none and since when, late, or refused, and why.
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
        self.state = "none yet"
        self._node, self._topic = node, topic
        self._buffer = buffer
        self._statistics = statistics
        self._notices = notices

    def read(self, stamp_ns: int, size: tuple[int, int], config: NodeConfig) -> Array:
        """Return the boxes [P, 4], xyxy, pixels, to look for people in; often there are none.

        Every message counts for one image, the first that is processed after its arrival: who has
        been found is followed from then on.

        Args:
            stamp_ns: Of the image, nanoseconds.
            size: (width, height) of the image, pixels.
            config: Which classes are people, how far away detections may be, and which silence is
                counted and logged.
        """
        nobody = np.empty((0, 4))
        message = self._buffer.take()
        if message is None:
            if (silence := self._buffer.silence) > config.image_timeout:
                self._miss(f"none for {silence:.1f} s ({self._publishers()})")
            return nobody
        apart = abs(nanoseconds(message.header.stamp) - stamp_ns) / 1e9
        if apart > config.detections_window:
            self._miss(f"{apart:.3g} s from the image, more than detections_window")
            return nobody
        try:
            boxes = boxes_from_message(message, config.detections_classes, size)
        except ValueError as error:
            self.state = f"refused: {error}"
            self._statistics.refused_detections += 1
            self._notices.error(f"detections ignored: {error}", again_after=10.0)
            return nobody
        self.state = "in use"
        return boxes

    def _miss(self, state: str) -> None:
        """Count and log that an image has no detections."""
        self.state = state
        self._statistics.missed_detections += 1
        self._notices.warn(f"detections: {state}: no new people are found", again_after=10.0)

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
