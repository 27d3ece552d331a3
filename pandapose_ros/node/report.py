"""What is known of the node's health at a moment: what the diagnostics are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.pose import ModelInfo
from pandapose_ros.runtime.memory import DeviceMemory


@dataclass(frozen=True)
class InputReport:
    """Hold what is known of the images that come in.

    Attributes:
        topic: Resolved name.
        publishers: How many nodes publish it.
        hint: Why no images come, or why several cameras' come; empty if all is well.
        rate: Images per second.
        silence: Seconds since the last image, or since activation.
        timeout: Seconds of silence that are an error.
        age: From stamp to arrival of the last image, seconds; None without a stamp.
        age_limit: What is more is worth a warning, seconds.
        depth: As `DepthReader.state`.
        depth_fault: As `DepthReader.fault`.
        detections: As `DetectionReader.state`; or built-in.
        detections_fault: As `DetectionReader.fault`.
        camera_info: In use, none, or refused, and why.
        camera_info_changes: How often that in use has changed.
    """

    topic: str
    publishers: int
    hint: str
    rate: float
    silence: float
    timeout: float
    age: float | None
    age_limit: float
    depth: str
    depth_fault: str
    detections: str
    detections_fault: str
    camera_info: str
    camera_info_changes: int


@dataclass(frozen=True)
class PipelineReport:
    """Hold what is known of the work on the images.

    Attributes:
        rate: Skeleton messages per second.
        people: In the last image; 0 if that was longer ago than `image_timeout`.
        latencies: p50 and p95 of each step, seconds; NaN before the first image.
        transforms: Between which frames people were moved last, or why that failed.
    """

    rate: float
    people: int
    latencies: Mapping[str, tuple[float, float]]
    transforms: str


@dataclass(frozen=True)
class CameraReport:
    """Hold the state of one camera.

    Attributes:
        name: Empty for a node with one camera.
        input: None while the node is inactive.
        pipeline: None while the node is inactive.
        counts: Since the activation.
        pause: Why the user's settings keep images from being received; empty if they do not.
    """

    name: str
    input: InputReport | None
    pipeline: PipelineReport | None
    counts: NodeStatistics
    pause: str


@dataclass(frozen=True)
class Report:
    """Hold the state of the node.

    Attributes:
        cameras: Of each camera.
        device: Where the network runs.
        model: Which network runs.
        memory: Resident bytes of the process; None where the system does not tell.
        device_memory: Of the GPU; None without one, or if it does not answer.
        fault: Why the node deactivated itself; empty if it did not.
    """

    cameras: Sequence[CameraReport]
    device: str
    model: ModelInfo
    memory: int | None
    device_memory: DeviceMemory | None
    fault: str
