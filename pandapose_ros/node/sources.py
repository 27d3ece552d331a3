"""Find the skeletons on the graph, and the topics that belong to them."""

from collections.abc import Mapping
from dataclasses import dataclass

from rclpy.node import Node

_SKELETONS = "pandapose_ros/msg/Skeleton3DArray"
_INFO, _ANCHORS = "pandapose_ros/msg/SkeletonInfo", "pandapose_ros/msg/AnchorSet3DArray"
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
# What pose_node makes of images: its debug image, and people cut out for REP 155.
_DEBUG_IMAGE, _CUT_OUT = "debug_image", "/humans/bodies/"


@dataclass(frozen=True)
class Source:
    """Name the topics of one stream of skeletons; empty: there is none.

    Attributes:
        skeletons: The skeletons.
        info: Their description.
        anchors: Their anchors.
        image: The images that they are made from.
        camera_info: The calibration of these images.
        is_compressed: Whether the images are CompressedImage.
        node: Full name of the node that publishes the skeletons.
    """

    skeletons: str
    info: str = ""
    anchors: str = ""
    image: str = ""
    camera_info: str = ""
    is_compressed: bool = False
    node: str = ""


def skeleton_topics(node: Node) -> list[str]:
    """List the topics on which skeletons are published, by name.

    Args:
        node: From where to look.
    """
    return sorted(
        name
        for name, types in node.get_topic_names_and_types()
        if _SKELETONS in types and node.count_publishers(name)
    )


def find_source(node: Node, skeletons: str, image: str = "") -> Source:
    """Find what belongs to a topic of skeletons, by the topics of its publisher.

    Args:
        node: From where to look.
        skeletons: Resolved topic.
        image: Resolved topic of the images; empty: those that the publisher subscribes to, or, if
            it is a player of recordings, those that it publishes, unless pose_node made them.

    Raises:
        rclpy's NodeNameNonExistentError: If the publisher has just disappeared.
    """
    subscribed: dict[str, list[str]] = {}
    published: dict[str, list[str]] = {}
    full_name = ""
    for publisher in node.get_publishers_info_by_topic(skeletons):
        name = (publisher.node_name, publisher.node_namespace)
        full_name = full_name or f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
        subscribed |= dict(node.get_subscriber_names_and_types_by_node(*name))
        published |= dict(node.get_publisher_names_and_types_by_node(*name))
    camera_infos = subscribed if _of_types(subscribed, _CAMERA_INFO) else published
    if image:
        images = camera_infos = dict(node.get_topic_names_and_types())
    else:
        images = subscribed if _of_types(subscribed, _IMAGE, _COMPRESSED) else published
        names = _of_types(images, _IMAGE, _COMPRESSED)
        if images is published:
            # pose_node subscribes to none while it is disabled, or lazy without subscribers.
            names = [name for name in names if not _is_made(name)]
        colour = _least_depth(names, skeletons)
        alive = [name for name in colour if node.count_publishers(name)]
        image = _most_alike(alive or colour, skeletons)
    return Source(
        skeletons,
        info=_most_alike(_of_types(published, _INFO), skeletons),
        anchors=_most_alike(_of_types(published, _ANCHORS), skeletons),
        image=image,
        camera_info=_most_alike(_of_types(camera_infos, _CAMERA_INFO), image or skeletons),
        is_compressed=_COMPRESSED in images.get(image, ()),
        node=full_name,
    )


def _of_types(topics: Mapping[str, list[str]], *types: str) -> list[str]:
    return sorted(name for name, kinds in topics.items() if set(types) & set(kinds))


def _is_made(topic: str) -> bool:
    """Return whether pose_node makes the images of a topic, by its name."""
    own = topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    return own == _DEBUG_IMAGE or topic.startswith(_CUT_OUT)


def _least_depth(topics: list[str], skeletons: str) -> list[str]:
    """Leave out depth images, which have the same type, by their names.

    Args:
        topics: Of images.
        skeletons: Their topic, with the camera's name in it where there are several.

    Returns:
        Those with the fewest mentions of depth, first in the last part, then in the parts before
        it: a camera, and so the folder of its colour images, may be called depth_camera.
    """
    camera = set(skeletons.lower().split("/"))

    def depth_parts(topic: str) -> tuple[bool, int]:
        *folders, own = topic.lower().removesuffix("/compressed").split("/")
        return "depth" in own, sum("depth" in part for part in folders if part not in camera)

    least = min(map(depth_parts, topics), default=None)
    return [topic for topic in topics if depth_parts(topic) == least]


def _most_alike(topics: list[str], other: str) -> str:
    """Return the topic whose name has most parts in common with another's; empty without any."""
    parts = set(other.split("/"))
    return max(topics, key=lambda topic: len(parts & set(topic.split("/"))), default="")
