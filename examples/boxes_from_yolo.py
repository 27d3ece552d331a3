#!/usr/bin/env python3
"""Republish the boxes of yolo_ros (yolo_msgs) on `detections`, as pose_node takes them.

An example of a relay for a detector that does not publish vision_msgs.
"""

from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
from yolo_msgs.msg import Detection, DetectionArray


class BoxesFromYolo(Node):
    """Both count pixels from the image's edge, and give centre and size."""

    def __init__(self) -> None:
        super().__init__("boxes_from_yolo")
        self.boxes = self.create_publisher(Detection2DArray, "detections", 1)
        self.create_subscription(DetectionArray, "yolo/detections", self.on_detections, 1)

    def on_detections(self, message: DetectionArray) -> None:
        boxes = [self.as_box(detection) for detection in message.detections]
        self.boxes.publish(Detection2DArray(header=message.header, detections=boxes))

    def as_box(self, detection: Detection) -> Detection2D:
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = detection.class_name
        result.hypothesis.score = detection.score
        box = Detection2D(results=[result])
        box.bbox.center.position.x = detection.bbox.center.position.x
        box.bbox.center.position.y = detection.bbox.center.position.y
        box.bbox.center.theta = detection.bbox.center.theta
        box.bbox.size_x, box.bbox.size_y = detection.bbox.size.x, detection.bbox.size.y
        return box


if __name__ == "__main__":
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(BoxesFromYolo())
