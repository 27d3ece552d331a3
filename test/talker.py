"""A person who is made up, and a node that publishes people as pose_node does."""

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from pandapose_ros.estimator import ModelInfo
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node import conversions
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17


def person(root=(0.0, 0.2, 3.0)):
    joints = np.zeros((17, 3))
    joints[:, 1] = np.linspace(0.8, -0.8, 17)
    joints[:, 0] = np.linspace(-0.3, 0.3, 17)
    return Pose(
        id=3,
        state=TrackState.TRACKED,
        joints=joints - joints[0],
        root=np.array(root),
        root_covariance=None,
        root_source=RootSource.INTRINSICS,
        joint_scores=np.full(17, 0.9),
        keypoints=np.full((17, 2), 50.0),
        box_xyxy=np.array([10.0, 10.0, 90.0, 200.0]),
        score=0.9,
        anchors=AnchorVotes(
            positions=np.array([[0.1, 0.0, 0.0], [0.0, 0.5, 0.1], [-0.4, 0.3, 0.3]]),
            weights=np.full((3, 17), 1 / 3),
            kinds=np.array([0, 0, 1]),
            owners=np.array([0, 9, -1]),
        ),
    )


class Talker:
    """Publishes as pose_node does, beside the images that it works on; or as a recording does."""

    def __init__(
        self,
        graph,
        image="lens/image_raw",
        depth="depth",
        is_recording=False,
        is_described=True,
    ):
        self.node = graph.add(Node("talker", context=graph.context))
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        create = self.node.create_publisher
        self.skeletons = create(Skeleton3DArray, "~/skeletons", 5)
        if is_described:
            self.info = create(SkeletonInfo, "~/skeleton_info", latched)
            self.info.publish(conversions.skeleton_info_message(H36M_17, ModelInfo("m", "1", "0")))
        if is_recording:
            return
        camera_info = f"{image.rpartition('/')[0]}/camera_info"
        self.camera_info, self.image_frame = camera_info_from_field_of_view(1.0, 64, 48), "lens"
        self.anchors = create(AnchorSet3DArray, "~/anchors", 1)
        self.images = create(Image, image, 5)
        self.camera_infos = create(CameraInfo, camera_info, 5)
        for kind, topic in ((Image, depth), (Image, image), (CameraInfo, camera_info)):
            self.node.create_subscription(kind, topic, lambda _message: None, 1)

    def say(self, poses, colour=(200, 200, 200), frame="lens"):
        """Publish people with their anchors in a frame, and the lens's image of one colour."""
        stamp = self.node.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self.image_frame)
        self.camera_infos.publish(self.camera_info)
        image = np.full((48, 64, 3), colour, np.uint8)
        self.images.publish(conversions.image_message(image, header))
        header = Header(stamp=header.stamp, frame_id=frame)
        self.anchors.publish(conversions.anchors_message(poses, header))
        self.skeletons.publish(conversions.skeletons_message(poses, header, "h36m_17"))

    def say_skeletons(self, poses, frame="lens", stamp=None, skeleton="h36m_17"):
        """Publish people and nothing else, as where all the rest is lost."""
        header = Header(stamp=stamp or self.node.get_clock().now().to_msg(), frame_id=frame)
        self.skeletons.publish(conversions.skeletons_message(poses, header, skeleton))
