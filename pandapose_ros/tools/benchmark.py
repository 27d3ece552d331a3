"""Measure every stage and, over ROS 2, from image to skeleton; write one JSON per device."""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.network_speed import (
    measure_anchors,
    measure_networks,
    measure_paper,
    measure_precision,
)
from pandapose_ros.evaluation.speed import crowd, describe_machine, group, measure_frames
from pandapose_ros.tools.benchmark_processes import measure_mediapipe, measure_nodes
from pandapose_ros.tools.processes import find_shared
from pandapose_ros.whole_files import prepare_file

_CLIP = Path("config", "demo", "walk.mp4")
# Images in which one person turns on the spot: 32 of them, forward and back, so that the detector,
# which runs every 15 images, sees each in turn.
_FIRST, _IMAGES = 104, 17
# The person's column, a row above the head, and a row below the feet.
_BODY = (345, 108, 452)
# Most people side by side: more would be too close together for the detector.
_ROW = 5
_WARM_UP = 5
_RATES = (30.0, 0.0)
_PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "ros-rclpy", "pandapose-ros")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose benchmark`."""
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--no-ros", action="store_true", help="skip the runs over DDS")
    parser.add_argument(
        "--mediapipe", default="", help="Python interpreter with mediapipe 0.10.21, to compare"
    )
    parser.add_argument(
        "--people", type=positive, nargs="+", default=[1, 5, 10], help="numbers of people shown"
    )
    parser.add_argument(
        "--sizes",
        type=image_size,
        nargs="+",
        default=["640x480", "1280x720"],
        help="image sizes, each with every number of people",
    )
    parser.add_argument(
        "--frame-sizes",
        type=image_size,
        nargs="*",
        default=["320x240", "1920x1080"],
        help="additional image sizes, for one person and without ROS",
    )
    parser.add_argument(
        "--batches", type=positive, nargs="+", default=[1, 2, 5, 10, 16], help="people per batch"
    )
    parser.add_argument(
        "--local-anchors", type=int, nargs="*", default=[2, 4, 8, 16], help="numbers per joint"
    )
    parser.add_argument(
        "--paper-batches",
        type=positive,
        nargs="*",
        default=[1],
        help="batch sizes of the paper's network; empty: skip it",
    )
    parser.add_argument("--repeats", type=positive, default=100, help="maximum per measurement")
    parser.add_argument("--seconds", type=float, default=6.0, help="time limit per measurement")
    parser.add_argument("--weights", default="default", help="see the parameter weights")
    parser.add_argument("--device", default="auto", help="see the parameter device")
    parser.add_argument("--runtime", default="auto", help="see the parameter runtime")
    parser.add_argument("--precision", default="auto", help="see the parameter precision")
    parser.add_argument("--threads", type=int, default=0, help="see the parameter threads")


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got '{text}'")
    return int(text)


def image_size(text: str) -> str:
    """Check the size of an image."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"expected a size such as 640x480, got '{text}'")
    return text


def run(args: argparse.Namespace) -> int:
    """Measure everything asked for and write the JSON."""
    prepare_file(args.out)  # before all the work, not after it
    if args.mediapipe and shutil.which(args.mediapipe) is None:
        raise ValueError(f"--mediapipe {args.mediapipe} is no program: give a Python interpreter")
    began = time.perf_counter()
    load_before = round(os.getloadavg()[0], 2)
    result = {
        "command": f"pandapose benchmark {' '.join(sys.argv[2:])}",
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        **_measure_here(args),
        "mediapipe": [],
        "end_to_end": [],
    }
    images = clip_images()
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes if args.mediapipe else []:
            _tell(f"mediapipe {size}")
            path = _save(images, 1, size, Path(folder))
            measured = measure_mediapipe(args.mediapipe, path, args.repeats)
            result["mediapipe"].append({"size": size} | measured)
        for size, people in [] if args.no_ros else _cases(args):
            _tell(f"over DDS {size}, {people} people")
            path = _save(images, people, size, Path(folder))
            reports = measure_nodes(_settings(args), path, people, _RATES, args.seconds)
            for rate, report in zip(_RATES, reports, strict=True):
                case = {"size": size, "people_shown": people, "input_hz": rate or "saturation"}
                result["end_to_end"].append(case | report)
            path.unlink()
    result["machine"] |= {
        "load_before": load_before,
        "load_after": round(os.getloadavg()[0], 2),
        "seconds_taken": round(time.perf_counter() - began, 1),
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{args.out} written")
    return 0


def _measure_here(args: argparse.Namespace) -> dict:
    """Measure what needs no other process; memory and threads are released at the end."""
    start = time.perf_counter()
    estimator = PoseEstimator(EstimatorConfig(**_settings(args)))
    estimator.warm_up()
    result = {
        "machine": describe_machine(estimator.device) | {"versions": _versions()},
        "runtime": estimator.networks.runtime,
        "weights_sha256": estimator.model_info.weights_sha256,
        "load_s": round(time.perf_counter() - start, 2),
        "frames": [],
        "networks": [],
        "paper": [],
    }
    images = clip_images()
    for size, people in [*_cases(args), *((size, 1) for size in args.frame_sizes)]:
        _tell(f"frames {size}, {people} people")
        shown = [image[..., ::-1] for image in crowds(images, people, size)]
        measured = measure_frames(estimator, shown, people, args.repeats, _WARM_UP, args.seconds)
        result["frames"].append({"size": size, "people_shown": people} | measured)
    for people in args.batches:
        _tell(f"networks, {people} people")
        measured = measure_networks(estimator, people, args.repeats, args.seconds)
        result["networks"].append({"people": people} | measured)
    _tell("precision")
    rgb = [np.ascontiguousarray(image[..., ::-1]) for image in images[:_IMAGES]]  # each once
    result["precision"] = measure_precision(estimator, rgb)
    for people in args.paper_batches:
        _tell(f"the paper's network, {people} people")
        given = (estimator.device, estimator.networks.precision, people, args.repeats)
        result["paper"].append(measure_paper(*given, args.seconds))
    _tell("anchors")
    result["anchors"] = measure_anchors(estimator, args.local_anchors, min(args.repeats, 20))
    return result


def _cases(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Return all combinations of sizes and numbers of people."""
    return [(size, people) for size in args.sizes for people in args.people]


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the estimator here and of that in `pose_node`."""
    return {
        "weights": args.weights,
        "device": args.device,
        "runtime": args.runtime,
        "precision": args.precision,
        "threads": args.threads,
        "max_people": max(args.people),
    }


def clip_images() -> list[NDArray[np.uint8]]:
    """Return images of one person, BGR, forward and back, to be repeated without a jump."""
    capture = cv2.VideoCapture(str(find_shared(_CLIP)))
    images = [np.asarray(capture.read()[1], np.uint8) for _ in range(_FIRST + _IMAGES)][_FIRST:]
    return images + images[-2:0:-1]


def crowds(images: list[NDArray[np.uint8]], people: int, size: str) -> list[NDArray[np.uint8]]:
    """Return images of so many people, BGR; size as WIDTHxHEIGHT."""
    width, height = (int(side) for side in size.split("x"))
    if people > _ROW:
        return [group(image, people, width, height, _BODY) for image in images]
    return [crowd(image, people, width, height, _BODY[0]) for image in images]


def _save(images: list[NDArray[np.uint8]], people: int, size: str, folder: Path) -> Path:
    """Write images of so many people for another process."""
    path = folder / f"{size}_{people}.npy"
    np.save(path, np.stack(crowds(images, people, size)))
    return path


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
    """Print what is being measured."""
    print(text, file=sys.stderr, flush=True)
