"""How long each stage of an estimate takes: without ROS, on any device."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.model.blazepose import CROP_SIZE, LandmarkOutput
from pandapose_ros.runtime import LandmarkNet, LiftedJoints, Lifter

Image = NDArray[np.uint8]
Result = TypeVar("Result")


def summarise(milliseconds: Sequence[float]) -> dict[str, float]:
    """Tell a series of times in the words of ros2_benchmark, and its percentiles.

    Args:
        milliseconds: One for each repetition.

    Returns:
        mean, min, max, p50, p95, p99 and jitter (standard deviation), ms, and repeats; only
        repeats if there were none.
    """
    if not len(milliseconds):
        return {"repeats": 0}
    times = np.asarray(milliseconds, float)
    values = {"mean": times.mean(), "min": times.min(), "max": times.max(), "jitter": times.std()}
    values |= {f"p{q}": np.percentile(times, q) for q in (50, 95, 99)}
    return {name: round(float(value), 3) for name, value in values.items()} | {
        "repeats": len(times)
    }


def crowd(image: Image, people: int, width: int, height: int) -> Image:
    """Make an image of several people out of one that shows one person.

    Args:
        image: [h, w, 3], with one person, whole in view.
        people: How often to show it, side by side and in rows.
        width: Of the result, pixels.
        height: Of the result, pixels.

    Returns:
        [height, width, 3].
    """
    columns = min(people, 5)
    rows = -(-people // columns)
    cell = (width // columns, height // rows)
    # As much of the middle as has the shape of a cell, so that nobody is stretched.
    wide = min(image.shape[1], round(image.shape[0] * cell[0] / cell[1]))
    high = min(image.shape[0], round(image.shape[1] * cell[1] / cell[0]))
    left, top = (image.shape[1] - wide) // 2, (image.shape[0] - high) // 2
    small = cv2.resize(image[top : top + high, left : left + wide], cell)
    result = np.full((height, width, 3), 128, np.uint8)
    for number in range(people):
        v, u = number // columns * cell[1], number % columns * cell[0]
        result[v : v + cell[1], u : u + cell[0]] = small
    return result


@dataclass(eq=False)
class StageClock:
    """Note how long the networks take; stands in for both in an estimator."""

    landmark_net: LandmarkNet
    lifter: Lifter
    landmarks_ms: list[float] = field(default_factory=list)
    lifter_ms: list[float] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Return the networks' device."""
        return self.landmark_net.device

    @property
    def config(self) -> ModelConfig:
        """Return the lifter's configuration."""
        return self.lifter.config

    def __call__(self, crops: Tensor) -> LandmarkOutput:
        """Run the landmark net."""
        milliseconds, output = timed(lambda: self.landmark_net(crops), self.device)
        self.landmarks_ms.append(milliseconds)
        return output

    def lift(self, features: list[Tensor], keypoints: Tensor) -> LiftedJoints:
        """Run the lifter."""
        milliseconds, output = timed(lambda: self.lifter.lift(features, keypoints), self.device)
        self.lifter_ms.append(milliseconds)
        return output


def timed(action: Callable[[], Result], device: torch.device) -> tuple[float, Result]:
    """Return how long an action took on a device, ms, and its result."""
    _synchronise(device)
    start = time.perf_counter()
    result = action()
    _synchronise(device)
    return 1e3 * (time.perf_counter() - start), result


def measure_frames(
    estimator: PoseEstimator, images: Sequence[Image], repeats: int, warm_up: int
) -> dict:
    """Measure whole images in tracking mode, and the stages in them.

    Args:
        estimator: Its networks are wrapped during the call.
        images: RGB, worked on in turn.
        repeats: Images to measure.
        warm_up: Images before these.

    Returns:
        Summaries of frame, detect (the detector on its own), landmarks, lifter and
        place_and_track (crops and whatever else is left), in ms; people found; rate, Hz.
    """
    networks = estimator.networks
    clock = StageClock(networks.landmark_net, networks.lifter)
    estimator.reset()
    frames, rest, people = [], [], []
    estimator.networks = replace(networks, landmark_net=clock, lifter=clock)
    try:
        for number in range(warm_up + repeats):
            clock.landmarks_ms.clear()
            clock.lifter_ms.clear()
            image = images[number % len(images)]
            milliseconds, poses = timed(lambda im=image: estimator.estimate(im), estimator.device)
            if number >= warm_up:
                parts = (sum(clock.landmarks_ms), sum(clock.lifter_ms))
                frames.append(milliseconds)
                rest.append((*parts, milliseconds - sum(parts)))
                people.append(len(poses))
    finally:
        estimator.networks = networks
    names = ("landmarks", "lifter", "place_and_track")
    stages = dict(zip(names, np.array(rest).reshape(-1, 3).T.tolist(), strict=True))
    return {
        "people": float(np.mean(people)),
        "rate_hz": round(1e3 * len(frames) / sum(frames), 2),
        "frame": summarise(frames),
        "detect": summarise(_detections(estimator, images, min(repeats, 20))),
        **{name: summarise(times) for name, times in stages.items()},
    }


def measure_networks(estimator: PoseEstimator, people: int, repeats: int) -> dict:
    """Measure landmark net and lifter for a number of people, and the same in eager PyTorch.

    The two take turns, so that a busy machine slows both.

    Returns:
        Summaries of the runtime in use and of eager, in ms.
    """
    networks, network = estimator.networks, estimator.network
    eager = replace(networks, landmark_net=network.backbone, lifter=network, runtime="torch")
    crops = torch.rand(people, 3, CROP_SIZE, CROP_SIZE, device=estimator.device)
    keypoints = torch.rand(people, 17, 2, device=estimator.device) * CROP_SIZE
    times: dict[str, list[float]] = {}
    for number in range(repeats + 2):
        for name, each in (("runtime", networks), ("eager", eager)):
            with torch.inference_mode():
                landmarks, seen = timed(lambda e=each: e.landmark_net(crops), estimator.device)
                lifter, _ = timed(
                    lambda e=each, s=seen: e.lifter.lift(s.features, keypoints), estimator.device
                )
            if number >= 2:
                times.setdefault(f"{name}_landmarks", []).append(landmarks)
                times.setdefault(f"{name}_lifter", []).append(lifter)
    return {name: summarise(values) for name, values in times.items()}


def describe_machine(device: torch.device) -> dict:
    """Name the machine, its load, and the versions of what was measured."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "gpu": gpu,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "opencv": cv2.__version__,
    }


def memory_mb(device: torch.device) -> dict[str, float]:
    """Return resident memory of this process and the peak on a GPU, MB."""
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    memory = {"rss": round(int(resident.split()[1]) / 1024, 1)}
    if device.type == "cuda":
        memory["vram"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return memory


def _detections(estimator: PoseEstimator, images: Sequence[Image], repeats: int) -> list[float]:
    """Time the person detector alone, ms."""
    cpu = torch.device("cpu")
    return [
        timed(lambda n=n: estimator.detect(images[n % len(images)]), cpu)[0]
        for n in range(repeats)
    ]


def _synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
