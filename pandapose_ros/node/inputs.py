"""A camera's subscriptions, and why no images arrive."""

import difflib
import time
from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pandapose_ros.config import NodeConfig
from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.detections import DetectionBuffer, detections_type
from pandapose_ros.node.distributions import SubscriptionEventCallbacks, steady_clock
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.qos_overrides import OVERRIDDEN_POLICIES
from pandapose_ros.node.qos_report import endpoint_names, explain_publishers
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.worker import Frame

_WATCH_PERIOD = 0.5
_TYPE_NAMES = {Image: "sensor_msgs/msg/Image", CompressedImage: "sensor_msgs/msg/CompressedImage"}
_COMPRESSED = "/compressed"
# DDS lists a killed publisher for 20 s: a restarted camera is no second one.
_LEAST_CROWD = 30.0
# Between two warnings of silence: a camera may be slower than `image_timeout` [s].
_LEAST_BETWEEN = 10.0


def input_topics(node: Node, camera: str, config: NodeConfig) -> list[str]:
    """Return the resolved names of all subscribed topics, the image first.

    Args:
        node: The node to subscribe from.
        camera: Prefix of the topics; empty: none.
        config: Whether images are compressed, and what else is asked for.
    """
    prefix = f"{camera}/" if camera else ""
    others = ["camera_info"]
    others += ["depth"] if config.depth_window > 0 else []
    others += ["detections"] if config.use_detections else []
    names = [_image_name(node, prefix, config), *(f"{prefix}{name}" for name in others)]
    return [node.resolve_topic_name(name) for name in names]


def _image_name(node: Node, prefix: str, config: NodeConfig) -> str:
    """Return the image's name, not yet remapped: rclpy does that when it subscribes."""
    name = f"{prefix}image"
    image = node.resolve_topic_name(name)
    if config.image_transport == "compressed" and not image.endswith(_COMPRESSED):
        return image + _COMPRESSED
    return name


class ImageInput:
    """Subscribe to a camera's topics, and log when its images stop.

    Best effort and keep-last 1: this matches every publisher, and no queue can build up.

    Attributes:
        topic: Resolved name of the images' topic.
        image_age: From stamp to arrival of the last image, seconds; None without a stamp.
        camera_info: The newest; None before the first.
        on_watch: Called in the executor twice a second; may be replaced.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        on_frame: Callable[[Frame], None],
        depths: DepthBuffer,
        detections: DetectionBuffer,
        parameters: Parameters,
        is_wanted: Callable[[], bool],
    ) -> None:
        """Subscribe, if images are wanted.

        While they are not, there is no subscription, so that nothing is sent or received.

        Args:
            node: The node to subscribe from.
            camera: Prefix of the topics; empty: none.
            on_frame: Called in the executor with every image; has to return at once.
            depths: Filled in the executor with the depth images.
            detections: Filled in the executor with the boxes of another detector.
            parameters: Of the node.
            is_wanted: Returns whether images are wanted; called twice a second.
        """
        self._node = node
        self._on_frame, self._depths, self._detections = on_frame, depths, detections
        self._parameters = parameters
        self._is_wanted = is_wanted
        self.on_watch: Callable[[], None] = lambda: None
        self.camera_info: CameraInfo | None = None
        self._camera = camera
        self._prefix = f"{camera}/" if camera else ""
        self._base = f"{self._prefix}image"
        self.topic = input_topics(node, camera, self._config)[0]
        is_compressed = self._config.image_transport == "compressed"
        self._kind = CompressedImage if is_compressed else Image
        self.image_age: float | None = None
        self._last_image = time.monotonic()
        self._is_silent = False
        self._warned = -float("inf")
        self._conflict = ""
        self._crowded_since = float("inf")
        self._notices = Notices(node.get_logger())
        self._subscriptions: list[Subscription] = []
        self.follow_demand()
        # Steady time: with use_sim_time and no clock, the node's own timers would not fire.
        self._timer = node.create_timer(_WATCH_PERIOD, self._watch, clock=steady_clock())

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        self._hang_up()

    def follow_demand(self) -> None:
        """Subscribe if images are wanted, and unsubscribe if they are not."""
        is_wanted = self._is_wanted()
        if is_wanted and not self._subscriptions:
            self._listen()
        elif self._subscriptions and not is_wanted:
            self._hang_up()

    @property
    def silence(self) -> float:
        """Seconds since the last image, or since the subscription."""
        return time.monotonic() - self._last_image

    def count_publishers(self) -> int:
        """Return the number of publishers of the image."""
        return self._node.count_publishers(self.topic)

    def explain_silence(self) -> str:
        """Name the image's publishers; without any, name similar topics."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if self._conflict:
            return f"{len(publishers)} publishers; {self._conflict}"
        if not publishers:
            return f"0 publishers; {self._suggestions()}"
        text, wanted = endpoint_names(publishers), _TYPE_NAMES[self._kind]
        others = sorted({publisher.topic_type for publisher in publishers})
        if wanted not in others:
            text += f" of {', '.join(others)}, but this has to be {wanted}"
        return f"{len(publishers)} publishers: {text}"

    def explain_crowd(self) -> str:
        """Name the publishers if there are several; empty if there are not."""
        if self.count_publishers() < 2:
            self._crowded_since = float("inf")
            return ""
        self._crowded_since = min(self._crowded_since, time.monotonic())
        if time.monotonic() - self._crowded_since < _LEAST_CROWD:
            return ""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        return (
            f"images of {len(publishers)} publishers are mixed on {self.topic}: "
            f"{endpoint_names(publishers)}; give each a topic of its own"
        )

    @property
    def _config(self) -> NodeConfig:
        return self._parameters.get(NodeConfig)

    def _on_image(self, message: Image | CompressedImage) -> None:
        now = time.monotonic()
        if self._is_silent:
            silence = now - self._last_image
            self._node.get_logger().info(f"images on {self.topic} again after {silence:.1f} s")
            self._is_silent = False
        self._last_image = now
        self._conflict = ""
        stamp_ns = nanoseconds(message.header.stamp)
        age_ns = self._node.get_clock().now().nanoseconds - stamp_ns
        self.image_age = age_ns / 1e9 if stamp_ns else None  # zero: the driver gives no stamp
        self._on_frame(Frame(message, self.camera_info, self._camera))

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _listen(self) -> None:
        self._last_image = time.monotonic()
        self._is_silent = False
        self._conflict = ""
        # The calibration first, so that the first image does not come without it.
        wanted: list[tuple[type, str, Callable]] = [
            (CameraInfo, f"{self._prefix}camera_info", self._on_camera_info),
            (self._kind, _image_name(self._node, self._prefix, self._config), self._on_image),
        ]
        if self._config.depth_window > 0:
            self._depths.resume()
            wanted.append((Image, f"{self._prefix}depth", self._depths.add))
        if self._config.use_detections:
            self._detections.resume()
            topic = f"{self._prefix}detections"
            wanted.append((detections_type(), topic, self._detections.add))
        try:
            for kind, topic, callback in wanted:
                self._subscriptions.append(self._subscribe(kind, topic, callback))
        except Exception:
            self._hang_up()  # or some of them would stay
            raise

    def _hang_up(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _watch(self) -> None:
        """Subscribe or unsubscribe as wanted; warn when images stop, once in a while."""
        self.on_watch()
        self.follow_demand()
        timeout = self._config.image_timeout
        if not self._subscriptions:
            return
        if crowd := self.explain_crowd():
            self._notices.warn(crowd)
        now = time.monotonic()
        if self._is_silent or self.silence < timeout or now - self._warned < _LEAST_BETWEEN:
            return
        self._is_silent, self._warned = True, now
        self._node.get_logger().warning(
            f"no image on {self.topic} for {timeout:g} s ({self.explain_silence()})"
        )

    def _suggestions(self) -> str:
        """Name existing image topics, the most similar first."""
        other = CompressedImage if self._kind is Image else Image
        topics, other_topics = self._topics(self._kind), self._topics(other)
        if (other_name := self._in_other_transport()) in other_topics:
            topics, other_topics = [], [other_name]
        if topics:
            similar = difflib.get_close_matches(self.topic, topics, n=5, cutoff=0.0)
            return f"similar topics: {', '.join(similar)} (remap with {self._base}:=TOPIC)"
        if other_topics:
            similar = difflib.get_close_matches(self.topic, other_topics, n=5, cutoff=0.0)
            transport = "raw" if other is Image else "compressed"
            return (
                f"similar topics: {', '.join(similar)} (set image_transport to {transport}, "
                f"remap with {self._base}:=TOPIC without /compressed)"
            )
        return "similar topics: none, is the camera's node running?"

    def _in_other_transport(self) -> str:
        """Return the topic of the same images, compressed in place of raw or the reverse."""
        if self._kind is Image:
            return self.topic + _COMPRESSED
        return self.topic.removesuffix(_COMPRESSED)

    def _topics(self, kind: type) -> list[str]:
        """Return published image topics of a type, without those of this node."""
        return [
            name
            for name, types in self._node.get_topic_names_and_types()
            if _TYPE_NAMES[kind] in types
            and name != self.topic
            and self._node.get_publishers_info_by_topic(name)
            and not name.startswith(self._node.get_fully_qualified_name() + "/")
        ]

    def _subscribe(self, kind: type, topic: str, callback: Callable) -> Subscription:
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        resolved = self._node.resolve_topic_name(topic)

        def report(_event: object) -> None:
            text = explain_publishers(self._node, resolved, qos)
            if resolved == self.topic:
                self._conflict = text
            self._node.get_logger().error(text)

        return self._node.create_subscription(
            kind,
            topic,
            callback,
            qos,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=report),
            qos_overriding_options=QoSOverridingOptions(OVERRIDDEN_POLICIES),
        )
