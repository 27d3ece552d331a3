"""Measure every stage and, over ROS 2, from image to skeleton; write one JSON per device."""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.benchmark import (
    crowd,
    describe_machine,
    measure_frames,
    measure_networks,
    memory_mb,
    summarise,
)
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.tools.processes import find_shared, start_node, stop

_CLIP = Path("config", "demo", "walk.mp4")
_IMAGES = 30
_WARM_UP = 10
_PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "ros-rclpy", "pandapose-ros")
# Run by the interpreter that has mediapipe: times its pose solution in tracking mode.
_MEDIAPIPE = """
import json, sys, time
import mediapipe, numpy
images, repeats = numpy.load(sys.argv[1]), int(sys.argv[2])
pose = mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False)
times, found = [], 0
for number in range(repeats + 10):
    image = numpy.ascontiguousarray(images[number % len(images)][..., ::-1])
    start = time.perf_counter()
    found += pose.process(image).pose_landmarks is not None
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"times": times[10:], "found": found / len(times),
                  "version": mediapipe.__version__}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose benchmark`."""
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--no-ros", action="store_true", help="without the runs over DDS")
    parser.add_argument(
        "--mediapipe", default="", help="Python interpreter with mediapipe 0.10.21, to compare"
    )
    parser.add_argument("--people", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720"])
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 2, 4, 5, 8, 16], help="of the networks alone"
    )
    parser.add_argument("--repeats", type=int, default=100, help="images for each measurement")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run over DDS")
    parser.add_argument("--device", default="auto", help="as the parameter device")
    parser.add_argument("--runtime", default="auto", help="as the parameter runtime")
    parser.add_argument("--threads", type=int, default=0, help="as the parameter threads")


def run(args: argparse.Namespace) -> int:
    """Measure everything asked for and write the JSON."""
    config = EstimatorConfig(
        device=args.device,
        runtime=args.runtime,
        threads=args.threads,
        max_people=max(args.people),
    )
    start = time.perf_counter()
    estimator = PoseEstimator(config)
    estimator.warm_up()
    loading = time.perf_counter() - start
    result = {
        "command": f"pandapose benchmark {' '.join(sys.argv[2:])}",
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": describe_machine(estimator.device) | {"versions": _versions()},
        "runtime": estimator.networks.runtime,
        "weights_sha256": estimator.model_info.weights_sha256,
        "load_s": round(loading, 2),
        "frames": [],
        "networks": [],
        "end_to_end": [],
    }
    images = _clip_images()
    cases = [(size, people) for size in args.sizes for people in args.people]
    for size, people in cases:
        _tell(f"frames {size}, {people} people")
        case = {"size": size, "people_shown": people}
        crowds = [image[..., ::-1] for image in _crowds(images, people, size)]
        measured = measure_frames(estimator, crowds, args.repeats, _WARM_UP)
        result["frames"].append(case | measured)
    for people in args.batches:
        _tell(f"networks, {people} people")
        measured = measure_networks(estimator, people, max(args.repeats // 4, 3))
        case = {"people": people, "memory_mb": memory_mb(estimator.device)}
        result["networks"].append(case | measured)
    del estimator  # its memory and threads are not the node's
    with tempfile.TemporaryDirectory() as folder:
        if args.mediapipe:
            result["mediapipe"] = [
                _measure_mediapipe(args, _save(images, 1, size, Path(folder))) | {"size": size}
                for size in args.sizes
            ]
        for size, people in [] if args.no_ros else cases:
            path = _save(images, people, size, Path(folder))
            for rate in (30.0, 0.0):
                _tell(f"over DDS {size}, {people} people, {rate or 'as fast as possible'} Hz")
                case = {"size": size, "people_shown": people, "input_hz": rate or "saturation"}
                result["end_to_end"].append(case | _measure_nodes(args, path, rate))
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{args.out} written")
    return 0


def _clip_images() -> list[NDArray[np.uint8]]:
    """Return images of one person, BGR."""
    capture = cv2.VideoCapture(str(find_shared(_CLIP)))
    return [np.asarray(capture.read()[1], np.uint8) for _ in range(_IMAGES)]


def _crowds(images: list[NDArray[np.uint8]], people: int, size: str) -> list[NDArray[np.uint8]]:
    """Return images of so many people, BGR; size as WIDTHxHEIGHT."""
    width, _, height = size.partition("x")
    return [crowd(image, people, int(width), int(height)) for image in images]


def _save(images: list[NDArray[np.uint8]], people: int, size: str, folder: Path) -> Path:
    """Write images of so many people for another process."""
    path = folder / f"{size}_{people}.npy"
    if not path.exists():
        np.save(path, np.stack(_crowds(images, people, size)))
    return path


def _measure_mediapipe(args: argparse.Namespace, images: Path) -> dict:
    """Time MediaPipe's pose on the same images, in its own environment."""
    _tell("mediapipe")
    # The environment of ROS is not for another interpreter.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    command = [args.mediapipe, "-c", _MEDIAPIPE, str(images), str(args.repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        raise ValueError(f"{args.mediapipe} cannot run mediapipe: {done.stderr.strip()[-300:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return {
        "version": answer["version"],
        "found": answer["found"],
        "frame": summarise(answer["times"]),
    }


def _measure_nodes(args: argparse.Namespace, images: Path, rate: float) -> dict:
    """Run `pose_node` and, beside it, the process that sends images and receives skeletons."""
    namespace = f"/pandapose_benchmark_{os.getpid()}"
    out = images.with_suffix(".json")
    parameters: dict[str, object] = {
        "device": args.device,
        "runtime": args.runtime,
        "threads": args.threads,
        "max_people": max(args.people),
    }
    topics = {"image": "image_raw", "skeletons": "pose_node/skeletons"}
    started = time.time()
    node = start_node("pose_node", namespace, parameters, {"image": "image_raw"})
    probing = {"images": str(images), "out": str(out), "rate": rate, "seconds": args.seconds}
    probing |= {"pid": node.pid, "started": started}
    probe = start_node("probe", namespace, probing, topics)
    try:
        probe.wait(args.seconds + 180)
    finally:
        stop([("probe", probe), ("pose_node", node)])
    if probe.returncode or not out.exists():
        raise ValueError("the probe failed; see its message above")
    report = json.loads(out.read_text())
    out.unlink()
    return report


def _versions() -> dict[str, str]:
    """Return the versions of the packages that matter and are installed."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    """Return the commit of the sources; empty where they are not in git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _tell(text: str) -> None:
    """Say what is being measured."""
    print(text, file=sys.stderr, flush=True)
