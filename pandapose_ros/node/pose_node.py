"""The lifecycle node: images in, skeletons out."""

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.utilities import try_shutdown

from pandapose_ros.config import EstimatorConfig, NodeConfig, PictureConfig, WorldConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.node.batch import Batch
from pandapose_ros.node.camera import Camera, find_problems
from pandapose_ros.node.composable import ComposableNode
from pandapose_ros.node.diagnostics import Diagnostics
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.report import Report
from pandapose_ros.node.running import keep_freed_memory, spin, start_ros
from pandapose_ros.node.services import Services, refuse_impossible_transitions
from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.node.worker import Frame, LatestFrameWorker
from pandapose_ros.node.world import SharedWorld
from pandapose_ros.runtime.device_faults import free_device_memory, reason_of
from pandapose_ros.runtime.memory import device_memory, resident_memory

# Longest time to wait for the image at work when the node is deactivated.
_STOP_TIMEOUT = 10.0


class PoseNode(ComposableNode):
    """Estimate the skeletons of all people in the newest image.

    configure loads and warms up the estimator, activate subscribes, deactivate unsubscribes and
    deletes the markers, cleanup frees the estimator. The executor's thread only stores images;
    one worker thread decodes, estimates and publishes. From configure to cleanup there are the
    services and the diagnostics.
    """

    def __init__(self, **node_options: Any) -> None:
        """Declare the parameters; nothing is loaded before configure.

        Args:
            node_options: As of `rclpy.node.Node`, which checks them.
        """
        super().__init__("pose_node", **node_options)
        refuse_impossible_transitions(self)
        self.is_shut_down = False
        self.parameters = Parameters(self, EstimatorConfig, NodeConfig, WorldConfig, PictureConfig)
        self.cameras: list[Camera] = []
        self._notices = Notices(self.get_logger())
        self._fault = ""
        self._fault_guard = self.create_guard_condition(self._on_fault)
        self._is_stuck = False
        # Kept for the lifetime of the node, so that no id is given twice.
        self._numbers = itertools.count()
        self._estimator: PoseEstimator | None = None
        self._shared_world: SharedWorld | None = None
        self._controls: Services | None = None
        self._diagnostics: Diagnostics | None = None
        self._batch: Batch | None = None
        self._worker: LatestFrameWorker | None = None

    @property
    def statistics(self) -> NodeStatistics:
        """Counters of the first camera's images since its last activation."""
        return self.cameras[0].statistics if self.cameras else NodeStatistics()

    def start(self) -> bool:
        """Configure and activate; False if one fails, after the reason has been logged."""
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the estimator and run it once; fails with the remedy in the log."""
        logger = self.get_logger()
        problems = find_problems(self, self.parameters, self._notices)
        for problem in problems:
            logger.error(problem)
        if problems:
            return TransitionCallbackReturn.FAILURE
        if failure := _why_failed(self._load):
            logger.error(f"cannot be configured: {failure}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to publish; fails with the reason in the log."""
        if self._is_stuck:
            self.get_logger().error(f"cannot be activated: {self._fault}")
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        if failure := _why_failed(self._listen):
            self.get_logger().error(f"cannot be activated: {failure}")
            self.on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, then delete all people and markers."""
        self._stop()
        for camera in self.cameras:
            camera.clear()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the estimator and the publishers."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up, whatever of that has not been done."""
        if state.label == "active":
            self.on_deactivate(state)
        self._free()
        self.is_shut_down = True
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, so that configure can be tried again."""
        self._stop()
        self._free()
        return super().on_error(state)

    def enable(self, on: bool) -> str:
        """Start or stop working on images; return what was done.

        When switched off, the node unsubscribes at once, finishes the image it works on, forgets
        the people and deletes their markers. Lasts until the next configure.
        """
        has_changed = any(camera.is_enabled != on for camera in self.cameras)
        for camera in self.cameras:
            camera.enable(on)
        if not on and has_changed and self._worker is not None and self._batch is not None:
            for frame in self._worker.discard():
                self._camera(frame).statistics.dropped_disabled += 1
            self._worker.request(self._batch.switch_off)
        text = "enabled" if on else "disabled"
        if has_changed:
            self.get_logger().info(text)
        return text if has_changed else f"already {text}"

    def reset_people(self) -> str:
        """Forget the people before the next image; return what was done."""
        if self._worker is None or self._batch is None:
            return "inactive: there is nobody to forget"
        self._worker.request(self._batch.forget)
        self._notices.info("reset: all people forgotten", again_after=1.0)
        return "all people forgotten; their ids are not used again"

    def destroy_node(self) -> None:
        """Stop the worker before the node's handles are destroyed."""
        self._stop()
        super().destroy_node()

    @property
    def _loaded(self) -> PoseEstimator:
        if self._estimator is None:
            raise RuntimeError("there is no estimator before configure")
        return self._estimator

    def _load(self) -> None:
        """Create everything that exists from configure to cleanup."""
        started = time.monotonic()
        config = self.parameters.get(EstimatorConfig)
        estimator = self._estimator = PoseEstimator(config, numbers=self._numbers)
        world = self.parameters.get(WorldConfig)
        shared = self._shared_world = SharedWorld(self, world)
        for name in self.parameters.get(NodeConfig).cameras:
            self.cameras.append(Camera(self, name, self.parameters, estimator.skeleton, shared))
        estimator.warm_up(len(self.cameras))
        self._controls = Services(self, self.enable, self.reset_people)
        self._diagnostics = Diagnostics(self, self._report)
        networks = estimator.networks
        self.get_logger().info(
            f"loaded {estimator.model_info.name} on {estimator.device} "
            f"({networks.runtime}, {networks.precision}) in {time.monotonic() - started:.1f} s"
        )

    def _listen(self) -> None:
        """Create everything that exists from activate to deactivate."""
        estimator = self._loaded
        estimator.reset()
        self._fault = ""
        pipelines = {c.name: c.activate(estimator, self._on_frame) for c in self.cameras}
        self._batch = Batch(
            estimator, self.parameters, pipelines, self._stop_for, self.get_logger()
        )
        self._worker = LatestFrameWorker(self._batch.process, self._batch.end)
        for camera in self.cameras:
            pause = f", but {camera.why_paused}" if camera.why_paused else ""
            self.get_logger().info(f"active: {camera.topics}{pause}")

    def _stop(self) -> None:
        for camera in self.cameras:
            camera.deactivate()
        if self._worker is None:
            return
        has_ended, dropped = self._worker.stop(_STOP_TIMEOUT)
        self._worker = self._batch = None
        for frame in dropped:
            self._camera(frame).statistics.dropped_inactive += 1
        if not has_ended:
            # It still uses the estimator, whose state a second worker must not share.
            self._is_stuck = True
            self._fault = (
                f"the worker is still busy after {_STOP_TIMEOUT:g} s: clean up and configure again"
            )
            self.get_logger().error(self._fault)
        for camera in self.cameras:
            label = f"images of {camera.name}" if camera.name else "images"
            self.get_logger().info(f"{label}: {camera.statistics}")

    def _free(self) -> None:
        for part in (self._controls, self._diagnostics, *self.cameras, self._shared_world):
            if part is not None:
                part.destroy()
        self.cameras = []
        self._controls = self._diagnostics = self._shared_world = self._estimator = None
        self._is_stuck, self._fault = False, ""
        free_device_memory()

    def _camera(self, frame: Frame) -> Camera:
        return next(camera for camera in self.cameras if camera.name == frame.camera)

    def _on_frame(self, camera: Camera, frame: Frame) -> None:
        """Hand the frame to the worker, or count why not; runs in the executor's thread."""
        camera.statistics.received += 1
        camera.timings.images_in.count()
        if not camera.is_enabled:
            camera.statistics.dropped_disabled += 1
        elif camera.why_paused:
            camera.statistics.dropped_unwanted += 1
        elif self._worker is not None and self._worker.submit(frame):
            camera.statistics.dropped_busy += 1

    def _stop_for(self, fault: str) -> None:
        """Request deactivation; called in the worker's thread, which cannot stop itself."""
        self._fault = fault
        self._fault_guard.trigger()

    def _on_fault(self) -> None:
        """Deactivate, as the device cannot be used; runs in the executor's thread."""
        if self._worker is None:
            return
        self.get_logger().error(f"deactivated: {self._fault}")
        self.trigger_deactivate()

    def _report(self) -> Report:
        """Return the node's state for the diagnostics."""
        estimator = self._loaded
        return Report(
            cameras=[camera.report() for camera in self.cameras],
            device=str(estimator.device),
            model=estimator.model_info,
            memory=resident_memory(),
            device_memory=device_memory(estimator.device),
            fault=self._fault,
        )


def _why_failed(action: Callable[[], None]) -> str:
    """Run an action and return why it failed; empty if it did not.

    rclpy would swallow the error. Only its text is returned, as the exception itself would keep
    the networks in memory.
    """
    try:
        action()
    except Exception as error:
        return reason_of(error)
    return ""


def main() -> int:
    """Run the node until it is told to end; return the exit code."""
    keep_freed_memory()
    ending = start_ros()
    node = PoseNode()
    try:
        if not node.parameters.get(NodeConfig).autostart:
            node.get_logger().info("autostart is false: waiting for a lifecycle manager")
        elif not node.start():
            return 1
        spin(node, ending.is_set)
        if node.context.ok() and not node.is_shut_down:
            node.trigger_shutdown()
    finally:
        node.destroy_node()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
