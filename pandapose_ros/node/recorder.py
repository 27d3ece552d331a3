"""Node `recorder`: listens to a camera and to `pose_node` and writes one file at its end."""

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Image
from tqdm import tqdm

from pandapose_ros.config import RecorderConfig
from pandapose_ros.msg import AnchorSet3D, AnchorSet3DArray, Skeleton3D, Skeleton3DArray
from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.pose import AnchorVotes, Pose, RootSource
from pandapose_ros.recording import Recording, Result

_NO_ANCHORS = AnchorVotes(np.zeros((0, 3)), np.zeros((0, 1)), np.zeros(0, int), np.zeros(0, int))


class Recorder(Node):
    """Keep every image, skeleton and anchor message of a run, and when skeletons came."""

    def __init__(self) -> None:
        super().__init__("recorder")
        parameters = Parameters(self, RecorderConfig)
        if parameters.problems:
            raise ValueError("; ".join(parameters.problems))
        self.config = parameters.get(RecorderConfig)
        self._recording = Recording()
        # In a thread of its own, or skeletons would seem late by the time of an image's encoding.
        self._encoder = ThreadPoolExecutor(1)
        self._images: list[Future[bytes]] = []
        self._first_image: float | None = None
        self._messages: list[tuple[Skeleton3DArray, int]] = []
        self._anchors: dict[int, AnchorSet3DArray] = {}
        # Deep and reliable: the recorder is the witness of what was sent.
        qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "image", self._on_image, qos)
        self.create_subscription(Skeleton3DArray, "skeletons", self._on_skeletons, qos)
        self.create_subscription(AnchorSet3DArray, "anchors", self._on_anchors, qos)
        self._bar = tqdm(total=self.config.frames or None, desc="frames", unit="frame")

    def save(self) -> None:
        """Write the recording and close the progress bar."""
        self._bar.close()
        self._recording.images = [image.result() for image in self._images]
        for message, received_ns in self._messages:
            stamp_ns = _nanoseconds(message)
            sets = self._anchors.get(stamp_ns)
            # In the order of the skeletons, as the node publishes both.
            anchors = sets.sets if sets else [None] * len(message.skeletons)
            poses = [_pose(s, a) for s, a in zip(message.skeletons, anchors, strict=True)]
            self._recording.results.append(Result(stamp_ns, received_ns, poses))
        self._recording.save(Path(self.config.out))

    def is_over(self) -> bool:
        """Tell whether the time that was asked for has passed since the first image."""
        if not self.config.seconds or self._first_image is None:
            return False
        return time.monotonic() - self._first_image > self.config.seconds

    def _on_image(self, message: Image) -> None:
        if self._first_image is None:
            self._first_image = time.monotonic()
        self._recording.image_stamps_ns.append(_nanoseconds(message))
        self._images.append(self._encoder.submit(_jpeg, message))
        self._bar.update()

    def _on_skeletons(self, message: Skeleton3DArray) -> None:
        self._messages.append((message, self.get_clock().now().nanoseconds))
        self._bar.set_postfix(skeletons=len(self._messages), refresh=False)

    def _on_anchors(self, message: AnchorSet3DArray) -> None:
        self._anchors[_nanoseconds(message)] = message


def _jpeg(message: Image) -> bytes:
    """Encode an image."""
    image = cv2.cvtColor(image_from_message(message), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 92))[1].tobytes()


def _nanoseconds(message: Image | Skeleton3DArray | AnchorSet3DArray) -> int:
    """Return a message's stamp as one number."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _xyz(points: list) -> np.ndarray:
    """Convert points to an array [N, 3]."""
    return np.array([(p.x, p.y, p.z) for p in points]).reshape(-1, 3)


def _pose(skeleton: Skeleton3D, anchors: AnchorSet3D | None) -> Pose:
    """Turn a message back into a pose with pelvis-relative joints."""
    joints = skeleton.joints
    positions, root = _xyz([j.position for j in joints]), _xyz([skeleton.root_position])[0]
    source = RootSource(skeleton.root_source)
    origin = np.zeros(3) if source is RootSource.NONE else root
    roi = skeleton.roi
    votes = _NO_ANCHORS
    if anchors is not None:
        owners = np.array(anchors.joint_index, np.int64)
        votes = AnchorVotes(
            positions=_xyz(list(anchors.positions)) - origin,
            weights=np.array(anchors.weights)[:, None],
            kinds=np.array(anchors.kinds),
            owners=np.where(owners == AnchorSet3D.GLOBAL_JOINT, -1, owners),
        )
    return Pose(
        id=int("".join(filter(str.isdigit, skeleton.id)) or 0),
        is_new=skeleton.tracking_state == Skeleton3D.TRACKING_NEW,
        joints=positions - origin,
        root=None if source is RootSource.NONE else root,
        root_covariance=None,
        root_source=source,
        joint_scores=np.array([j.confidence for j in joints]),
        keypoints=np.array([(j.u, j.v) for j in joints]),
        box_xyxy=np.array(
            (roi.x_offset, roi.y_offset, roi.x_offset + roi.width, roi.y_offset + roi.height)
        ),
        score=skeleton.confidence,
        anchors=votes,
    )


def main() -> int:
    """Run the node until it is interrupted, then save."""
    ending = start_ros()
    try:
        node = Recorder()
    except ValueError as error:
        sys.exit(f"recorder: {error}")
    spin(node, lambda: ending.is_set() or node.is_over())
    node.save()
    node.destroy_node()
    try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
