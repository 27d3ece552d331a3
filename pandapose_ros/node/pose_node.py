"""The lifecycle node: images in, skeletons out."""

import ctypes
import sys
import time
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time
from rclpy.utilities import ok, try_shutdown
from std_msgs.msg import Header

from pandapose_ros.config import EstimatorConfig, NodeConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import Array
from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.inputs import ImageInput
from pandapose_ros.node.intrinsics import intrinsics_from_message
from pandapose_ros.node.markers import MarkerStyle
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.worker import Frame, LatestFrameWorker, NodeStatistics

# Longest time to wait for the image at work when the node is deactivated.
_STOP_TIMEOUT = 10.0
# camera_info may come a moment after the first images without being missed.
_CAMERA_INFO_GRACE = 1.0
# Stamps that go back further than this are another recording, or the same from its start.
_TIME_JUMP = 0.5


class PoseNode(LifecycleNode):
    """Estimate the skeletons of all people in the newest image.

    configure loads and warms up the estimator, activate subscribes, deactivate unsubscribes and
    deletes the markers, cleanup frees the estimator. The executor's thread only stores images;
    one worker thread decodes, estimates and publishes.
    """

    def __init__(self, **node_options: Any) -> None:
        """Declare the parameters; nothing is loaded before configure.

        Args:
            node_options: As of `rclpy.node.Node`, which checks them.
        """
        super().__init__("pose_node", **node_options)
        self.parameters = Parameters(self, EstimatorConfig, NodeConfig)
        self.statistics = NodeStatistics()
        self._notices = Notices(self.get_logger())
        self._estimator: PoseEstimator | None = None
        self._outputs: Outputs | None = None
        self._input: ImageInput | None = None
        self._worker: LatestFrameWorker | None = None
        self._first_frame_time = 0.0
        self._last_stamp = Time()

    def start(self) -> bool:
        """Configure and activate; False if one fails, after the reason has been logged."""
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the estimator and run it once; fails with the remedy in the log."""
        logger = self.get_logger()
        for problem in self.parameters.problems:
            logger.error(problem)
        if self.parameters.problems:
            return TransitionCallbackReturn.FAILURE
        started = time.monotonic()
        try:
            self._estimator = PoseEstimator(self.parameters.get(EstimatorConfig))
            self._estimator.estimate(np.zeros((480, 640, 3), np.uint8))
            self._estimator.reset()
        except Exception as error:  # rclpy would swallow it without a word
            logger.error(f"cannot load the estimator: {error or type(error).__name__}")
            self._estimator = None
            return TransitionCallbackReturn.FAILURE
        self._outputs = Outputs(self, self._estimator.skeleton)
        logger.info(
            f"loaded {self._estimator.model_info.name} on {self._estimator.device} in "
            f"{time.monotonic() - started:.1f} s"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to publish."""
        if self._estimator is None or self._outputs is None:
            return TransitionCallbackReturn.ERROR
        result = super().on_activate(state)
        self._estimator.reset()
        self._notices.forget()
        self.statistics = NodeStatistics()
        self._first_frame_time = 0.0
        self._outputs.publish_info(self._estimator.model_info)
        self._worker = LatestFrameWorker(self._process)
        self._worker.start()
        self._input = ImageInput(
            self, self._on_frame, lambda: self.parameters.get(NodeConfig).image_timeout
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, then publish nothing more but the deletion of all markers."""
        self._stop()
        if self._outputs is not None:
            self._outputs.clear_markers()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the estimator and the publishers."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what is still to be done of deactivate and cleanup."""
        if state.label == "active":
            self.on_deactivate(state)
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, from where configure may be tried again."""
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """End the worker before the node's handles go."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self._input is not None:
            self._input.destroy()
            self._input = None
        if self._worker is None:
            return
        has_ended, dropped = self._worker.stop(_STOP_TIMEOUT)
        self._worker = None
        self.statistics.dropped_inactive += dropped
        if not has_ended:
            self.get_logger().error(f"the worker is still busy after {_STOP_TIMEOUT:g} s")
        self.get_logger().info(f"images: {self.statistics}")

    def _free(self) -> None:
        self._estimator = None
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None

    def _on_frame(self, frame: Frame) -> None:
        """Store the frame; runs in the executor's thread."""
        self.statistics.received += 1
        if self._worker is not None and self._worker.submit(frame):
            self.statistics.dropped_busy += 1

    def _process(self, frame: Frame) -> None:
        """Do all work on one frame; runs in the worker's thread and outlives any error."""
        try:
            self._estimate(frame)
        except Exception as error:  # one bad image must not end the node
            if ok(context=self.context):
                self.statistics.failed += 1
                self._notices.error(
                    f"image dropped, {type(error).__name__}: {error}", again_after=10.0
                )

    def _estimate(self, frame: Frame) -> None:
        estimator, outputs = self._estimator, self._outputs
        if estimator is None or outputs is None:
            return
        config = self.parameters.get(NodeConfig)
        header = self._output_header(frame.image.header, config)
        if self._is_too_old(header, config.max_image_age):
            self.statistics.dropped_old += 1
            return
        try:
            image = image_from_message(frame.image)
        except ValueError as error:
            self.statistics.dropped_undecodable += 1
            self._notices.error(f"image dropped: {error}")
            return
        self._follow_time(estimator, header)
        K, distortion = self._intrinsics(frame, image)
        settings = self.parameters.get(EstimatorConfig)
        if settings is not estimator.config:
            estimator.update(settings)
        poses = estimator.estimate(image, K, distortion)
        style = MarkerStyle(config.marker_score, config.marker_lifetime)
        outputs.publish(poses, header, style, tracking=settings.tracking)
        self.statistics.processed += 1
        self.statistics.people += len(poses)
        outputs.publish_debug_image(image, poses, header)

    def _output_header(self, header: Header, config: NodeConfig) -> Header:
        """Return the image's stamp with the frame to publish in."""
        frame_id = config.frame_id or header.frame_id
        if not frame_id:
            self._notices.warn(
                "images come without a frame_id: RViz and tf cannot place the people; set it in "
                "the camera's driver, or the parameter frame_id"
            )
        if header.stamp.sec == 0 and header.stamp.nanosec == 0:
            self._notices.warn("images come without a stamp: set it in the camera's driver")
        return Header(stamp=header.stamp, frame_id=frame_id)

    def _is_too_old(self, header: Header, max_age: float) -> bool:
        if max_age <= 0:
            return False
        age = (self.get_clock().now() - Time.from_msg(header.stamp)).nanoseconds / 1e9
        if age > max_age:
            self._notices.warn(
                f"image dropped: it is {age:.3f} s old, max_image_age is {max_age:g} s (are the "
                "clocks of both machines in step?)",
                again_after=10.0,
            )
        return age > max_age

    def _follow_time(self, estimator: PoseEstimator, header: Header) -> None:
        """Forget all people when time goes back, as a recording played again does."""
        stamp = Time.from_msg(header.stamp)
        if (self._last_stamp - stamp).nanoseconds / 1e9 > _TIME_JUMP:
            self.get_logger().info("the images' stamps went back: tracking starts anew")
            estimator.reset()
        self._last_stamp = stamp

    def _intrinsics(
        self, frame: Frame, image: NDArray[np.uint8]
    ) -> tuple[Array | None, Array | None]:
        """Return K and distortion, or None twice after having said why."""
        self._first_frame_time = self._first_frame_time or time.monotonic()
        height, width = image.shape[:2]
        topic = self.resolve_topic_name("camera_info")
        field_of_view = self.parameters.get(EstimatorConfig).field_of_view
        fallback = f"assuming a horizontal field of view of {field_of_view:g} rad"
        if field_of_view <= 0:
            fallback = "people get no place in space (root_source NONE)"
        if frame.camera_info is None:
            if time.monotonic() - self._first_frame_time > _CAMERA_INFO_GRACE:
                self._notices.warn(
                    f"no camera_info on {topic}: {fallback}; distances may be off by a common "
                    "factor (remap with camera_info:=TOPIC)"
                )
            return None, None
        try:
            return intrinsics_from_message(frame.camera_info, width, height)
        except ValueError as error:
            self.statistics.refused_camera_info += 1
            self._notices.error(f"camera_info on {topic} is of no use, {fallback}: {error}")
            return None, None


def keep_freed_memory() -> None:
    """Have glibc keep freed images instead of handing them back to the kernel.

    Each image would otherwise be mapped anew, at one page fault per 4 KiB: measured, 2,200
    faults and twice the CPU time to receive a 1280x720 image. Does nothing on other systems.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # from malloc.h
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 256 << 20)


def main() -> int:
    """Run the node until it is told to end; return the exit code."""
    keep_freed_memory()
    rclpy.init()
    node = PoseNode()
    try:
        if node.parameters.get(NodeConfig).autostart and not node.start():
            return int(ok())  # not an error if it was told to end meanwhile
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
