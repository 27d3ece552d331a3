"""A camera for demos and tests: a webcam or a file, published as Image and CameraInfo."""

import array
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from rclpy.timer import Timer
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from pandapose_ros.config import VideoCameraConfig
from pandapose_ros.node.distributions import steady_clock
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view, camera_info_from_file
from pandapose_ros.node.parameters import read_parameters
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.node.webcam import WebcamReader

_DEFAULT_RATE = 30.0
# Videos of a higher rate are seldom: most declare it only, as browsers record [Hz].
_LIKELY_RATE = 100.0
_MEASURED_IMAGES = 30
_SUBSCRIBER_POLL = 0.1
# Subscribers are discovered a moment before they discover this node [s].
_SETTLE_TIME = 0.3
# Time for the last images to leave the process [s].
_DRAIN_TIME = 0.5


class VideoSource:
    """Read BGR images from a webcam, a video, or an image file (a video of one image)."""

    def __init__(self, config: VideoCameraConfig) -> None:
        """Open the source.

        Args:
            config: Names the source, and the size to ask of a webcam.

        Raises:
            FileNotFoundError: If there is no such file or webcam.
            ValueError: If the file holds no images.
        """
        self.name = config.source
        self.is_webcam = config.source.isdigit()
        if not self.is_webcam and not Path(config.source).is_file():
            raise FileNotFoundError(
                f"source '{config.source}' is neither a file nor the index of a webcam"
            )
        # FFmpeg would take the beginning of 12:30.mp4 for a protocol.
        self._place = self.name if self.is_webcam else str(Path(self.name).absolute())
        self._capture = cv2.VideoCapture(int(self.name) if self.is_webcam else self._place)
        if not self._capture.isOpened():
            if self.is_webcam:
                raise FileNotFoundError(
                    f"cannot open webcam {self.name}: is /dev/video{self.name} there, and is the "
                    "user in the group 'video'?"
                )
            raise ValueError(f"cannot read images from {self.name}: not a video or image file")
        if self.is_webcam and config.width and config.height:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
        self.rate = self._capture.get(cv2.CAP_PROP_FPS)
        if self.rate > _LIKELY_RATE and not self.is_webcam:
            self.rate = _measure_rate(self._place)
        if not 0 < self.rate <= 1000:
            self.rate = _DEFAULT_RATE

    def grab(self) -> bool:
        """Go to the next image, of a webcam once it is there; False at the end."""
        return self._capture.grab()

    def retrieve(self) -> NDArray[np.uint8] | None:
        """Decode the image that was grabbed, BGR uint8 [H, W, 3]; None if that fails."""
        is_read, image = self._capture.retrieve()
        return np.asarray(image, np.uint8) if is_read else None

    def rewind(self) -> None:
        """Go back to a file's first image."""
        self._capture.release()
        self._capture.open(self._place)

    def close(self) -> None:
        """Release the webcam or file."""
        self._capture.release()


def _measure_rate(name: str) -> float:
    """Return the rate of a video by the times of its first images; 0 if it does not tell them."""
    capture, times = cv2.VideoCapture(name), []
    while len(times) < _MEASURED_IMAGES and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    seconds = times[-1] - times[0] if times else 0.0
    return (len(times) - 1) / seconds if seconds > 0 else 0.0


class VideoCamera(Node):
    """Publish a source's images on `image_raw` and their calibration on `camera_info`."""

    def __init__(self, **node_options: object) -> None:
        """Open the source, and begin as soon as there are enough subscribers.

        Args:
            node_options: As of `rclpy.node.Node`, which checks them.

        Raises:
            FileNotFoundError: If the source or the calibration is not there.
            ValueError: If a parameter or the calibration is wrong.
        """
        super().__init__("video_camera", **node_options)  # type: ignore[arg-type]
        # Before anything that may fail: from Kilted on, rclpy then calls `destroy_node`.
        self._reader: WebcamReader | None = None
        self._close_source: Callable[[], None] = lambda: None
        self._config = read_parameters(self, VideoCameraConfig)
        self._source = VideoSource(self._config)
        self._close_source = self._source.close
        self._rate = self._config.rate or self._source.rate
        self._message = Image(encoding="bgr8")  # OpenCV's order: no conversion here
        self._camera_info: CameraInfo | None = None
        if self._config.calibration:
            self._camera_info = camera_info_from_file(self._config.calibration)
        # As v4l2_camera: reliable, depth 10, so that subscribers of every kind match.
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._image_publisher = self.create_publisher(Image, "image_raw", qos)
        self._info_publisher = self.create_publisher(CameraInfo, "camera_info", qos)
        self.published = 0
        self.finished = Future()
        self._timer: Timer | None = None
        self._schedule(_SUBSCRIBER_POLL, self._wait)
        topic, wanted = self._image_publisher.topic_name, self._config.wait_for_subscribers
        self.get_logger().info(
            f"{self._source.name} to {topic} at {self._rate:.3g} Hz"
            + (f" once {wanted} subscribers are there" if wanted else "")
        )

    def destroy_node(self) -> None:
        """Release the source too."""
        # A webcam that hangs in a grab cannot be released safely: the process's end will do it.
        if self._reader is None or self._reader.close():
            self._close_source()
        super().destroy_node()

    def _schedule(self, period: float, callback: Callable[[], None]) -> None:
        """Replace the timer by one that calls back every `period` seconds of steady time."""
        self._stop_timer()
        clock = steady_clock()
        self._timer = self.create_timer(period, callback, clock=clock)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    def _wait(self) -> None:
        wanted = self._config.wait_for_subscribers
        if self._image_publisher.get_subscription_count() >= wanted:
            self._schedule(_SETTLE_TIME if wanted else 1 / self._rate, self._begin)

    def _begin(self) -> None:
        """Publish from now on: a file by a timer, a webcam as it delivers."""
        if self._source.is_webcam:
            self._stop_timer()
            self._reader = WebcamReader(
                self._source.grab, self._config.rate, self._publish_grabbed, self._finish_webcam
            )
        else:
            self._schedule(1 / self._rate, self._publish_next)

    def _publish_grabbed(self) -> None:
        """Publish what was grabbed from a webcam."""
        frame = self._retrieve()
        if frame is None:
            raise self._no_more_images()
        self._publish(*frame)

    def _finish_webcam(self, error: Exception | None) -> None:
        self._finish(error or self._no_more_images())

    def _no_more_images(self) -> OSError:
        return OSError(f"webcam {self._source.name} gives no more images")

    def _publish_next(self) -> None:
        try:
            self._try_to_publish_next()
        except ValueError as error:
            self._finish(error)

    def _try_to_publish_next(self) -> None:
        frame = self._read()
        if frame is None and self._config.loop:
            self._source.rewind()
            frame = self._read()
        if frame is not None:
            self._publish(*frame)
        elif not self.published:
            self._finish(ValueError(f"{self._source.name} holds no images"))
        else:
            self.get_logger().info(f"end of {self._source.name}: {self.published} images")
            self._schedule(_DRAIN_TIME, self._finish)

    def _read(self) -> tuple[NDArray[np.uint8], Time] | None:
        return self._retrieve() if self._source.grab() else None

    def _retrieve(self) -> tuple[NDArray[np.uint8], Time] | None:
        stamp = self.get_clock().now().to_msg()  # before decoding, which takes milliseconds
        image = self._source.retrieve()
        return None if image is None else (image, stamp)

    def _publish(self, image: NDArray[np.uint8], stamp: Time) -> None:
        height, width = image.shape[:2]
        if not self.published:
            self._set_size(width, height)
        header = Header(stamp=stamp, frame_id=self._config.frame_id)
        if self._camera_info is not None:
            self._camera_info.header = header
            self._info_publisher.publish(self._camera_info)
        self._message.header = header
        # In place: setting `data` would copy once more, or element by element.
        np.frombuffer(memoryview(self._message.data), np.uint8)[:] = image.ravel()
        self._image_publisher.publish(self._message)
        self.published += 1

    def _set_size(self, width: int, height: int) -> None:
        """Prepare the messages for images of this size."""
        message, info = self._message, self._camera_info
        message.width, message.height, message.step = width, height, 3 * width
        message.data = array.array("B", bytes(3 * width * height))
        if info is None and self._config.field_of_view > 0:
            self._camera_info = camera_info_from_field_of_view(
                self._config.field_of_view, width, height
            )
        elif info is not None and (info.width, info.height) != (width, height):
            raise ValueError(
                f"{self._config.calibration} is for {info.width}x{info.height} pixels, but "
                f"{self._source.name} has {width}x{height}"
            )

    def _finish(self, error: Exception | None = None) -> None:
        """End `main`, with an error or without."""
        self._stop_timer()
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)


def main() -> int:
    """Publish until the source ends or the node is told to end; return the exit code."""
    ending = start_ros()
    try:
        camera = VideoCamera()
        spin(camera, lambda: ending.is_set() or camera.finished.done())
        camera.destroy_node()
        if camera.finished.done():
            camera.finished.result()
    except (OSError, ValueError) as error:
        get_logger("video_camera").error(str(error))
        return 1
    finally:
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
