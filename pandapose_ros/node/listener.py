"""The latest messages about skeletons, matched by their stamps."""

import time
from collections import OrderedDict, deque
from typing import TypeVar

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pandapose_ros.msg import AnchorSet3DArray, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node.far_camera import FarCamera
from pandapose_ros.node.sources import Source
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import Rate

Message = TypeVar("Message")

# Images are kept until their skeletons arrive, one estimate later.
_IMAGES_KEPT, _ANCHORS_KEPT = 30, 5
_PAUSES = 3
# Best effort matches every publisher, and a slow subscriber delays none.
_LIVE = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Pulse:
    """Remember when something came last, and how long the last pauses were.

    Attributes:
        has_come: Whether it ever came.
    """

    def __init__(self) -> None:
        """Start before the first time."""
        self._last, self.has_come = time.monotonic(), False
        self._pauses: deque[float] = deque(maxlen=_PAUSES)

    def beat(self) -> None:
        """Note that it comes now."""
        now = time.monotonic()
        if self.has_come:
            self._pauses.append(now - self._last)
        self._last, self.has_come = now, True

    @property
    def silence(self) -> float:
        """Seconds since the last time, or since the start."""
        return time.monotonic() - self._last

    @property
    def longest_pause(self) -> float:
        """The longest of the last three times between two, seconds; 0 before the second."""
        return max(self._pauses, default=0.0)


class Listener:
    """Subscribe to one source until `close`.

    Attributes:
        source: What is listened to.
        pulse: Of the skeletons.
        skeletons: The newest message; None before the first.
        info: What the joints mean.
        camera_info: The newest calibration.
        camera: What else tells how the images are seen.
        rate: Of skeleton messages.
    """

    def __init__(self, node: Node, source: Source) -> None:
        """Subscribe to everything but the anchors.

        Args:
            node: The node to subscribe from.
            source: What to listen to.
        """
        self._node = node
        self.source = source
        self.skeletons: Skeleton3DArray | None = None
        self.info: SkeletonInfo | None = None
        self.camera_info: CameraInfo | None = None
        self.camera = FarCamera(node, source.node)
        self.rate = Rate()
        self.pulse = Pulse()
        self._images: OrderedDict[int, Image | CompressedImage] = OrderedDict()
        self._anchors: OrderedDict[int, AnchorSet3DArray] = OrderedDict()
        self._anchors_subscription: Subscription | None = None
        kind = CompressedImage if source.is_compressed else Image
        wanted = [
            (SkeletonInfo, source.info, self._on_info, _LATCHED),
            (CameraInfo, source.camera_info, self._on_camera_info, _LIVE),
            (kind, source.image, self._on_image, _LIVE),
            (Skeleton3DArray, source.skeletons, self._on_skeletons, _LIVE),
        ]
        self._subscriptions = [
            node.create_subscription(kind, topic, callback, qos)
            for kind, topic, callback, qos in wanted
            if topic
        ]

    def close(self) -> None:
        """Unsubscribe."""
        self.hear_anchors(wanted=False)
        self.camera.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def hear_anchors(self, *, wanted: bool) -> None:
        """Subscribe to the anchors or not: they are made for subscribers only."""
        subscription = self._anchors_subscription
        if wanted and subscription is None and self.source.anchors:
            self._anchors_subscription = self._node.create_subscription(
                AnchorSet3DArray, self.source.anchors, self._on_anchors, _LIVE
            )
        elif not wanted and subscription is not None:
            self._node.destroy_subscription(subscription)
            self._anchors_subscription = None
            self._anchors.clear()

    def anchors_of(self, skeletons: Skeleton3DArray) -> AnchorSet3DArray | None:
        """Return the anchors of the same image, if they have come."""
        return self._anchors.get(nanoseconds(skeletons.header.stamp))

    def image_of(self, skeletons: Skeleton3DArray) -> Image | CompressedImage | None:
        """Return the image that skeletons were made from, if it is still there."""
        return self._images.get(nanoseconds(skeletons.header.stamp))

    def awaits(self, skeletons: Skeleton3DArray, *, image: bool) -> bool:
        """Return whether a message with the same stamp may still come.

        Not for topics without messages, and not if a later message has come: a recording may hold
        skeletons alone, and a network may lose every image or every second one.

        Args:
            skeletons: The newest.
            image: Whether their image is wanted; anchors are if they are subscribed to.
        """
        stamp = nanoseconds(skeletons.header.stamp)
        return _may_come(self._anchors, stamp) or (image and _may_come(self._images, stamp))

    def _on_skeletons(self, message: Skeleton3DArray) -> None:
        self.pulse.beat()
        self.rate.count()
        self.skeletons = message

    def _on_anchors(self, message: AnchorSet3DArray) -> None:
        _keep(self._anchors, message, _ANCHORS_KEPT)

    def _on_image(self, message: Image | CompressedImage) -> None:
        _keep(self._images, message, _IMAGES_KEPT)

    def _on_info(self, message: SkeletonInfo) -> None:
        self.info = message

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.camera_info = message


def _may_come(messages: "OrderedDict[int, Message]", stamp: int) -> bool:
    """Return whether messages have come, but none of a stamp or later."""
    return bool(messages) and stamp not in messages and next(reversed(messages)) < stamp


def _keep(messages: "OrderedDict[int, Message]", message: Message, count: int) -> None:
    """Remember a message by its stamp, and forget the oldest."""
    messages[nanoseconds(message.header.stamp)] = message  # type: ignore[attr-defined]
    while len(messages) > count:
        messages.popitem(last=False)
