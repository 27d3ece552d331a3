"""What happens to one frame: decode, estimate, publish."""

import time
from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import Header

from pandapose_ros.config import EstimatorConfig, NodeConfig
from pandapose_ros.estimator import CameraImage, PoseEstimator
from pandapose_ros.frames.frame_names import is_z_up
from pandapose_ros.node.calibration import Calibration
from pandapose_ros.node.compressed import decode
from pandapose_ros.node.delivery import Delivery
from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.depth_reader import DepthReader
from pandapose_ros.node.detections import DetectionBuffer, DetectionReader
from pandapose_ros.node.estimate import Estimate
from pandapose_ros.node.jumps import StampWatch, Step
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics, Timings
from pandapose_ros.node.worker import Frame
from pandapose_ros.node.world import World
from pandapose_ros.pose import Pose


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """Hold a decoded frame, ready for the estimator.

    Attributes:
        image: With everything known about the camera.
        header: Stamp of the image and its optical frame.
    """

    image: CameraImage
    header: Header


@dataclass
class FramePipeline:
    """Turn one camera's frames into messages while active; called by one thread.

    Attributes:
        node: Gives the clock and the log.
        parameters: Read anew for every frame.
        estimator: Finds and lifts the people.
        world: Moves them to `target_frame`.
        outputs: Publishes them.
        statistics: Counts what happened to the frames.
        timings: Measures the duration of each step.
        depths: The depth images received; empty where they are not asked for.
        detections: Those received of another detector; empty where they are not asked for.
        camera: Name of the camera; empty for a node with one.
    """

    node: Node
    parameters: Parameters
    estimator: PoseEstimator
    world: World
    outputs: Outputs
    statistics: NodeStatistics
    timings: Timings
    depths: DepthBuffer
    detections: DetectionBuffer
    camera: str = ""

    def __post_init__(self) -> None:
        """Start without people."""
        self._notices = Notices(self.node.get_logger())
        prefix = f"{self.camera}/" if self.camera else ""
        self.calibration = Calibration(
            self.node,
            self.node.resolve_topic_name(f"{prefix}camera_info"),
            self.statistics,
            self._notices,
        )
        self.depth = DepthReader(self.depths, self.statistics, self._notices)
        self.boxes = DetectionReader(
            self.node,
            self.node.resolve_topic_name(f"{prefix}detections"),
            self.detections,
            self.statistics,
            self._notices,
        )
        self.delivery = Delivery(
            node=self.node,
            parameters=self.parameters,
            world=self.world,
            outputs=self.outputs,
            statistics=self.statistics,
            timings=self.timings,
            notices=self._notices,
            on_error=self.fail,
        )
        self._stamps = StampWatch()
        self._last_stamp_ns = 0
        self._last_size = (0, 0)

    def prepare(self, frame: Frame) -> PreparedFrame | None:
        """Decode a frame and read its calibration; None if it was dropped, logged and counted."""
        try:
            return self._prepare(frame)
        except Exception as error:  # one bad image must not end the node
            self.fail(error)
            return None

    def hand_over(self, prepared: PreparedFrame, poses: list[Pose]) -> None:
        """Have the people of a frame published as soon as they can be moved to `target_frame`."""
        # As used for these poses: the parameter may change before they are published.
        is_tracked = self.estimator.config.tracking
        image = prepared.image.image
        self.delivery.add(Estimate(poses, prepared.header, image, is_tracked, time.monotonic()))

    def fail(self, error: Exception) -> None:
        """Log and count an error because of which a frame gives no skeletons."""
        self.statistics.failed += 1
        self._notices.error(f"image dropped, {type(error).__name__}: {error}", again_after=10.0)

    def forget(self, *, is_last: bool = False) -> None:
        """Forget all people and delete their markers; their ids are not used again.

        Args:
            is_last: No image follows: publish people as lost now instead of with the next one.
        """
        try:
            self._forget_people()
            self.outputs.clear_markers()
            if is_last:
                self.outputs.release()
        except Exception as error:  # the worker's thread must survive
            self._notices.error(f"reset failed, {type(error).__name__}: {error}")

    def _prepare(self, frame: Frame) -> PreparedFrame | None:
        config = self.parameters.get(NodeConfig)
        settings = self.parameters.get(EstimatorConfig)
        header = self._output_header(frame.image.header, config.frame_id)
        if self._is_too_old(header, config.max_image_age):
            self.statistics.dropped_old += 1
            return None
        try:
            with self.timings.decode.measure():
                image = decode(frame.image)
        except ValueError as error:
            self.statistics.dropped_undecodable += 1
            self._notices.error(f"image dropped: {error}")
            return None
        if not self._follow_time(nanoseconds(header.stamp)):
            return None
        size = (image.shape[1], image.shape[0])
        self._follow_size(size)
        K, distortion = self.calibration.read(
            frame.camera_info, size, settings.field_of_view, rectified=config.rectified
        )
        # With an assumed field of view, a measured depth would be put in the wrong direction.
        depth = None
        stamp_ns = nanoseconds(header.stamp)
        if K is None:
            self.depth.skip()
        else:
            # A frame_id that the user sets is not that of the drivers.
            frame_id = "" if config.frame_id else header.frame_id
            depth = self.depth.read(stamp_ns, size, frame_id, config.depth_window)
        boxes = self.boxes.read(stamp_ns, size, config) if config.use_detections else None
        stamp = stamp_ns / 1e9 if stamp_ns else None
        item = CameraImage(image, K, distortion, depth, stamp, self.camera, boxes)
        return PreparedFrame(item, header)

    def _output_header(self, header: Header, frame_id: str) -> Header:
        """Return the image's stamp with the frame to publish in."""
        frame_id = frame_id or header.frame_id
        if not frame_id:
            self._notices.warn(
                "images have no frame_id, so RViz and tf cannot place the people: set it in the "
                "camera's driver or by the parameter frame_id"
            )
        elif is_z_up(frame_id):
            self._notices.warn(
                f"images are in {frame_id}, a frame with z up by its name, but people are "
                "published in optical axes, z forward: set the optical frame in the camera's "
                "driver or by the parameter frame_id"
            )
        if header.stamp.sec == 0 and header.stamp.nanosec == 0:
            self._notices.warn("images have no stamp: set it in the camera's driver")
        return Header(stamp=header.stamp, frame_id=frame_id)

    def _is_too_old(self, header: Header, max_age: float) -> bool:
        stamp_ns = nanoseconds(header.stamp)
        if max_age <= 0 or stamp_ns == 0:  # zero: the driver gives no stamp
            return False
        age = (self.node.get_clock().now().nanoseconds - stamp_ns) / 1e9
        if age > max_age:
            self._notices.warn(
                f"image dropped: it is {age:.3f} s old, max_image_age is {max_age:g} s (are the "
                "clocks of both machines synchronised? usb_cam 0.8.1 stamps up to 1 s too early)",
                again_after=10.0,
            )
        return age > max_age

    def _follow_time(self, stamp_ns: int) -> bool:
        """Forget all people when time jumps, as when a recording is played again.

        Returns:
            Whether to use the image; if its stamp is wrong, it is dropped, logged and counted.
        """
        now_ns = self.node.get_clock().now().nanoseconds
        step = self._stamps.judge(stamp_ns, now_ns, time.monotonic_ns())
        if step is Step.IS_WRONG:
            self.statistics.dropped_wrong_stamp += 1
            where = "ahead of" if self._stamps.ahead > 0 else "before"
            self._notices.warn(
                f"image dropped: its stamp is {abs(self._stamps.ahead):.1f} s {where} the last "
                "image's, unlike the clocks (a driver's slip, images of several cameras on one "
                "topic, or a recording played in a loop without its clock?)",
                again_after=60.0,
            )
            return False
        if step is not Step.GOES_ON:
            where = "back" if step is Step.JUMPS_BACK else "ahead"
            self._notices.info(
                f"the images' stamps jumped {where}: tracking restarts", again_after=10.0
            )
            self._forget_people()
        if step is Step.JUMPS_BACK:
            # Keep what belongs to the images to come: it may have arrived already.
            between_ns = (stamp_ns + self._last_stamp_ns) // 2
            self.world.forget_after(between_ns)
            self.depths.forget_after(between_ns)
            self.detections.forget_after(between_ns)
        if stamp_ns != 0:  # the driver gave none, perhaps this once
            self._last_stamp_ns = stamp_ns
        return True

    def _forget_people(self) -> None:
        """Forget all people, including those who wait to be published."""
        self.statistics.dropped_untransformed += self.delivery.drop()
        self.delivery.people_in_view = 0
        self.estimator.reset(self.camera)
        self.world.clear()

    def _follow_size(self, size: tuple[int, int]) -> None:
        """Warn when the image size changes, on which the estimator forgets all people."""
        last, self._last_size = self._last_size, size
        if last not in ((0, 0), size):
            self._notices.warn(
                f"image size changed from {last[0]}x{last[1]} to {size[0]}x{size[1]}: tracking "
                "restarts; is there more than one publisher?",
                again_after=10.0,
            )
