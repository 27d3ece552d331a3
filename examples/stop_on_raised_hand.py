#!/usr/bin/env python3
"""Publish std_msgs/Bool `stop`: true while somebody in view holds a wrist above the head.

An example of a node that uses the skeletons, not a safety device.
"""

from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool

from pandapose_ros.msg import Skeleton3D, Skeleton3DArray, SkeletonInfo

LEAST_CONFIDENCE = 0.5


class StopOnRaisedHand(Node):
    """Compare wrists with the head in the image, along the line from the pelvis to the head."""

    def __init__(self) -> None:
        super().__init__("stop_on_raised_hand")
        self.joints: dict[str, int] = {}
        self.stop = self.create_publisher(Bool, "stop", 1)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(SkeletonInfo, "pose_node/skeleton_info", self.on_info, latched)
        self.create_subscription(Skeleton3DArray, "pose_node/skeletons", self.on_skeletons, 1)

    def on_info(self, message: SkeletonInfo) -> None:
        self.joints = {name: number for number, name in enumerate(message.joint_names)}

    def on_skeletons(self, message: Skeleton3DArray) -> None:
        if self.joints:
            self.stop.publish(Bool(data=any(map(self.has_raised_hand, message.skeletons))))

    def has_raised_hand(self, person: Skeleton3D) -> bool:
        names = ("pelvis", "head", "left_wrist", "right_wrist")
        pelvis, head, *wrists = (person.joints[self.joints[name]] for name in names)
        u, v = head.u - pelvis.u, head.v - pelvis.v
        above = [w for w in wrists if u * (w.u - head.u) + v * (w.v - head.v) > 0]
        return any(w.confidence >= LEAST_CONFIDENCE for w in above)


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(StopOnRaisedHand())
