"""Print, as JSON, which ROS is installed and which cameras are on the graph."""

import json
import os
import sys
import time

import rclpy
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier, try_shutdown

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.qos_report import endpoint_names

_IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
# Discovery usually takes less than the first, and up to the second on a busy computer.
_DISCOVERY_SECONDS, _PATIENCE_SECONDS = 2.0, 6.0
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # ROS's word for a publisher that was heard of before its node


def report() -> dict:
    """Look at the graph for two seconds, or six while no images, or not their nodes, are known.

    Returns:
        distro, rmw, domain; skeletons: topics; images: by topic, the publishers and whether there
        is a camera_info beside it.
    """
    # Loads the compiled half of the messages, which fails if it was built for another Python.
    Skeleton3DArray.__class__.__import_type_support__()
    rclpy.init()
    node = Node("pandapose_doctor")
    start = time.monotonic()
    topics: dict[str, list[str]] = {}
    publishers: dict[str, str] = {}
    while time.monotonic() < start + _PATIENCE_SECONDS:
        time.sleep(_DISCOVERY_SECONDS)
        topics = {
            name: types
            for name, types in node.get_topic_names_and_types()
            if node.count_publishers(name)
        }
        publishers = {
            name: endpoint_names(node.get_publishers_info_by_topic(name))
            for name, types in topics.items()
            if _IMAGES & set(types)
        }
        if publishers and not any(_UNKNOWN in names for names in publishers.values()):
            break
    images = {
        name: {"publishers": names, "camera_info": f"{_folder(name)}/camera_info" in topics}
        for name, names in publishers.items()
    }
    node.destroy_node()
    try_shutdown()
    return {
        "distro": os.environ.get("ROS_DISTRO", ""),
        "rmw": get_rmw_implementation_identifier(),
        "domain": int(os.environ.get("ROS_DOMAIN_ID") or 0),
        "skeletons": [n for n, t in topics.items() if "pandapose_ros/msg/Skeleton3DArray" in t],
        "images": images,
    }


def _folder(topic: str) -> str:
    return topic.removesuffix("/compressed").rsplit("/", 1)[0]


def main() -> int:
    """Print the report; return the exit code."""
    sys.stdout.write(json.dumps(report()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
