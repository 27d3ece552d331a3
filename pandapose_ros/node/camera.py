"""One of the node's cameras: what comes in, what goes out, and the figures in between."""

import re
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo

from pandapose_ros.config import EstimatorConfig, NodeConfig, WorldConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.detections import DetectionBuffer, detections_type
from pandapose_ros.node.inputs import ImageInput, input_topics
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.pipeline import FramePipeline
from pandapose_ros.node.qos_overrides import (
    ignored_overrides,
    override_names,
    override_problems,
)
from pandapose_ros.node.report import CameraReport, InputReport, PipelineReport
from pandapose_ros.node.statistics import NodeStatistics, Timings
from pandapose_ros.node.worker import Frame
from pandapose_ros.node.world import SharedWorld, World
from pandapose_ros.skeleton import Skeleton

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Without `max_image_age`, older images are worth a warning in the diagnostics.
_OLD_IMAGE = 1.0


class Camera:
    """Hold the subscriptions, publishers and statistics of a camera, from configure to cleanup.

    Attributes:
        name: Prefix of its topics; empty for a node with one camera.
        outputs: Its publishers.
        statistics: Counters of the current or last activation.
        timings: Rates and durations of the same activation.
        input: Its subscriptions; None while inactive.
        pipeline: What works on its frames; None while inactive.
        is_enabled: Whether `~/enable` lets the node work on its images.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        parameters: Parameters,
        skeleton: Skeleton,
        shared: SharedWorld,
    ) -> None:
        """Create the publishers.

        Args:
            node: Subscribes and publishes.
            name: Prefix of the topics, or empty.
            parameters: Of the node.
            skeleton: What the joints of all poses mean.
            shared: What the node's cameras have in common.

        Raises:
            RuntimeError: As `World`.
        """
        self.name = name
        self.statistics, self.timings = NodeStatistics(), Timings()
        self.pipeline: FramePipeline | None = None
        self.input: ImageInput | None = None
        self.is_enabled = True
        self._camera_info: CameraInfo | None = None
        self._node = node
        self._parameters = parameters
        self._world = World(node, parameters.get(WorldConfig), shared, name)
        self.outputs = Outputs(node, skeleton, name)

    def activate(
        self, estimator: PoseEstimator, on_frame: Callable[["Camera", Frame], None]
    ) -> FramePipeline:
        """Reset the statistics, subscribe, and return the pipeline that works on the frames.

        Args:
            estimator: Finds and lifts the people.
            on_frame: Called in the executor with every frame; has to return at once.
        """
        self.statistics, self.timings = NodeStatistics(), Timings()
        self.outputs.publish_info(estimator.model_info)
        self._world.open()
        depths, detections = DepthBuffer(), DetectionBuffer()
        self.pipeline = FramePipeline(
            node=self._node,
            parameters=self._parameters,
            estimator=estimator,
            world=self._world,
            outputs=self.outputs,
            statistics=self.statistics,
            timings=self.timings,
            depths=depths,
            detections=detections,
            camera=self.name,
        )
        self.input = ImageInput(
            self._node,
            self.name,
            lambda frame: on_frame(self, frame),
            depths,
            detections,
            self._parameters,
            lambda: not self.why_paused,
        )
        self.input.on_watch = self._clear_if_stale
        if self.input.camera_info is None:
            self.input.camera_info = self._camera_info
        return self.pipeline

    @property
    def topics(self) -> str:
        """The topic of the images and that of the skeletons, for the log."""
        source = self.input.topic if self.input is not None else "nothing"
        return f"{source} -> {self.outputs.skeletons_topic}"

    @property
    def why_paused(self) -> str:
        """Why the user's settings keep images from being received; empty if they do not."""
        if not self.is_enabled:
            return "disabled (call ~/enable with true)"
        is_lazy = self._parameters.get(NodeConfig).lazy
        if is_lazy and not (self._world.is_published or self.outputs.are_wanted):
            return "nobody subscribes to a result (lazy)"
        return ""

    def enable(self, on: bool) -> None:
        """Subscribe to images from now on, if the camera is active, or unsubscribe."""
        self.is_enabled = on
        if self.input is not None:
            self.input.follow_demand()

    def deactivate(self) -> None:
        """Unsubscribe; camera_info is kept, as it may not be sent again."""
        if self.input is not None:
            self.input.destroy()
            self._camera_info = self.input.camera_info
        self.input = self.pipeline = None

    def clear(self) -> None:
        """Delete all markers and people; to be called after the last image."""
        self.outputs.clear_markers()
        self.outputs.release()
        self._world.close()

    def _clear_if_stale(self) -> None:
        """Take people off REP 155's list if nothing is heard of them any more.

        As when images fail to come, or all of them are dropped: or the images of the other
        cameras would say that this one's people are still there.
        """
        if self._is_stale:
            self._world.clear()

    @property
    def _is_stale(self) -> bool:
        """Whether the people published last are no news any more."""
        timeout = self._parameters.get(NodeConfig).image_timeout
        return self.timings.images_out.silence >= timeout

    def destroy(self) -> None:
        """Remove the publishers."""
        self.deactivate()
        self._world.destroy()
        self.outputs.destroy()

    def report(self) -> CameraReport:
        """Return the camera's state for the diagnostics."""
        pause = self.why_paused
        if self.input is None or self.pipeline is None:
            return CameraReport(self.name, None, None, self.statistics, pause)
        config = self._parameters.get(NodeConfig)
        is_silent = not pause and self.input.silence >= config.image_timeout
        images = InputReport(
            topic=self.input.topic,
            publishers=self.input.count_publishers(),
            hint=self.input.explain_silence() if is_silent else self.input.explain_crowd(),
            rate=self.timings.images_in.hz,
            silence=self.input.silence,
            timeout=config.image_timeout,
            age=self.input.image_age,
            age_limit=config.max_image_age or _OLD_IMAGE,
            depth=self.pipeline.depth.state,
            depth_fault=self.pipeline.depth.fault,
            detections=self.pipeline.boxes.state if config.use_detections else "built-in",
            detections_fault=self.pipeline.boxes.fault,
            camera_info=self.pipeline.calibration.state,
            camera_info_changes=self.pipeline.calibration.changes,
        )
        pipeline = PipelineReport(
            rate=self.timings.images_out.hz,
            people=0 if self._is_stale else self.pipeline.delivery.people_in_view,
            latencies=self.timings.latencies(),
            transforms=self._world.state,
        )
        return CameraReport(self.name, images, pipeline, self.statistics, pause)


def find_problems(node: LifecycleNode, parameters: Parameters, notices: Notices) -> list[str]:
    """Return what is wrong with the parameters; warn of those that are set but not read.

    Args:
        node: Resolves the names of topics.
        parameters: Of the node.
        notices: Where to warn.
    """
    config = parameters.get(NodeConfig)
    problems = parameters.problems + _name_problems(config.cameras)
    if config.frame_id and len(config.cameras) > 1:
        problems.append(
            "parameter 'frame_id' would put the people of all cameras into one place: set the "
            "frames in the cameras' drivers"
        )
    if config.use_detections:
        try:
            detections_type()
        except RuntimeError as error:
            problems.append(str(error))
    if problems:
        return problems
    if config.use_detections and not parameters.get(EstimatorConfig).tracking:
        notices.warn(
            "use_detections without tracking finds people only in the images that come right "
            "after new detections"
        )
    topics = [t for name in config.cameras for t in input_topics(node, name, config)]
    names, overrides = override_names(topics), parameters.qos_overrides
    # Only a warning: a file for all nodes may hold what is meant for another.
    undeclared = {n: value for n, value in overrides.items() if not node.has_parameter(n)}
    if ignored := ignored_overrides(undeclared, names):
        # As one text: those of cam1 and cam2 differ in numbers only.
        notices.warn("; ".join(ignored))
    return override_problems(overrides, names)


def _name_problems(names: tuple[str, ...]) -> list[str]:
    """Return what is wrong with the cameras' names; one empty name means a single camera."""
    if names == ("",):
        return []
    if not names or len(set(names)) < len(names):
        return [f"parameter 'cameras' needs different names, got {list(names)}"]
    return [
        f"parameter 'cameras': '{name}' cannot be part of a topic; use letters, digits and _"
        for name in names
        if not _NAME.fullmatch(name)
    ]
