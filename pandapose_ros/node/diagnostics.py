"""What the node tells about its health on /diagnostics, once a second."""

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from pandapose_ros.node.distributions import steady_clock
from pandapose_ros.node.report import CameraReport, InputReport, PipelineReport, Report
from pandapose_ros.node.stamps import DECADE
from pandapose_ros.node.statistics import NodeStatistics

_PERIOD = 1.0
_OK, _WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
_ERROR, _STALE = DiagnosticStatus.ERROR, DiagnosticStatus.STALE
# What was dropped on request is no reason to worry.
_ON_REQUEST = ("dropped_disabled", "dropped_unwanted", "dropped_inactive")


class Diagnostics:
    """Publish the node's report from configure to cleanup."""

    def __init__(self, node: Node, report: Callable[[], Report]) -> None:
        """Start the timer.

        Args:
            node: The node that is reported on.
            report: Returns the present state; called in the executor.
        """
        self._node = node
        self._report = report
        # By camera: the counters of the present activation, and what they were a period ago.
        self._counts: dict[str, tuple[NodeStatistics, NodeStatistics]] = {}
        # An ordinary publisher: a lifecycle one would be silent while the node is inactive.
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady time: with use_sim_time and no clock, the node's own timers would not fire.
        self._timer = node.create_timer(_PERIOD, self._publish, clock=steady_clock())

    def destroy(self) -> None:
        """Publish no more."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        name = self._node.get_fully_qualified_name().lstrip("/")
        report = self._report()
        recent = [self._recent(camera) for camera in report.cameras]
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(diagnostics_message(name, report, recent, stamp))

    def _recent(self, camera: CameraReport) -> NodeStatistics:
        """Return what was counted since the last report of the camera."""
        counter, before = self._counts.get(camera.name, (None, NodeStatistics()))
        if camera.counts is not counter:  # a new activation counts from zero
            before = NodeStatistics()
        counts = replace(camera.counts)
        self._counts[camera.name] = (camera.counts, counts)
        return counts.since(before)


def diagnostics_message(
    name: str, report: Report, recent: Sequence[NodeStatistics], stamp: Time
) -> DiagnosticArray:
    """Judge a report: the input and the pipeline of each camera, and the computer.

    Args:
        name: The node's, first part of the names of the statuses.
        report: What to tell.
        recent: Of each camera, the counts since the last message; warnings depend on these alone,
            so that they end.
        stamp: Of the message.
    """
    statuses = []
    for camera, counts in zip(report.cameras, recent, strict=True):
        for status in (_input_status(camera, counts), _pipeline_status(camera, counts)):
            status.name = f"{camera.name} {status.name}".lstrip()
            statuses.append(status)
    statuses.append(_computer_status(report))
    is_active = any(camera.input is not None for camera in report.cameras)
    for status in statuses:
        status.name = f"{name}: {status.name}"
        status.hardware_id = platform.node()
        if not is_active:
            status.message = "inactive"
            if report.fault:
                status.level, status.message = _ERROR, f"inactive: {report.fault}"
    message = DiagnosticArray(status=statuses)
    message.header.stamp = stamp
    return message


def _input_status(camera: CameraReport, recent: NodeStatistics) -> DiagnosticStatus:
    state = camera.input
    if state is None:
        return DiagnosticStatus(name="input", level=_OK)
    level, text = _OK, f"not subscribed to {state.topic}: {camera.pause}"
    if not camera.pause:
        level, text = _judge_input(state, camera.counts, recent)
    has_images = camera.counts.received > 0
    values = {
        "topic": state.topic,
        "publishers": str(state.publishers),
        "subscribed": str(not camera.pause).lower(),
        "rate in [Hz]": f"{state.rate:.2f}",
        "time since last image [s]": f"{state.silence:.2f}" if has_images else "unknown",
        "image age at arrival [s]": "unknown" if state.age is None else f"{state.age:.4f}",
        "camera_info": state.camera_info,
        "camera_info changes": str(state.camera_info_changes),
        "depth": state.depth,
        "depth missed": str(camera.counts.missed_depth),
        "images between depth images": str(camera.counts.between_depth),
        "depth refused": str(camera.counts.refused_depth),
        "detections": state.detections,
        "detections missed": str(camera.counts.missed_detections),
        "detections refused": str(camera.counts.refused_detections),
        "camera_info refused": str(camera.counts.refused_camera_info),
        "received": str(camera.counts.received),
    }
    return DiagnosticStatus(name="input", level=level, message=text, values=_values(values))


def _judge_input(
    state: InputReport, counts: NodeStatistics, recent: NodeStatistics
) -> tuple[bytes, str]:
    publishers = f"({state.hint or f'{state.publishers} publishers'})"
    if counts.received == 0:
        return _STALE, f"no image on {state.topic} yet {publishers}"
    if state.silence >= state.timeout:
        return _ERROR, f"no image on {state.topic} for {state.silence:.1f} s {publishers}"
    if state.age is None:
        return _WARN, "images have no stamp: set it in the camera's driver"
    if abs(state.age) > state.age_limit:
        when = "after" if state.age > 0 else "before"
        why = "slow connection, clocks not synchronised, or wrong stamps (as of usb_cam 0.8.1)"
        if abs(state.age) > DECADE:
            why = (
                "the camera has a clock of its own (PTP?), or use_sim_time is set and /clock is "
                "not the camera's time"
            )
        return _WARN, f"images arrive {abs(state.age):.3g} s {when} their stamp: {why}"
    faults = [state.hint] if state.hint else []
    faults += [f"camera_info {state.camera_info}"] if recent.refused_camera_info else []
    if recent.refused_depth or recent.missed_depth:
        faults.append(f"depth {state.depth_fault}")
    if recent.refused_detections or recent.missed_detections:
        faults.append(f"detections {state.detections_fault}")
    if faults:
        return _WARN, "; ".join(faults)
    return _OK, f"{state.rate:.1f} images per second"


def _pipeline_status(camera: CameraReport, recent: NodeStatistics) -> DiagnosticStatus:
    state = camera.pipeline
    if state is None:
        return DiagnosticStatus(name="pipeline", level=_OK)
    level, text = _judge_pipeline(state, camera, recent)
    values = {
        "pause": camera.pause or "none",
        "rate out [Hz]": f"{state.rate:.2f}",
        "people": str(0 if camera.pause or _is_silent(camera) else state.people),
        "processed": str(camera.counts.processed),
        "tf": state.transforms,
    }
    for step, percentiles in state.latencies.items():
        for percent, seconds in zip((50, 95), percentiles, strict=True):
            figure = "unknown" if math.isnan(seconds) else f"{1000 * seconds:.2f}"
            values[f"{step} p{percent} [ms]"] = figure
    values |= {_words(cause): str(count) for cause, count in camera.counts.losses().items()}
    return DiagnosticStatus(name="pipeline", level=level, message=text, values=_values(values))


def _judge_pipeline(
    state: PipelineReport, camera: CameraReport, recent: NodeStatistics
) -> tuple[bytes, str]:
    if camera.pause:
        return _OK, camera.pause
    if camera.counts.received == 0:
        return _STALE, "no image yet"
    losses = {n: count for n, count in recent.losses().items() if count and n not in _ON_REQUEST}
    lost = ", ".join(f"{_words(cause)} {count}" for cause, count in losses.items())
    if recent.failed:
        return _ERROR, f"in the last second: {lost}; the log tells why"
    if lost:
        reason = f"; {state.transforms}" if recent.dropped_untransformed else ""
        return _WARN, f"in the last second: {lost}{reason}"
    if _is_silent(camera):
        return _STALE, "no images any more"
    return _OK, f"{state.people} people, {state.rate:.1f} skeleton messages per second"


def _is_silent(camera: CameraReport) -> bool:
    """Return whether the people of the last image are no news any more."""
    return camera.input is not None and camera.input.silence >= camera.input.timeout


def _computer_status(report: Report) -> DiagnosticStatus:
    values = {
        "device": report.device,
        "model": report.model.name,
        "model version": report.model.version,
        "weights sha256": report.model.weights_sha256,
        "resident memory [MiB]": _mebibytes(report.memory),
    }
    if report.device.startswith("cuda"):
        for kind in ("allocated", "reserved", "free", "total"):
            count = report.device_memory and getattr(report.device_memory, kind)
            values[f"GPU memory {kind} [MiB]"] = _mebibytes(count)
    text = f"{report.model.name} on {report.device}"
    return DiagnosticStatus(name="computer", level=_OK, message=text, values=_values(values))


def _mebibytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**20:.1f}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _values(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]
