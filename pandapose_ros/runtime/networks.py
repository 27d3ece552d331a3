"""What runs the landmark net and the lifter: PyTorch, or ONNX Runtime, which is faster on a CPU.

Both look the same from outside; PyTorch is the reference.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose, LandmarkOutput
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import default_model_dir
from pandapose_ros.runtime.export import (
    LANDMARK_OUTPUTS,
    LIFTER_OUTPUTS,
    feature_names,
    load_or_export,
)

NAMES = ("auto", "torch", "onnxruntime")


class LandmarkNet(Protocol):
    """Find landmarks in crops, as `BlazePose` does."""

    @property
    def device(self) -> torch.device:
        """Where the crops have to be."""
        ...

    def __call__(self, crops: Tensor) -> LandmarkOutput:
        """Find the landmarks in crops [B, 3, 256, 256]."""
        ...


class LiftedJoints(Protocol):
    """What the estimator reads of a lifter's result; as in `PandaPoseOutput`."""

    @property
    def joints(self) -> Tensor: ...  # noqa: D102
    @property
    def anchors(self) -> Tensor: ...  # noqa: D102
    @property
    def weights(self) -> Tensor: ...  # noqa: D102
    @property
    def offsets(self) -> Tensor: ...  # noqa: D102
    @property
    def anchor_kinds(self) -> Tensor: ...  # noqa: D102
    @property
    def anchor_joints(self) -> Tensor: ...  # noqa: D102
    @property
    def depth_probabilities(self) -> Tensor | None: ...  # noqa: D102


class Lifter(Protocol):
    """Lift 2D poses, as `PandaPose` does."""

    config: ModelConfig

    def lift(self, features: list[Tensor], keypoints: Tensor) -> LiftedJoints:
        """Lift keypoints [B, J, 2] with the landmark net's features."""
        ...


@dataclass(frozen=True, eq=False)
class Networks:
    """Hold what runs an estimator's networks.

    Attributes:
        landmark_net: Finds landmarks and features.
        lifter: Takes the features on to 3D.
        runtime: torch or onnxruntime.
    """

    landmark_net: LandmarkNet
    lifter: Lifter
    runtime: str

    def warm_up(self, people: int) -> None:
        """Run both once for this many people on nothing."""
        device = self.landmark_net.device
        with torch.inference_mode():
            crops = torch.zeros(people, 3, CROP_SIZE, CROP_SIZE, device=device)
            keypoints = torch.full((people, 17, 2), CROP_SIZE / 2, device=device)
            self.lifter.lift(self.landmark_net(crops).features, keypoints)


def open_networks(
    config: EstimatorConfig, network: PandaPose, net: BlazePose, weights_sha256: str
) -> Networks:
    """Choose what runs the networks and make it ready.

    Args:
        config: `runtime` chooses; auto takes ONNX Runtime for a network on the CPU where it and
            `onnx` are installed.
        network: With its weights, in evaluation mode, on its device.
        net: Its backbone.
        weights_sha256: Of the lifter's weights.

    Raises:
        ValueError: If the runtime is unknown, not installed, or cannot use the device.
    """
    if config.runtime not in NAMES:
        raise ValueError(f"unknown runtime '{config.runtime}'; use {', '.join(NAMES)}")
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    is_on_cpu = net.device.type == "cpu"
    if config.runtime == "onnxruntime" and (missing or not is_on_cpu):
        reason = f"install {' and '.join(missing)}" if missing else f"it cannot use {net.device}"
        raise ValueError(f"runtime 'onnxruntime' is not possible: {reason}, or use torch")
    # Pixels drawn at random cannot be traced.
    if config.runtime == "auto" and network.config.sampling == "random":
        return Networks(net, network, "torch")
    if config.runtime == "torch" or missing or not is_on_cpu:
        return Networks(net, network, "torch")
    directory = Path(config.model_dir).expanduser() if config.model_dir else default_model_dir()
    exported = load_or_export(network, net, weights_sha256, directory / "exported")
    threads = config.threads or torch.get_num_threads()
    return Networks(
        OnnxLandmarkNet(exported.landmarks, threads),
        OnnxLifter(exported.lifter, threads, network),
        "onnxruntime",
    )


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
        import onnxruntime

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
