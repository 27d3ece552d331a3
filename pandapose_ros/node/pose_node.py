"""The lifecycle node: images in, skeletons out."""

import ctypes
import sys
import time
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.utilities import try_shutdown

from pandapose_ros.config import EstimatorConfig, NodeConfig, PictureConfig, WorldConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.diagnostics import (
    Diagnostics,
    InputReport,
    PipelineReport,
    Report,
    resident_memory,
)
from pandapose_ros.node.inputs import ImageInput
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.pipeline import FramePipeline
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.node.services import Services
from pandapose_ros.node.statistics import NodeStatistics, Timings
from pandapose_ros.node.worker import Frame, LatestFrameWorker
from pandapose_ros.node.world import World

# Longest time to wait for the image at work when the node is deactivated.
_STOP_TIMEOUT = 10.0
# Without `max_image_age`, older images are worth a warning in the diagnostics.
_OLD_IMAGE = 1.0


class PoseNode(LifecycleNode):
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
        self.is_shut_down = False
        self.parameters = Parameters(self, EstimatorConfig, NodeConfig, WorldConfig, PictureConfig)
        self.statistics = NodeStatistics()
        self.timings = Timings()
        self._is_enabled = True
        self._estimator: PoseEstimator | None = None
        self._world: World | None = None
        self._outputs: Outputs | None = None
        self._controls: Services | None = None
        self._diagnostics: Diagnostics | None = None
        self._input: ImageInput | None = None
        self._pipeline: FramePipeline | None = None
        self._worker: LatestFrameWorker | None = None

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
            self._world = World(self, self.parameters.get(WorldConfig))
            self._estimator = PoseEstimator(self.parameters.get(EstimatorConfig))
            self._estimator.warm_up()
        except Exception as error:  # rclpy would swallow it without a word
            logger.error(f"cannot be configured: {error or type(error).__name__}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._outputs = Outputs(self, self._estimator.skeleton)
        self._is_enabled = True
        self._controls = Services(self, self.enable, self.reset_people)
        self._diagnostics = Diagnostics(self, self._report)
        logger.info(
            f"loaded {self._estimator.model_info.name} on {self._estimator.device} in "
            f"{time.monotonic() - started:.1f} s"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to publish."""
        if self._estimator is None or self._outputs is None or self._world is None:
            return TransitionCallbackReturn.ERROR
        result = super().on_activate(state)
        self._estimator.reset()
        self.statistics, self.timings = NodeStatistics(), Timings()
        self._outputs.publish_info(self._estimator.model_info)
        depths = DepthBuffer()
        self._pipeline = FramePipeline(
            node=self,
            parameters=self.parameters,
            estimator=self._estimator,
            world=self._world,
            outputs=self._outputs,
            statistics=self.statistics,
            timings=self.timings,
            depths=depths,
        )
        self._worker = LatestFrameWorker(self._pipeline.process)
        self._worker.start()
        self._input = ImageInput(
            self, self._on_frame, depths.add, lambda: self.parameters.get(NodeConfig)
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
        self.is_shut_down = True
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, from where configure may be tried again."""
        self._stop()
        self._free()
        return super().on_error(state)

    def enable(self, on: bool) -> str:
        """Work on images from the next one on, or on none; return what was done.

        Switched off, the node forgets the people and deletes their markers as soon as the image
        at work is done. Lasts until the next configure.
        """
        has_changed, self._is_enabled = on != self._is_enabled, on
        if not on and has_changed and self._worker is not None and self._pipeline is not None:
            self.statistics.dropped_disabled += self._worker.discard()
            self._worker.request(self._pipeline.forget)
        text = "enabled" if on else "disabled"
        if has_changed:
            self.get_logger().info(text)
        return text if has_changed else f"was {text} already"

    def reset_people(self) -> str:
        """Forget the people before the next image; return what was done."""
        if self._worker is None or self._pipeline is None:
            return "inactive: nobody is tracked"
        self._worker.request(self._pipeline.forget)
        self.get_logger().info("reset: all people forgotten")
        return "all people forgotten; ids go on counting"

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
        self._worker = self._pipeline = None
        self.statistics.dropped_inactive += dropped
        if not has_ended:
            # It still holds the estimator; another worker beside it would share its state.
            self._estimator = None
            self.get_logger().error(
                f"the worker is still busy after {_STOP_TIMEOUT:g} s: cleanup and configure anew"
            )
        self.get_logger().info(f"images: {self.statistics}")

    def _free(self) -> None:
        for part in (self._controls, self._diagnostics, self._world, self._outputs):
            if part is not None:
                part.destroy()
        self._controls = self._diagnostics = self._world = self._outputs = self._estimator = None

    def _on_frame(self, frame: Frame) -> None:
        """Store the frame; runs in the executor's thread."""
        self.statistics.received += 1
        self.timings.images_in.count()
        if not self._is_enabled:
            self.statistics.dropped_disabled += 1
        elif self._worker is not None and self._worker.submit(frame):
            self.statistics.dropped_busy += 1

    def _report(self) -> Report:
        """Gather what the diagnostics tell."""
        if self._estimator is None:
            raise RuntimeError("there is nothing to report before configure")
        images = pipeline = None
        if self._input is not None and self._pipeline is not None:
            config = self.parameters.get(NodeConfig)
            is_silent = self._input.silence >= config.image_timeout
            images = InputReport(
                topic=self._input.topic,
                publishers=self._input.count_publishers(),
                hint=self._input.explain_silence() if is_silent else "",
                rate=self.timings.images_in.hz,
                silence=self._input.silence,
                timeout=config.image_timeout,
                age=self._input.image_age,
                age_limit=config.max_image_age or _OLD_IMAGE,
                depth=self._pipeline.depth_state,
                camera_info=self._pipeline.calibration.state,
            )
            pipeline = PipelineReport(
                enabled=self._is_enabled,
                rate=self.timings.images_out.hz,
                people=self._pipeline.people_in_view,
                latencies=self.timings.latencies(),
                transforms=self._world.state if self._world is not None else "not used",
            )
        return Report(
            input=images,
            pipeline=pipeline,
            counts=self.statistics,
            device=str(self._estimator.device),
            model=self._estimator.model_info,
            memory=resident_memory(),
        )


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
    ending = start_ros()
    node = PoseNode()
    try:
        if node.parameters.get(NodeConfig).autostart and not node.start():
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
