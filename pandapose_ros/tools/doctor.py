"""Check everything that is needed to run, and say how to fix what is missing."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.packaged_weights import WEIGHTS_CHOICE
from pandapose_ros.tools.processes import find_shared
from pandapose_ros.tools.remedies import packages_remedy, pip_command

Level = Literal["ok", "warn", "FAIL"]

# Modules that must be there, with the distribution that brings each.
_MODULES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "cv2": "opencv-python-headless",
    "torch": "torch",
    "ai_edge_litert.interpreter": "ai-edge-litert",
    "safetensors": "safetensors",
    "rosbags.rosbag2": "rosbags",
    "yaml": "PyYAML",
    "tqdm": "tqdm",
}
# Optional packages: what they are for, and the requirements file that names them.
_OPTIONAL = {
    "onnxruntime": ("a CPU is slower without", "requirements-python.txt"),
    "onnx": ("onnxruntime needs it", "requirements-python.txt"),
    "viser": ("only pandapose view needs it", "requirements-view.txt"),
}
_SHARED_MEMORY = Path("/dev/shm")
_LEAST_SHARED_MEMORY = 64 << 20  # bytes: one segment of config/fastdds.xml, twice
# Distributions with the old names of Fast DDS; empty: the wheels, of Jazzy.
_OLD_DISTRIBUTIONS = ("", "humble", "iron", "jazzy")
_GRAPH_SECONDS = 60.0


@dataclass(frozen=True)
class Finding:
    """Hold what one check found.

    Attributes:
        level: FAIL means that nothing works without it.
        subject: What was looked at.
        text: What was found and, unless it is well, what to do.
    """

    level: Level
    subject: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = EstimatorConfig()
    parser.add_argument("--weights", default=defaults.weights,
                        help=f"{WEIGHTS_CHOICE} to check")  # fmt: skip
    parser.add_argument(
        "--model-dir", default=defaults.model_dir, help="folder of the model files"
    )
    parser.add_argument("--device", default=defaults.device, help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> int:
    """Print a line for each finding as it is made.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 1 if something essential is missing.
    """
    config = EstimatorConfig(weights=args.weights, model_dir=args.model_dir, device=args.device)
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_python,
        check_packages,
        check_accelerator,
        lambda: check_estimator(config),
        check_shared_memory,
        check_profile,
        check_video_devices,
        check_graph,
    ]
    failures = 0
    for check in checks:
        for finding in check():
            failures += finding.level == "FAIL"
            print(f"{finding.level:5} {finding.subject}: {finding.text}", flush=True)
    print(f"{failures} to fix" if failures else "everything essential is in place")
    return 1 if failures else 0


def check_python() -> Iterator[Finding]:
    """Look at the interpreter."""
    number = ".".join(map(str, sys.version_info[:3]))
    text = f"{number} at {sys.executable}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        yield Finding("ok", "Python", text)
    else:
        yield Finding("warn", "Python", f"{text}: untested, use 3.10 to 3.13 if in doubt")


def check_packages() -> Iterator[Finding]:
    """Import the packages, as a wheel built for another numpy fails only then."""
    for module, distribution in _MODULES.items():
        try:
            importlib.import_module(module)
            found = version(distribution)
        except PackageNotFoundError:
            found = "not installed by pip"
        except Exception as error:  # a broken package may raise anything
            reason = f"{type(error).__name__}: {error}"
            yield Finding("FAIL", distribution, f"{reason}: {packages_remedy()}")
            continue
        yield Finding("ok", distribution, found)
    for distribution, (why, file) in _OPTIONAL.items():
        try:
            yield Finding("ok", distribution, version(distribution))
        except PackageNotFoundError:
            text = f"not installed, {why}: {pip_command(file)}"
            yield Finding("warn", distribution, text)


def check_accelerator() -> Iterator[Finding]:
    """Check whether PyTorch can use the machine's GPU."""
    try:
        import torch
    except Exception:  # reported by check_packages
        return
    if torch.cuda.is_available():
        yield Finding("ok", "GPU", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    elif shutil.which("nvidia-smi") is None:
        yield Finding("ok", "GPU", "none; the CPU is used")
    elif torch.version.cuda is None:
        text = "there is one, but this PyTorch is the CPU build: install torch from PyPI"
        yield Finding("warn", "GPU", text)
    else:
        text = f"there is one, but PyTorch with CUDA {torch.version.cuda} cannot use it"
        yield Finding("warn", "GPU", f"{text}: update the NVIDIA driver (nvidia-smi tells)")


def check_estimator(config: EstimatorConfig) -> Iterator[Finding]:
    """Find the model files and weights, and estimate one image with them."""
    try:
        from pandapose_ros.estimator import PoseEstimator
        from pandapose_ros.model_files import PACKAGES, find_model_file
        from pandapose_ros.runtime.device_faults import reason_of
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding("FAIL", "estimator", f"{error}: repair the packages first")
        return
    try:
        wanted = [file for package in PACKAGES for file in package.files]
        files = [find_model_file(file, config.model_dir) for file in wanted]
        yield Finding("ok", "model files", f"checksums match, in {files[0].parent}")
        estimator = PoseEstimator(config)
        estimator.warm_up()
    except ImportError as error:  # of what is imported where it is needed
        yield Finding("FAIL", "estimator", f"{error}: repair the packages first")
        return
    except (OSError, ValueError, RuntimeError) as error:
        yield Finding("FAIL", "estimator", reason_of(error))
        return
    info = estimator.model_info
    name = f"{info.name} {info.version}, sha256 {info.weights_sha256[:12]}"
    yield Finding("ok", "weights", f"{name}, run on {estimator.device}")


def check_shared_memory() -> Iterator[Finding]:
    """Check whether images fit into the shared memory that DDS uses."""
    if not os.access(_SHARED_MEMORY, os.W_OK):
        text = f"{_SHARED_MEMORY} cannot be written to: mount it, or large images get lost"
        yield Finding("warn", "shared memory", text)
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free < _LEAST_SHARED_MEMORY:
        text = f"{free >> 20} MiB free in {_SHARED_MEMORY}, {_LEAST_SHARED_MEMORY >> 20} needed"
        remedy = "in a container, docker run --shm-size=512m"
        yield Finding("warn", "shared memory", f"{text}: {remedy}")
    else:
        yield Finding("ok", "shared memory", f"{free >> 20} MiB free in {_SHARED_MEMORY}")


def check_profile() -> Iterator[Finding]:
    """Check whether DDS is configured to make room for images."""
    rmw = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if not rmw.startswith("rmw_fastrtps"):
        yield Finding("ok", "DDS profile", f"not needed for {rmw}")
        return
    is_old = os.environ.get("ROS_DISTRO", "") in _OLD_DISTRIBUTIONS
    variable = f"{'FASTRTPS' if is_old else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    value = os.environ.get(variable, "")
    try:
        ours = find_shared(Path("config", "fastdds.xml"))
    except FileNotFoundError as error:
        yield Finding("FAIL", "package", f"{error}, or source the workspace (AMENT_PREFIX_PATH)")
        return
    remedy = f"export {variable}={ours}, for the camera's process too (our launch files do)"
    if not value:
        text = f"{variable} is not set, half of all raw images get lost: {remedy}"
        yield Finding("warn", "DDS profile", text)
    elif not Path(value).is_file():
        yield Finding("warn", "DDS profile", f"{value} is not there: {remedy}")
    elif "segment_size" not in Path(value).read_text(errors="replace"):
        text = f"{value} sets no segment_size, raw images may get lost: compare {ours}"
        yield Finding("warn", "DDS profile", text)
    else:
        yield Finding("ok", "DDS profile", value)


def check_video_devices() -> Iterator[Finding]:
    """Check the permissions of connected cameras."""
    for device in sorted(Path("/dev").glob("video*")):
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("ok", "camera", str(device))
        else:
            text = f"no permission to open {device}: sudo usermod -aG video $USER, log in again"
            yield Finding("warn", "camera", text)


def check_graph() -> Iterator[Finding]:
    """Check ROS, and the skeletons and cameras on its graph, in another process."""
    command = [sys.executable, "-m", "pandapose_ros.node.graph_report"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GRAPH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        text = f"no answer within {_GRAPH_SECONDS:g} s: is the network up? Try "
        yield Finding("FAIL", "ROS", f"{text}export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        remedy = "source ROS 2 and the workspace (. install/setup.bash); with the wheels, make"
        if rmw := os.environ.get("RMW_IMPLEMENTATION"):
            remedy += f"; or unset RMW_IMPLEMENTATION, {rmw} may not be installed"
        yield Finding("FAIL", "ROS", f"{reason}: {remedy}")
        return
    graph = json.loads(done.stdout.splitlines()[-1])
    where = f"{graph['rmw']}, domain {graph['domain']}"
    yield Finding("ok", "ROS", f"{graph['distro'] or 'from wheels'}, {where}")
    for topic in graph["skeletons"]:
        yield Finding("ok", "skeletons", topic)
    if not graph["images"]:
        text = "none is published: start a camera (pandapose.launch.py camera:=...), in the same"
        yield Finding("warn", "image topics", f"{text} ROS_DOMAIN_ID")
    for topic, camera in graph["images"].items():
        if camera["camera_info"]:
            yield Finding("ok", "image topic", f"{topic} of {camera['publishers']}")
        else:
            text = f"{topic} of {camera['publishers']} has no camera_info beside it"
            remedy = "calibrate the camera; until then distances rest on an assumed field of view"
            yield Finding("warn", "image topic", f"{text}: {remedy}")
