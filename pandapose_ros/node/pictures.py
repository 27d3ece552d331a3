"""The image with the people drawn onto it: raw, as JPEG, and as annotations for Foxglove.

Each is made only while it has subscribers.
"""

import array
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle.publisher import LifecyclePublisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pandapose_ros.config import PictureConfig
from pandapose_ros.drawing import draw_poses, limit_width
from pandapose_ros.node.annotations import Annotator, make_annotator
from pandapose_ros.node.conversions import image_message
from pandapose_ros.node.estimate import Estimate
from pandapose_ros.node.statistics import Send


class Pictures:
    """Publish the debug image and annotations."""

    def __init__(self, create: Callable[[type, str, int], LifecyclePublisher]) -> None:
        """Create the publishers.

        Args:
            create: Makes a publisher of a type, a topic and a depth.
        """
        self._raw = create(Image, "~/debug_image", 1)
        self._compressed = create(CompressedImage, "~/debug_image/compressed", 1)
        self._annotator: Annotator | None = make_annotator()
        self._has_annotated = False
        self.publishers = [self._raw, self._compressed]
        if self._annotator is not None:
            self._annotations = create(self._annotator.message_type, "~/annotations", 1)
            self.publishers.append(self._annotations)

    def publish(self, estimate: Estimate, style: PictureConfig, caption: str, send: Send) -> None:
        """Publish what has subscribers.

        Args:
            estimate: The image, which is not written to, and the people in it.
            style: Which keypoints, in which colours, how large.
            caption: Line at the top of the image.
            send: Called with a publisher and its message.
        """
        poses, header = estimate.poses, estimate.header
        if self._annotator is not None and self._annotations.get_subscription_count():
            send(self._annotations, self._annotator.annotate(poses, header, style))
            self._has_annotated = True
        wants_raw = self._raw.get_subscription_count() > 0
        wants_compressed = self._compressed.get_subscription_count() > 0
        if not (wants_raw or wants_compressed):
            return
        drawn = draw_poses(
            estimate.image,
            poses,
            least_score=style.marker_score,
            colours=style.marker_colour,
            caption=caption,
        )
        drawn = limit_width(drawn, style.debug_image_width)
        if wants_raw:
            send(self._raw, image_message(drawn, header))
        if wants_compressed:
            send(self._compressed, _jpeg_message(drawn, header, style.debug_image_quality))

    def clear_annotations(self) -> None:
        """Take what was drawn off the image in Foxglove, which would keep it on later images."""
        if self._annotator is not None and self._has_annotated:
            self._annotations.publish(self._annotator.annotate((), Header(), PictureConfig()))
        self._has_annotated = False


def _jpeg_message(image: NDArray[np.uint8], header: Header, quality: int) -> CompressedImage:
    """Convert an RGB image, in the form that image_transport gives to a compressed one."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = array.array("B", data.tobytes())
    return message
