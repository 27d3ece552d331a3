"""Recordings of the demo's clip, and what the bag tool makes of them."""

import subprocess
import sys

from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import Header

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.conversions import image_message
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view

STORE = get_typestore(Stores.ROS2_JAZZY)


def messages(frames):
    """Image and camera_info of each frame, ten a second."""
    for number, pixels in enumerate(frames, start=1):
        header = Header(frame_id="lens")
        header.stamp.sec, header.stamp.nanosec = 1000, number * 10**8
        info = camera_info_from_field_of_view(1.0, pixels.shape[1], pixels.shape[0])
        info.header = header
        yield image_message(pixels, header), info


def write_recording(path, frames, cameras=("cam",)):
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for camera in cameras:
            images = writer.add_connection(
                f"/{camera}/image_raw", "sensor_msgs/msg/Image", typestore=STORE
            )
            infos = writer.add_connection(
                f"/{camera}/camera_info", "sensor_msgs/msg/CameraInfo", typestore=STORE
            )
            for image, info in messages(frames):
                time = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec + 5
                writer.write(infos, time, serialize_message(info))
                writer.write(images, time + 1, serialize_message(image))


def read_skeletons(path, topic="/pose_node/skeletons"):
    with Reader(path) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [deserialize_message(d, Skeleton3DArray) for _, _, d in reader.messages(wanted)]


def run_tool(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pandapose_ros.tools.main", "bag", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
