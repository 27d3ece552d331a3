"""Node `probe`: the benchmark's camera and subscriber, in a process beside `pose_node`."""

import array
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Image

from pandapose_ros.config import ProbeConfig
from pandapose_ros.msg import Skeleton3D, Skeleton3DArray
from pandapose_ros.node.distributions import steady_clock
from pandapose_ros.node.parameters import read_parameters
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.timings import summarise

# With rate 0, an image without an answer for this long counts as lost [s].
_LOST = 10.0
_POLL = 0.005
_STEPS = ("decode", "estimate", "message", "publish")
_GONE = (Skeleton3D.TRACKING_PREDICTED, Skeleton3D.TRACKING_LOST)


class Probe(Node):
    """Send images, and record when their skeletons arrive."""

    def __init__(self) -> None:
        super().__init__("probe")
        self.config = read_parameters(self, ProbeConfig)
        self._images = np.load(self.config.images, allow_pickle=False)
        _, height, width, _ = self._images.shape
        self._message = Image(encoding="bgr8", height=height, width=width, step=3 * width)
        self._message.header.frame_id = "probe_optical_frame"
        self._message.data = array.array("B", bytes(3 * width * height))
        self._sent_ns: list[int] = []
        self._answers: list[tuple[int, int, int]] = []  # stamp, arrival, people
        self._begun_at, self._born_at = 0.0, time.monotonic()
        self._usage: list[tuple[float, float]] = []  # wall clock and CPU of the node [s]
        self._steps: dict[str, dict[str, float]] = {}
        self._ages_ms: list[float] = []  # of images when they reach the node
        self.is_over = False
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self.create_publisher(Image, "image_raw", qos)
        self.create_subscription(Skeleton3DArray, "skeletons", self._on_skeletons, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        period = 1 / self.config.rate if self.config.rate else _POLL
        self.create_timer(period, self._on_time, clock=steady_clock())

    def _on_time(self) -> None:
        now = time.monotonic()
        if not self._begun_at and now - self._born_at > self.config.timeout:
            self.is_over = True
        measured = now - self._begun_at - self.config.warm_up if self._begun_at else -1.0
        if measured >= 0 and not self._usage:
            self._note_usage()
        if not self.is_over and self._is_enough(measured):
            self._note_usage()
            self.is_over = True
        elif not self.is_over and (self.config.rate or self._is_answered()):
            self._send()

    def _is_enough(self, measured: float) -> bool:
        """Return whether these seconds have given enough answers."""
        if measured <= self.config.seconds or not self._usage:
            return False
        since = time.time_ns() - int((time.monotonic() - self._usage[0][0]) * 1e9)
        answers = sum(stamp >= since for stamp, _, _ in self._answers)
        return answers >= self.config.answers or measured > self.config.timeout

    def _is_answered(self) -> bool:
        if not self._sent_ns or (self._answers and self._answers[-1][0] == self._sent_ns[-1]):
            return True
        return self.get_clock().now().nanoseconds - self._sent_ns[-1] > _LOST * 1e9

    def _send(self) -> None:
        if not self._publisher.get_subscription_count():
            return
        image = self._images[len(self._sent_ns) % len(self._images)]
        np.frombuffer(memoryview(self._message.data), np.uint8)[:] = image.ravel()
        now = self.get_clock().now()  # as a driver stamps: when the pixels are there
        self._message.header.stamp = now.to_msg()
        self._sent_ns.append(now.nanoseconds)
        self._publisher.publish(self._message)

    def _on_skeletons(self, message: Skeleton3DArray) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        seen = sum(skeleton.tracking_state not in _GONE for skeleton in message.skeletons)
        self._answers.append((stamp, now, seen))
        if not self._begun_at and seen and self._are_all(seen):
            self._begun_at = time.monotonic()
        if not self.config.rate and not self.is_over:
            self._on_time()  # at saturation the next image follows at once

    def _are_all(self, seen: int) -> bool:
        """Return whether all people are seen, or it has taken too long to wait for the rest."""
        waited = time.monotonic() - self._born_at
        return seen >= self.config.people or waited > self.config.timeout / 2

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        name = f"{self.get_namespace().strip('/')}/pose_node"
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            age = values.get("image age at arrival [s]", "unknown")
            if status.name == f"{name}: input" and age != "unknown" and self._usage:
                self._ages_ms.append(1e3 * float(age))
            if status.name == f"{name}: pipeline":
                self._steps = {
                    step: {p: float(values[f"{step} {p} [ms]"]) for p in ("p50", "p95")}
                    for step in _STEPS
                    if values.get(f"{step} p50 [ms]", "unknown") != "unknown"
                }

    def _note_usage(self) -> None:
        self._usage.append((time.monotonic(), cpu_seconds(self.config.pid)))

    def report(self) -> dict:
        """Return latencies in ms, rate, missed images, CPU share of one core, and memory.

        The steps are the node's own figures for its last hundred images, those before the
        measurement included; `receive`, from an image's stamp to the node's callback, is that of
        one image a second.
        """
        if len(self._usage) < 2:
            return {"error": f"no skeletons within {self.config.timeout:g} s"}
        (start, cpu_start), (end, cpu_end) = self._usage
        offset = time.time_ns() - time.monotonic_ns()
        first, last = int(start * 1e9) + offset, int(end * 1e9) + offset
        sent = [stamp for stamp in self._sent_ns if first <= stamp < last]
        answers = {a[0]: a for a in self._answers if first <= a[0] < last}
        # The last image's answer was not waited for.
        missed = max(len(sent) - len(answers) - 1, 0)
        found = next(a for a in self._answers if a[2])
        began = self.config.started
        return {
            "latency": summarise([(a[1] - a[0]) / 1e6 for a in answers.values()]),
            "steps": {"receive": summarise(self._ages_ms), **self._steps},
            "rate_hz": round(len(answers) / (end - start), 2),
            "sent": len(sent),
            "missed_frames": missed,
            "people": float(np.mean([a[2] for a in answers.values()])) if answers else 0.0,
            "cpu_cores": round((cpu_end - cpu_start) / (end - start), 3),
            "rss_mb": resident_mb(self.config.pid),
            "first_skeleton_s": round(found[1] / 1e9 - began, 2) if began else None,
        }


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used; NaN without a process."""
    if not pid:
        return float("nan")
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float | None:
    """Return a process' resident memory, MB; None without a process."""
    if not pid:
        return None
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def main() -> int:
    """Run until the measurement is done, then write the report."""
    ending = start_ros()
    try:
        node = Probe()
    except (OSError, ValueError) as error:
        sys.exit(f"probe: {error}")
    spin(node, lambda: ending.is_set() or node.is_over)
    Path(node.config.out).write_text(json.dumps(node.report(), indent=2) + "\n")
    node.destroy_node()
    try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
