"""A tf frame per person: `body_` and the person's name, as REP 155 describes it."""

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import QoSProfile

from pandapose_ros.frames.body_frame import BodyRotations
from pandapose_ros.frames.transform import quaternion_from_rotation
from pandapose_ros.node.conversions import person_name
from pandapose_ros.node.estimate import Placed
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import Send

_QUEUE = 100  # as of tf2_ros


class BodyFrames:
    """Publish where people are and which way they face, on /tf."""

    def __init__(self, node: Node) -> None:
        """Create the publisher.

        Raises:
            RuntimeError: If tf2_msgs is not installed.
        """
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise RuntimeError(
                f"publish_tf needs tf2_msgs ({error}): sudo apt install ros-$ROS_DISTRO-tf2-msgs, "
                "or set publish_tf to false"
            ) from error
        self._message = TFMessage
        self._node = node
        self._rotations = BodyRotations()
        self._last_ns, self._sent = 0, set[str]()  # stamp of the last frames, and their names
        # No lifecycle publisher is needed: `publish` is not called while the node is inactive.
        self._publisher = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=_QUEUE))

    def publish(self, placed: Placed, send: Send) -> None:
        """Publish a frame for each person with a root, as children of the people's frame.

        Args:
            placed: People; may be empty. Nothing is sent of images without a stamp or a frame, nor
                of somebody again for the same stamp.
            send: Called with the publisher and its message.
        """
        transforms, stamp_ns = [], nanoseconds(placed.header.stamp)
        if stamp_ns != self._last_ns:
            self._last_ns, self._sent = stamp_ns, set()
        for pose, rotation in self._rotations.update(placed.poses):
            x, y, z = np.asarray(pose.root, np.float64).tolist()
            frame = f"body_{person_name(pose)}"
            if frame in self._sent:
                continue
            stamped = TransformStamped(header=placed.header, child_frame_id=frame)
            stamped.transform.translation = Vector3(x=x, y=y, z=z)
            qx, qy, qz, qw = quaternion_from_rotation(rotation)
            stamped.transform.rotation = Quaternion(x=qx, y=qy, z=qz, w=qw)
            transforms.append(stamped)
        # Every listener to tf would complain each time, and keep the first place of each stamp.
        is_known = placed.header.frame_id != "" and stamp_ns != 0
        if transforms and is_known:
            self._sent.update(stamped.child_frame_id for stamped in transforms)
            send(self._publisher, self._message(transforms=transforms))

    def destroy(self) -> None:
        """Remove the publisher."""
        self._node.destroy_publisher(self._publisher)
