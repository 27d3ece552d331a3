"""How long each stage of an estimate takes: without ROS, on any device."""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.model.blazepose import LandmarkOutput
from pandapose_ros.pose import Pose, TrackState
from pandapose_ros.runtime.protocols import LandmarkNet, LiftedJoints, Lifter
from pandapose_ros.timings import summarise

Image = NDArray[np.uint8]
Result = TypeVar("Result")

# Fewer repetitions than this say nothing, however long they take.
LEAST_REPEATS = 3
# Images after which whoever has not been found is not waited for.
_PATIENCE = 200
# Height of who stands behind in a group, as a share of the image's width, and of its height.
_GROUP_OF_WIDTH, _GROUP_OF_HEIGHT = 0.5, 0.747
_GONE = (TrackState.PREDICTED, TrackState.LOST)


def crowd(image: Image, people: int, width: int, height: int, column: int | None = None) -> Image:
    """Make an image of several people out of one that shows one person.

    Args:
        image: [h, w, 3], with one person, whole in view.
        people: How often to show it, side by side; the detector finds at most six in a row.
        width: Of the result, pixels.
        height: Of the result, pixels.
        column: Where the person is, pixels; None: in the middle.

    Returns:
        [height, width, 3].
    """
    cell = (width // people, height)
    # As much round the person as has the shape of a cell, so that nobody is stretched.
    wide = min(image.shape[1], round(image.shape[0] * cell[0] / cell[1]))
    high = min(image.shape[0], round(image.shape[1] * cell[1] / cell[0]))
    middle = image.shape[1] // 2 if column is None else column
    left = min(max(middle - wide // 2, 0), image.shape[1] - wide)
    top = (image.shape[0] - high) // 2
    small = cv2.resize(image[top : top + high, left : left + wide], cell)
    result = np.full((height, width, 3), 128, np.uint8)
    result[:, : people * cell[0]] = np.tile(small, (1, people, 1))
    return result


def group(image: Image, people: int, width: int, height: int, body: tuple[int, int, int]) -> Image:
    """Make an image of more people than `crowd` can show large enough to be found.

    Somebody alone is found down to a fifth of the image's longer side. Of two rows of five whole
    people a look finds nobody at 26 % of it and four at most at 36 %: each lowers the others'
    scores. Here the row in front is cut off by the image's lower edge, as when people stand close
    to the camera, so that all are larger.

    Args:
        image: [h, w, 3], with one person, whole in view.
        people: How often to show it, at least two; three of five stand behind.
        width: Of the result, pixels.
        height: Of the result, pixels.
        body: Where the person is, pixels: the middle's column, a row over the head, a row under
            the feet.

    Returns:
        [height, width, 3].
    """
    column, top, bottom = body
    tall = round(min(_GROUP_OF_WIDTH * width, _GROUP_OF_HEIGHT * height))
    scale = tall / (bottom - top)
    behind = -(-3 * people // 5)
    result = np.full((height, width, 3), 128, np.uint8)
    for count, first, last in ((behind, 0, tall), (people - behind, tall, height)):
        cell = width // count
        wide = min(round(cell / scale), image.shape[1])
        high = min(round((last - first) / scale), image.shape[0] - top)
        left = min(max(column - wide // 2, 0), image.shape[1] - wide)
        part = cv2.resize(image[top : top + high, left : left + wide], (cell, last - first))
        result[first:last, : cell * count] = np.tile(part, (1, count, 1))
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
    estimator: PoseEstimator,
    images: Sequence[Image],
    shown: int,
    repeats: int,
    warm_up: int,
    seconds: float,
) -> dict:
    """Measure whole images in tracking mode, and the stages in them.

    Args:
        estimator: Its networks are wrapped during the call.
        images: RGB, worked on in turn.
        shown: People in them.
        repeats: Images to measure.
        warm_up: Images before these, from when everybody was found.
        seconds: Time after which fewer will do.

    Returns:
        Summaries of frame, detect (the detector alone), landmarks and lifter, or one_pass where
        they are one, and place_and_track (crops and all else), in ms; people found; rate, Hz.
    """
    networks = estimator.networks
    clock = StageClock(networks.landmark_net, networks.lifter)
    start = _find_all(estimator, images, shown)
    frames, rest, people = [], [], []
    estimator.networks = replace(networks, landmark_net=clock, lifter=clock)
    try:
        for number in range(start, start + warm_up + repeats):
            if len(frames) >= LEAST_REPEATS and sum(frames) > 1e3 * seconds:
                break
            clock.landmarks_ms.clear()
            clock.lifter_ms.clear()
            shot = images[number % len(images)]
            milliseconds, poses = timed(lambda i=shot: estimator.estimate(i), estimator.device)
            if number >= start + warm_up:
                parts = (sum(clock.landmarks_ms), sum(clock.lifter_ms))
                frames.append(milliseconds)
                rest.append((*parts, milliseconds - sum(parts)))
                people.append(_count(poses))
    finally:
        estimator.networks = networks
    return {
        "people": float(np.mean(people)),
        "rate_hz": round(1e3 * len(frames) / sum(frames), 2),
        "frame": summarise(frames),
        **_detectors(estimator, images, min(repeats, 10)),
        **_stages(rest, is_one_pass=networks.runtime == "one_pass"),
    }


def describe_machine(device: torch.device) -> dict:
    """Name the machine and the versions of what was measured."""
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
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "opencv": cv2.__version__,
    }


def memory_mb(device: torch.device) -> dict[str, float]:
    """Return this process' resident memory and its peak, and the peak on a GPU, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {key: rest for key, _, rest in (line.partition(":") for line in lines)}
    names = {"rss": "VmRSS", "rss_peak": "VmHWM"}
    memory = {name: round(int(values[key].split()[0]) / 1024, 1) for name, key in names.items()}
    if device.type == "cuda":
        memory["vram"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
        # With what CUDA graphs keep to themselves.
        memory["vram_reserved"] = round(torch.cuda.max_memory_reserved(device) / 2**20, 1)
    return memory


def forget_peak(device: torch.device) -> None:
    """Let `memory_mb` tell peaks from now on; where the system forbids it, from the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _find_all(estimator: PoseEstimator, images: Sequence[Image], shown: int) -> int:
    """Start anew until everybody shown is seen; return how many images that took."""
    estimator.reset()
    for number in range(_PATIENCE):
        if _count(estimator.estimate(images[number % len(images)])) >= shown:
            return number + 1
    return _PATIENCE


def _stages(rest: Sequence[tuple[float, ...]], *, is_one_pass: bool) -> dict[str, dict]:
    """Summarise the parts of each image's time; one pass is noted as that of the landmarks."""
    landmarks, lifter, others = (
        summarise(times) for times in np.reshape(rest, (-1, 3)).T.tolist()
    )
    both = {"one_pass": landmarks} if is_one_pass else {"landmarks": landmarks, "lifter": lifter}
    return both | {"place_and_track": others}


def _count(poses: Sequence[Pose]) -> int:
    """Count who is seen."""
    return sum(pose.state not in _GONE for pose in poses)


def _detectors(estimator: PoseEstimator, images: Sequence[Image], repeats: int) -> dict[str, dict]:
    """Time each detector alone."""
    cpu = torch.device("cpu")
    shown = [images[n % len(images)] for n in range(repeats)]
    return {
        name: summarise([timed(partial(detect, image), cpu)[0] for image in shown])
        for name, detect in (("detect", estimator.detect), ("bodies", estimator.detect_bodies))
    }


def _synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
