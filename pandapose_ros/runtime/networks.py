"""What runs the landmark net and the lifter: PyTorch, ONNX Runtime on a CPU, one pass on a GPU.

All look the same from outside; PyTorch is the reference.
"""

import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.model.blazepose import LANDMARK_OUTPUTS, BlazePose, LandmarkOutput
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import default_model_dir
from pandapose_ros.runtime.cuda_graphs import sizes_up_to
from pandapose_ros.runtime.export import (
    LIFTER_OUTPUTS,
    ExportedNetworks,
    feature_names,
    load_or_export,
)
from pandapose_ros.runtime.one_pass import GREATEST_ERROR, OnePass, drawn_person, precision_error
from pandapose_ros.runtime.precision import DTYPES
from pandapose_ros.runtime.protocols import LandmarkNet, Lifter
from pandapose_ros.runtime.quiet_onnxruntime import load_onnxruntime

NAMES = ("auto", "torch", "onnxruntime", "one_pass")


@dataclass(frozen=True, eq=False)
class Networks:
    """Hold what runs an estimator's networks.

    Attributes:
        landmark_net: Finds landmarks and features.
        lifter: Lifts the features to 3D, unless the landmark net has done that already.
        runtime: torch, onnxruntime or one_pass.
        precision: fp32, fp16 or bf16.
    """

    landmark_net: LandmarkNet
    lifter: Lifter
    runtime: str
    precision: str = "fp32"

    def warm_up_sizes(self, people: int, cameras: int = 1, crops: int = 1) -> list[int]:
        """Return the batch sizes whose first run takes long, to be run in advance.

        Args:
            people: Maximum number per camera.
            cameras: How many there are, whose images are processed together.
            crops: Number of crops per person.
        """
        # Everybody may be upside down, and is then looked at in three more orientations at once.
        most = max(3, crops - 1) * people * cameras
        return sizes_up_to(most) if self.runtime == "one_pass" else [1, 2]


def open_networks(
    config: EstimatorConfig, network: PandaPose, net: BlazePose, weights_sha256: str
) -> Networks:
    """Choose what runs the networks and make it ready.

    Args:
        config: `runtime` chooses; auto takes one pass for a network on CUDA or in half precision,
            and ONNX Runtime for others where it and `onnx` are installed.
        network: With its weights, in evaluation mode, on its device.
        net: Its backbone.
        weights_sha256: Of the lifter's weights.

    Raises:
        ValueError: If the runtime is unknown, not installed, or cannot use the device or the
            precision.
    """
    if config.runtime not in NAMES:
        raise ValueError(f"unknown runtime '{config.runtime}'; use {', '.join(NAMES)}")
    is_half = config.precision in ("fp16", "bf16")
    if config.precision not in ("auto", *DTYPES):
        raise ValueError(f"unknown precision '{config.precision}'; use auto, {', '.join(DTYPES)}")
    if is_half and config.runtime in ("torch", "onnxruntime"):
        raise ValueError(
            f"precision '{config.precision}' is not possible with runtime '{config.runtime}', "
            "which computes in fp32: use runtime auto or one_pass, or precision fp32"
        )
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    is_on_cpu = net.device.type == "cpu"
    if config.runtime == "onnxruntime" and (missing or not is_on_cpu):
        reason = f"install {' and '.join(missing)}" if missing else f"it cannot use {net.device}"
        raise ValueError(f"runtime 'onnxruntime' is not possible: {reason}, or use torch")
    # Pixels drawn at random cannot be traced.
    is_random = config.runtime == "auto" and network.config.sampling == "random"
    wants_one_pass = is_half or not (is_on_cpu or is_random)
    if config.runtime == "one_pass" or (config.runtime == "auto" and wants_one_pass):
        return _in_one_pass(config.precision, network)
    if config.runtime == "torch" or missing or is_random:
        return Networks(net, network, "torch")
    return _in_onnxruntime(config, network, net, weights_sha256)


def _in_onnxruntime(
    config: EstimatorConfig, network: PandaPose, net: BlazePose, weights_sha256: str
) -> Networks:
    """Open the exported networks; those that are kept may be broken, and are made anew then."""
    model_dir = Path(config.model_dir).expanduser() if config.model_dir else default_model_dir()
    directory = model_dir / "exported"
    threads = config.threads or torch.get_num_threads()

    def opened(exported: ExportedNetworks) -> Networks:
        landmark_net = OnnxLandmarkNet(exported.landmarks, threads)
        return Networks(landmark_net, OnnxLifter(exported.lifter, threads, network), "onnxruntime")

    exported = load_or_export(network, net, weights_sha256, directory)
    try:
        return opened(exported)
    except Exception as error:  # ONNX Runtime's have no type of their own in common
        text = f"the networks in {directory} cannot be opened: exporting them anew ({error})"
        warnings.warn(text, stacklevel=2)
    return opened(load_or_export(network, net, weights_sha256, directory, anew=True))


def _in_one_pass(precision: str, network: PandaPose) -> Networks:
    """Make one pass of both networks; auto is fp16 on CUDA, fp32 where that differs too much."""
    chosen = precision
    if precision == "auto":
        chosen = _auto_precision(network.anchors.kinds.device)
    one_pass = OnePass(network, DTYPES[chosen])
    if precision == "auto" and chosen != "fp32":
        error = precision_error(one_pass, network, drawn_person(one_pass.device))
        if not error <= GREATEST_ERROR:  # nor NaN
            text = f"{chosen} is {1e3 * error:.2f} mm off for these weights: computing in fp32"
            warnings.warn(text, stacklevel=2)
            chosen = "fp32"
            one_pass = OnePass(network, DTYPES[chosen])
    return Networks(one_pass, network, "one_pass", chosen)


def _auto_precision(device: torch.device) -> str:
    """Return the precision to try first on a device."""
    return "fp16" if device.type == "cuda" else "fp32"


class OnnxLandmarkNet:
    """The landmark net in ONNX Runtime."""

    device = torch.device("cpu")

    def __init__(self, content: bytes, threads: int) -> None:
        """Open the content of an ONNX file that `export_landmark_net` made."""
        self._session = OnnxSession(content, threads)

    def __call__(self, crops: Tensor) -> LandmarkOutput:
        """Find the landmarks, as `BlazePose.forward` does."""
        results = self._session.run({"crops": crops})
        features, others = results[: -len(LANDMARK_OUTPUTS)], results[-len(LANDMARK_OUTPUTS) :]
        return LandmarkOutput(features, *others)


@dataclass(frozen=True, eq=False)
class OnnxLifterOutput:
    """Hold the result of `OnnxLifter`; as in `PandaPoseOutput`."""

    joints: Tensor
    anchors: Tensor
    weights: Tensor
    offsets: Tensor
    anchor_kinds: Tensor
    anchor_joints: Tensor
    depth_probabilities: Tensor | None


class OnnxLifter:
    """The lifter in ONNX Runtime."""

    def __init__(self, content: bytes, threads: int, network: PandaPose) -> None:
        """Open the content of an ONNX file that `export_lifter` made of a network."""
        self._session = OnnxSession(content, threads)
        self.config = network.config
        self._kinds, self._owners = network.anchors.kinds, network.anchors.owners

    def lift(self, features: list[Tensor], keypoints: Tensor) -> OnnxLifterOutput:
        """Lift, as `PandaPose.lift` does."""
        inputs = dict(zip(feature_names(len(features)), features, strict=True))
        results = self._session.run(inputs | {"keypoints": keypoints})
        *always, depth = results if len(results) > len(LIFTER_OUTPUTS) else (*results, None)
        joints, anchors, weights, offsets = always
        return OnnxLifterOutput(
            joints, anchors, weights, offsets, self._kinds, self._owners, depth
        )


class OnnxSession:
    """Run an ONNX network on CPU tensors."""

    def __init__(self, content: bytes, threads: int) -> None:
        """Open the content of an ONNX file, to run on so many threads."""
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads wait in a loop while a network runs, as its thousand steps are short, and sleep
        # after that: else they would take a core from the camera's driver.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        """Return the network's outputs, in their order."""
        feed = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in inputs.items()}
        return [torch.from_numpy(result) for result in self._session.run(None, feed)]
