"""The work on the newest images of all cameras, in one pass of each network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from rclpy.impl.rcutils_logger import RcutilsLogger

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.pipeline import FramePipeline, PreparedFrame
from pandapose_ros.node.worker import Frame
from pandapose_ros.pose import Pose
from pandapose_ros.runtime.device_faults import (
    explain_device_fault,
    free_device_memory,
    is_device_fault,
)

Work = tuple[FramePipeline, PreparedFrame]


class Batch:
    """Prepare frames, estimate them together, publish them; called by one thread.

    A bad image does not affect the other cameras. When the device fails, its cache is emptied and
    the images are tried once more; if it fails again, `on_fault` is called and all work ends.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        parameters: Parameters,
        pipelines: Mapping[str, FramePipeline],
        on_fault: Callable[[str], None],
        logger: RcutilsLogger,
    ) -> None:
        """Prepare for one activation.

        Args:
            estimator: Finds and lifts the people.
            parameters: Read anew for every batch.
            pipelines: One for each camera, by name.
            on_fault: Called in the worker's thread with the reason why the device is unusable.
            logger: Where to log the first failure.
        """
        self._estimator = estimator
        self._parameters = parameters
        self._pipelines = pipelines
        self._on_fault = on_fault
        self._logger = logger
        self._has_ended = False

    def process(self, frames: Sequence[Frame]) -> bool:
        """Process at most one frame of each camera; never raises an error.

        Returns:
            Whether estimates wait for their transform, so that it has to be called again soon.
        """
        works: list[Work] = []
        for frame in frames:
            pipeline = self._pipelines[frame.camera]
            if self._has_ended:
                pipeline.statistics.dropped_inactive += 1
            elif (prepared := pipeline.prepare(frame)) is not None:
                works.append((pipeline, prepared))
        if works:
            settings = self._parameters.get(EstimatorConfig)
            if settings is not self._estimator.config:
                self._estimator.update(settings)
            for (pipeline, prepared), poses in self._estimate(works):
                pipeline.hand_over(prepared, poses)
        # A list, not a generator: no camera waits for another's transforms.
        unfinished = [pipeline.delivery.attend() for pipeline in self._pipelines.values()]
        return any(unfinished)

    def switch_off(self) -> None:
        """Forget all people, including those not yet published, as the node is disabled."""
        for pipeline in self._pipelines.values():
            pipeline.statistics.dropped_disabled += pipeline.delivery.drop()
            pipeline.forget(is_last=True)

    def end(self) -> None:
        """Drop and count what is still unpublished, as the node is deactivated."""
        for pipeline in self._pipelines.values():
            pipeline.statistics.dropped_inactive += pipeline.delivery.drop()

    def forget(self) -> None:
        """Forget all people and delete their markers; their ids are not used again."""
        for pipeline in self._pipelines.values():
            pipeline.forget()

    def _estimate(self, works: Sequence[Work]) -> list[tuple[Work, list[Pose]]]:
        """Return what could be estimated; log and count what could not."""
        try:
            with ExitStack() as timing:
                for pipeline, _ in works:
                    timing.enter_context(pipeline.timings.estimate.measure())
                results = self._try_twice([prepared.image for _, prepared in works])
            return list(zip(works, results, strict=True))
        except Exception as error:  # one bad image must not end the node
            if is_device_fault(error):
                self._has_ended = True
                for pipeline, _ in works:
                    pipeline.fail(error)
                self._on_fault(explain_device_fault(error, self._estimator.device))
                return []
            if len(works) > 1:
                return [result for work in works for result in self._estimate([work])]
            works[0][0].fail(error)
            return []

    def _try_twice(self, images: list) -> list[list[Pose]]:
        try:
            return self._estimator.estimate_together(images)
        except RuntimeError as error:
            if not is_device_fault(error):
                raise
            text = explain_device_fault(error, self._estimator.device)
        # Outside of the handler, as the exception would keep its tensors in memory.
        self._logger.warning(f"{text}; trying once more with its cache emptied")
        free_device_memory()
        return self._estimator.estimate_together(images)
