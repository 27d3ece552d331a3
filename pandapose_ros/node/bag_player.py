"""Play a recording to a node in the same process: each image after the messages it needs."""

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock

from pandapose_ros.bags import TopicQueues
from pandapose_ros.config import NodeConfig, WorldConfig
from pandapose_ros.node.jumps import TIME_JUMP_NS
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.stamps import stamp_of_serialized

_PATIENCE = 120.0  # s, for one image
_TF = "tf2_msgs/msg/TFMessage"
_CLOCK = "/clock"


def spin_until(executor: Executor, condition: Callable[[], bool], otherwise: str) -> None:
    """Spin until a condition holds.

    Args:
        executor: Of the nodes.
        condition: Called repeatedly.
        otherwise: What the error says if it does not hold in time.

    Raises:
        TimeoutError: If it does not hold within two minutes.
    """
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{otherwise} within {_PATIENCE:g} s")
        executor.spin_once(timeout_sec=0.05)


def class_of(name: str) -> type:
    """Return the class of a message type such as sensor_msgs/msg/Image."""
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


class BagPlayer:
    """Send a recording's images to a node one by one, and all its other inputs.

    A live node waits for transforms and depth that arrive after an image. Here they are sent
    before it, as nothing is sent while the player waits for the node.

    Attributes:
        damaged: By topic, how many messages were left out, as nobody can read them.
    """

    def __init__(
        self,
        player: Node,
        node: PoseNode,
        executor: Executor,
        reader: Reader,
        image: str,
        needed: Sequence[str],
    ) -> None:
        """Connect to the node.

        Args:
            player: Publishes.
            node: Subscribes; has to be active.
            executor: Of both.
            reader: Of everything but the images, for this object alone.
            image: Topic of the images.
            needed: What else was asked for: depth, detections.

        Raises:
            RuntimeError: If the node does not subscribe to the images or to what is needed.
        """
        self._player, self._node, self._executor = player, node, executor
        self._depth = node.resolve_topic_name("depth")
        self._detections = node.resolve_topic_name("detections")
        wanted = [image, *(node.resolve_topic_name(name) for name in needed)]
        connections = self._connections(reader, wanted)
        self._publishers = {c.topic: self._publisher(c) for c in connections}
        self._kinds = {c.topic: class_of(c.msgtype) for c in connections}
        self.damaged: Counter[str] = Counter()
        # A recorded /clock, of a simulation, is played instead: the stamps refer to it.
        self._clock: Publisher | None = None
        if _CLOCK not in self._publishers:
            self._clock = player.create_publisher(Clock, _CLOCK, 1)
        for topic, publisher in self._publishers.items():
            spin_until(
                executor,
                lambda p=publisher: p.get_subscription_count() > 0,
                f"pose_node has not been connected to {topic}",
            )
        self._images = [c for c in connections if c.topic == image]
        others = [c for c in connections if c.topic != image]
        self._beside = TopicQueues(reader.messages(others) if others else iter(()))
        self._last_depth_ns = 0
        self._transforms = [c.topic for c in others if c.msgtype == _TF]
        awaited = (self._depth, self._detections, *self._transforms)
        self._at_once = [c.topic for c in others if c.topic not in awaited]

    def _connections(self, reader: Reader, wanted: Sequence[str]) -> list[Connection]:
        """Return the recorded topics that the node subscribes to, all wanted ones among them."""
        node = self._node
        subscribed = dict(
            self._player.get_subscriber_names_and_types_by_node(
                node.get_name(), node.get_namespace()
            )
        )
        connections = [
            c
            for c in reader.connections
            if c.msgtype in subscribed.get(c.topic, ()) and c.msgcount
        ]
        if unheard := set(wanted) - {c.topic for c in connections}:
            raise RuntimeError(
                f"pose_node does not subscribe to {', '.join(sorted(unheard))} of the recording, "
                "or that is empty: check --detections, and the parameters cameras, "
                "image_transport, depth_window and use_detections"
            )
        return connections

    def play(self, reader: Reader) -> Iterator[int]:
        """Send one image at a time; the caller waits until the node has processed it.

        Args:
            reader: Of the images; not the one of the other topics, which reads ahead.

        Yields:
            The image's time of recording, nanoseconds; of a damaged one, which is not sent, too.
        """
        for connection, time_ns, raw in reader.messages(self._images) if self._images else ():
            data = bytes(raw)
            if not self._is_whole(connection.topic, data):
                yield time_ns
                continue
            self._send_beside(time_ns, stamp_of_serialized(data))
            if self._clock is not None:
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(time_ns, 10**9)
                self._clock.publish(message)
                self._executor.spin_once(timeout_sec=0.0)
            self._publishers[connection.topic].publish(data)
            yield time_ns

    def _send_beside(self, time_ns: int, stamp_ns: int) -> None:
        """Send the messages that a live node would have received when it needs them for an image.

        Args:
            time_ns: When the image was recorded.
            stamp_ns: Stamp of the image.
        """
        if self._last_depth_ns > stamp_ns + TIME_JUMP_NS:
            self._last_depth_ns = 0  # time has jumped back
        parameters = self._node.parameters
        timeout = round(parameters.get(WorldConfig).transform_timeout * 1e9)
        window = round(parameters.get(NodeConfig).depth_window * 1e9)
        for topics, end in ((self._at_once, time_ns), (self._transforms, time_ns + timeout)):
            for topic in topics:
                for data in self._take(topic, end):
                    self._publishers[topic].publish(data)
                    self._executor.spin_once(timeout_sec=0.0)
        for data in self._take(self._detections, time_ns):
            self._send_detections(data)
        for data in self._take(self._depth, time_ns):
            self._send_depth(data)
        late = self._take(self._depth, time_ns + window)
        # No further than the node would wait, as it keeps only those of a second.
        while self._last_depth_ns < stamp_ns and (data := next(late, None)) is not None:
            self._send_depth(data)

    def _take(self, topic: str, end: int) -> Iterator[bytes]:
        """Yield the messages of a topic up to a time, ns, without those that nobody can read."""
        return (data for data in self._beside.take(topic, end) if self._is_whole(topic, data))

    def _is_whole(self, topic: str, data: bytes) -> bool:
        """Return whether a message can be read; count it if not: the node would never get it."""
        try:
            deserialize_message(data, self._kinds[topic])
        except Exception:  # rclpy does not export its own
            self.damaged[topic] += 1
            return False
        return True

    def _send_depth(self, data: bytes) -> None:
        """Send a depth image and wait for its arrival: the subscription queues only one."""
        self._last_depth_ns = stamp_of_serialized(data)
        if (pipeline := self._node.cameras[0].pipeline) is not None:
            self._send(self._depth, data, lambda: pipeline.depths.received)

    def _send_detections(self, data: bytes) -> None:
        """Send detections and wait for their arrival, as for the depth image."""
        if (pipeline := self._node.cameras[0].pipeline) is not None:
            self._send(self._detections, data, lambda: pipeline.detections.received)

    def _send(self, topic: str, data: bytes, received: Callable[[], int]) -> None:
        """Send a message and wait until more of its kind have been received than before."""
        before = received()
        self._publishers[topic].publish(data)
        spin_until(
            self._executor,
            lambda: received() > before,
            f"pose_node has not received a message on {topic}",
        )

    def _publisher(self, connection: Connection) -> Publisher:
        static = connection.topic.endswith("tf_static")
        durability = DurabilityPolicy.TRANSIENT_LOCAL if static else DurabilityPolicy.VOLATILE
        return self._player.create_publisher(
            class_of(connection.msgtype),
            connection.topic,
            QoSProfile(depth=100, durability=durability),
        )
