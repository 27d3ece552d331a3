"""Everything the node publishes; messages without subscribers are not built."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from pandapose_ros.config import PictureConfig
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node.conversions import (
    anchors_message,
    skeleton_info_message,
    skeletons_message,
)
from pandapose_ros.node.distributions import PublisherEventCallbacks
from pandapose_ros.node.estimate import Placed
from pandapose_ros.node.evidence_markers import anchor_markers, depth_markers
from pandapose_ros.node.markers import LivingMarkers, person_markers
from pandapose_ros.node.pictures import Pictures
from pandapose_ros.node.qos_report import explain_subscriptions
from pandapose_ros.node.statistics import Send
from pandapose_ros.people.track import lost_pose
from pandapose_ros.pose import ModelInfo, Pose, TrackState
from pandapose_ros.skeleton import Skeleton

# Estimates that wait for tf and are then published at once. Each keeps its image, 3 MB at
# 1280x720. At 30 Hz this is a second; older ones are of little use.
MOST_AT_ONCE = 30


class Outputs:
    """Own a camera's publishers, and know which markers RViz shows."""

    def __init__(self, node: LifecycleNode, skeleton: Skeleton, camera: str = "") -> None:
        """Create the publishers; they are silent until the node is active.

        Args:
            node: The node to publish from.
            skeleton: What the joints of all poses mean.
            camera: Whose topics are `~/CAMERA/...`; empty: `~/...`.
        """
        self._node = node
        self._prefix = f"~/{camera}/" if camera else "~/"
        self._skeleton = skeleton
        self._people: list[Pose] = []
        # Of the last message with somebody who is not lost, until nobody is.
        self._header: Header | None = None
        # Reliable: RViz requests it and would receive nothing from a best-effort publisher.
        # As deep as that: what a network loses of those that come at once can be sent again.
        self._skeletons = self._create(Skeleton3DArray, "~/skeletons", MOST_AT_ONCE)
        self._info = self._create(SkeletonInfo, "~/skeleton_info", 1, latched=True)
        self._anchors = self._create(AnchorSet3DArray, "~/anchors", 1)
        # Publisher, the function that draws its markers, and those that RViz shows.
        self._drawings = [
            (self._create(MarkerArray, "~/markers", 5), person_markers, LivingMarkers()),
            (self._create(MarkerArray, "~/anchor_markers", 1), anchor_markers, LivingMarkers()),
            (self._create(MarkerArray, "~/depth_markers", 1), depth_markers, LivingMarkers()),
        ]
        self.pictures = Pictures(self._create)
        # Not skeleton_info, which does not depend on images.
        self._results = (
            self._skeletons,
            self._anchors,
            *(publisher for publisher, _, _ in self._drawings),
            *self.pictures.publishers,
        )

    @property
    def skeletons_topic(self) -> str:
        """Resolved name of the topic of the skeletons."""
        return self._skeletons.topic_name

    @property
    def are_wanted(self) -> bool:
        """Whether anything made from images has a subscriber."""
        return any(publisher.get_subscription_count() for publisher in self._results)

    def publish_info(self, model: ModelInfo) -> None:
        """Publish the latched description of the joints and the model."""
        self._info.publish(skeleton_info_message(self._skeleton, model))

    def publish(self, placed: Placed, style: PictureConfig, send: Send) -> None:
        """Publish the people of one image, first the skeletons.

        People of the last message who are missing now, as after a reset, are published as lost.

        Args:
            placed: The people, in the frame to publish in; may be empty.
            style: How markers are drawn.
            send: Called with a publisher and its message, as soon as that is made.
        """
        poses, header = [*placed.poses, *self._vanished(placed.poses)], placed.header
        is_anybody = any(pose.state is not TrackState.LOST for pose in placed.poses)
        self._header = header if is_anybody else None
        send(self._skeletons, skeletons_message(poses, header, self._skeleton.name))
        for publisher, draw, living in self._drawings:
            if publisher.get_subscription_count():
                markers = draw(replace(placed, poses=poses), self._skeleton, style)
                send(publisher, living.replace(markers, header))
        if self._anchors.get_subscription_count():
            send(self._anchors, anchors_message(poses, header))

    def release(self) -> None:
        """Publish the people of the last message as lost, with its header, and forget them.

        For when no image follows: subscribers would keep them for ever. Nothing is published if
        nobody was left. Without tracking, people have no ids: then the message is empty.
        """
        header, self._header = self._header, None
        lost = self._vanished([])
        if header is not None:
            self._skeletons.publish(skeletons_message(lost, header, self._skeleton.name))

    def _vanished(self, poses: Sequence[Pose]) -> list[Pose]:
        """Return those missing since the last message, as lost; remember those present."""
        present = {pose.id for pose in poses}
        vanished = [lost_pose(pose) for pose in self._people if pose.id not in present]
        self._people = [
            pose for pose in poses if pose.state not in (TrackState.OFF, TrackState.LOST)
        ]
        return vanished

    def clear_markers(self) -> None:
        """Delete all markers in RViz, and what is drawn on the image in Foxglove."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        for publisher, _, living in self._drawings:
            if living.keys:
                publisher.publish(living.replace([], header))
        self.pictures.clear_annotations()

    def destroy(self) -> None:
        """Remove the publishers, after the people."""
        self.release()
        for publisher in (self._info, *self._results):
            self._node.destroy_lifecycle_publisher(publisher)

    def _create(
        self, message: type, topic: str, depth: int, *, latched: bool = False
    ) -> LifecyclePublisher:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(
            depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability
        )
        topic = topic.replace("~/", self._prefix, 1)
        resolved = self._node.resolve_topic_name(topic)

        def report(_event: object) -> None:
            self._node.get_logger().error(explain_subscriptions(self._node, resolved, qos))

        publisher = self._node.create_lifecycle_publisher(
            message, topic, qos, event_callbacks=PublisherEventCallbacks(incompatible_qos=report)
        )
        return cast("LifecyclePublisher", publisher)  # rclpy declares its base class
