"""A pose_node as a process of its own, and this process as its cameras and its listener."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import reliability_setup  # noqa: F401  before what reads the environment

# isort: split
import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.conversions import image_message

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "config" / "demo" / "walk.mp4"
# A machine that trains a network beside this one is slow to start anything.
PATIENCE = 300.0
# Every image is to reach the node, however fast they come: then sent and received must agree.
LOSSLESS = {
    f"qos_overrides./{topic}.subscription.{policy}": value
    for topic in ("image", "image/compressed", "camera_info", "depth")
    for policy, value in (("reliability", "reliable"), ("depth", 100))
}


class NodeProcess:
    """A running node of this package, with what it logs and how much memory it takes."""

    def __init__(self, folder: Path, module: str = "pose_node", **parameters: object) -> None:
        """Start it.

        Args:
            folder: Where its log goes.
            module: In `pandapose_ros.node`.
            parameters: Values by name; `remap` holds remappings of topics.
        """
        remaps = parameters.pop("remap", ())
        command = [sys.executable, "-m", f"pandapose_ros.node.{module}", "--ros-args"]
        for remap in remaps:  # type: ignore[attr-defined]
            command += ["-r", remap]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        self._log = folder / f"{module}_{time.monotonic_ns()}.log"
        self.endpoints: list[set[tuple[int, ...]]] = []
        with self._log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        """Everything logged until now."""
        return self._log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    @property
    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code; -9 if that does not end it."""
        if self.is_alive:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def counts(self) -> dict[str, int]:
        """Return what the node counted, as it logs at its end; empty if it never said."""
        lines = re.findall(r"\bimages: (received .*)", self.log)
        pairs = re.findall(r"([a-z ]+?) (\d+)(?:, |$)", lines[-1]) if lines else []
        return {name.replace(" ", "_"): int(value) for name, value in pairs}


class Bench:
    """Cameras and a listener around a node."""

    def __init__(self, folder: Path) -> None:
        """Join the domain.

        Args:
            folder: For the logs of the nodes.
        """
        self.folder = folder
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("bench")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        qos = QoSProfile(depth=100)
        self.images = self.node.create_publisher(Image, "image", qos)
        self.compressed = self.node.create_publisher(CompressedImage, "image/compressed", qos)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", qos)
        self.depths = self.node.create_publisher(Image, "depth", qos)
        self.skeletons: list[Skeleton3DArray] = []
        self.published: list[float] = []
        self.markers: list[Marker] = []
        self._nodes: list[NodeProcess] = []
        listen = self.node.create_subscription
        callback = self._on_skeletons  # rclpy takes it with one argument or with two
        listen(Skeleton3DArray, "pose_node/skeletons", callback, 100)  # type: ignore[arg-type]
        listen(MarkerArray, "pose_node/markers", self._on_markers, 100)

    def close(self) -> None:
        """End whatever was started."""
        for node in self._nodes:
            if node.is_alive:
                node.end(signal.SIGKILL)
        self.node.destroy_node()
        rclpy.shutdown()

    def start(self, module: str = "pose_node", **parameters: object) -> NodeProcess:
        """Start a node; parameters as of `NodeProcess`."""
        self._nodes.append(NodeProcess(self.folder, module, **parameters))
        return self._nodes[-1]

    def start_pose_node(self, **parameters: object) -> NodeProcess:
        """Start the node under test and wait until it and this process have found each other."""
        transport = parameters.get("image_transport", "raw")
        images = self.images if transport == "raw" else self.compressed
        # One that was killed stays in the graph for 20 s.
        others = self._endpoints(images)
        node = self.start(**{"threads": 1, **parameters})

        def is_found() -> bool:
            if not node.is_alive:
                raise RuntimeError(f"the node has ended:\n{node.log[-2000:]}")
            node.endpoints = [
                now - before for now, before in zip(self._endpoints(images), others, strict=True)
            ]
            return all(node.endpoints)

        if not self.wait(is_found):
            raise RuntimeError(f"the node did not start in {PATIENCE:g} s:\n{node.log[-2000:]}")
        self.spin(1.0)
        self.forget()
        return node

    def end_pose_node(self, node: NodeProcess, number: int = signal.SIGINT) -> int:
        """End the node under test; return its exit code.

        Waits until it is gone from the graph, unless it is killed and cannot take leave.
        """
        code = node.end(number)
        if number != signal.SIGKILL:
            _images, listening, _skeletons = node.endpoints
            self.wait(lambda: not listening & self._endpoints(self.images)[1])
        return code

    def forget(self) -> None:
        """Start anew with what has been heard."""
        self.skeletons, self.published, self.markers = [], [], []

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
        """Listen until a condition holds, and return whether it does in time."""
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.02))
        return True

    def now(self) -> Time:
        """Return the time for a stamp."""
        return self.node.get_clock().now().to_msg()

    def message(self, pixels: NDArray[np.uint8]) -> Image:
        """Return an image message, stamped now."""
        return image_message(pixels, Header(stamp=self.now(), frame_id="lens"))

    def answer(
        self,
        publisher: Publisher,
        message: Image | CompressedImage,
        timeout: float = PATIENCE,
    ) -> Skeleton3DArray | None:
        """Publish an image and return the skeletons with its stamp; None if none come in time."""
        before, stamp = len(self.skeletons), message.header.stamp
        publisher.publish(message)

        def is_answered() -> bool:
            return any(answer.header.stamp == stamp for answer in self.skeletons[before:])

        return self.skeletons[-1] if self.wait(is_answered, timeout) else None

    def exchange(
        self, pixels: NDArray[np.uint8], timeout: float = PATIENCE
    ) -> Skeleton3DArray | None:
        """Send an image stamped now and return its skeletons; None if none come in time."""
        return self.answer(self.images, self.message(pixels), timeout)

    def _endpoints(self, images: Publisher) -> list[set[tuple[int, ...]]]:
        """Return who is known to listen to images and to camera_info, and to send skeletons."""
        listeners = self.node.get_subscriptions_info_by_topic
        topics = [listeners(images.topic_name), listeners(self.infos.topic_name)]
        topics.append(self.node.get_publishers_info_by_topic("/pose_node/skeletons"))
        return [{tuple(end.endpoint_gid) for end in topic} for topic in topics]

    def _on_skeletons(self, message: Skeleton3DArray, about: dict) -> None:
        # When it was published; this process may be late itself.
        self.published.append(about["source_timestamp"] / 1e9)
        self.skeletons.append(message)

    def _on_markers(self, message: MarkerArray) -> None:
        self.markers.extend(message.markers)


def seconds_of(stamp: Time) -> float:
    """Return a stamp in seconds."""
    return stamp.sec + stamp.nanosec / 1e9


def walk_frames(count: int, size: tuple[int, int] = (320, 240)) -> list[NDArray[np.uint8]]:
    """Return the first images of the demo clip, RGB [H, W, 3], scaled to (width, height)."""
    capture, frames = cv2.VideoCapture(str(CLIP)), []
    for _ in range(count):
        is_read, image = capture.read()
        if not is_read:
            raise ValueError(f"{CLIP} has fewer than {count} images")
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        frames.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8))
    return frames


def entry(fault: str, done: str, seen: dict, bound: str, passed: bool) -> dict:
    """Return what is written down of one fault."""
    seen = {
        key: round(value, 4) if isinstance(value, float) else value for key, value in seen.items()
    }
    print(f"{'ok  ' if passed else 'FAIL'} {fault}: {seen}", flush=True)
    return {"fault": fault, "done": done, "seen": seen, "bound": bound, "passed": bool(passed)}
