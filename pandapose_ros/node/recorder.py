"""Node `recorder`: listens to a camera and to `pose_node` and writes one file at its end."""

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Image
from tqdm import tqdm

from pandapose_ros.config import RecorderConfig
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3DArray
from pandapose_ros.node.distributions import publisher_count
from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.parameters import read_parameters
from pandapose_ros.node.readback import pose_from_messages
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.recording import Recording, Result

_CONNECTION_POLL = 0.05


class Recorder(Node):
    """Keep every image, skeleton and anchor message of a run, and when skeletons came."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.config = read_parameters(self, RecorderConfig)
        self._recording = Recording()
        # In a thread of its own, or skeletons would seem late by the time of an image's encoding.
        self._encoder = ThreadPoolExecutor(1)
        self._images: list[Future[bytes]] = []
        self._first_image: float | None = None
        self._messages: list[tuple[Skeleton3DArray, int]] = []
        self._anchors: dict[int, AnchorSet3DArray] = {}
        # Deep and reliable: the recorder is the witness of what was sent.
        qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self._results = (
            self.create_subscription(Skeleton3DArray, "skeletons", self._on_skeletons, qos),
            self.create_subscription(AnchorSet3DArray, "anchors", self._on_anchors, qos),
        )
        # A camera that waits for subscribers must not start before every result is heard.
        self._timer = self.create_timer(_CONNECTION_POLL, lambda: self._subscribe_to_images(qos))
        self._bar = tqdm(total=self.config.frames or None, desc="frames", unit="frame")

    def save(self) -> None:
        """Write the recording and close the progress bar."""
        self._bar.close()
        self._recording.images = [image.result() for image in self._images]
        for message, received_ns in self._messages:
            stamp_ns = nanoseconds(message.header.stamp)
            sets = self._anchors.get(stamp_ns)
            # In the order of the skeletons, as the node publishes both.
            anchors = sets.sets if sets else [None] * len(message.skeletons)
            poses = [
                pose_from_messages(s, a) for s, a in zip(message.skeletons, anchors, strict=True)
            ]
            self._recording.results.append(Result(stamp_ns, received_ns, poses))
        self._recording.save(Path(self.config.out))

    def is_over(self) -> bool:
        """Tell whether the time that was asked for has passed since the first image."""
        if not self.config.seconds or self._first_image is None:
            return False
        return time.monotonic() - self._first_image > self.config.seconds

    def _subscribe_to_images(self, qos: QoSProfile) -> None:
        """Subscribe to the images once the node's publishers are connected."""
        if all(publisher_count(self, result) for result in self._results):
            self.destroy_timer(self._timer)
            self.create_subscription(Image, "image", self._on_image, qos)

    def _on_image(self, message: Image) -> None:
        if self._first_image is None:
            self._first_image = time.monotonic()
        self._recording.image_stamps_ns.append(nanoseconds(message.header.stamp))
        self._images.append(self._encoder.submit(_jpeg, message))
        self._bar.update()

    def _on_skeletons(self, message: Skeleton3DArray) -> None:
        self._messages.append((message, self.get_clock().now().nanoseconds))
        self._bar.set_postfix(skeletons=len(self._messages), refresh=False)

    def _on_anchors(self, message: AnchorSet3DArray) -> None:
        self._anchors[nanoseconds(message.header.stamp)] = message


def _jpeg(message: Image) -> bytes:
    """Encode an image."""
    image = cv2.cvtColor(image_from_message(message), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 92))[1].tobytes()


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
