"""The networks as ONNX files, and where those that the estimator uses are kept.

A file's name contains digests of the weights and sources, and the versions, that it was made from,
so a changed network is exported anew.
"""

import hashlib
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pandapose_ros.model.blazepose import LANDMARK_OUTPUTS, BlazePose
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.runtime.quiet_onnxruntime import load_onnxruntime
from pandapose_ros.whole_files import write_shared

OPSET = 17
LIFTER_OUTPUTS = ("joints", "anchors", "weights", "offsets")
DEPTH_OUTPUT = "depth_probabilities"  # one more, if the network lifts features
# Traced with more than one person, as one would make some axes vanish from the trace.
_TRACED_PEOPLE = 3
_PACKAGE = Path(__file__).parents[1]
# The files that determine what the networks compute.
_SOURCES = (
    *sorted(_PACKAGE.glob("model/*.py")),
    _PACKAGE / "geometry.py",
    _PACKAGE / "skeleton.py",
    Path(__file__),
)


@dataclass(frozen=True)
class ExportedNetworks:
    """Hold the two networks of the estimator, each the content of an ONNX file.

    Attributes:
        landmarks: crops -> feature_0, feature_1, ..., then `LANDMARK_OUTPUTS`.
        lifter: feature_0, feature_1, ..., keypoints -> `LIFTER_OUTPUTS`
            and, if features are lifted, `DEPTH_OUTPUT`.
    """

    landmarks: bytes
    lifter: bytes


class _Landmarks(nn.Module):
    """The landmark net with its results in a row."""

    def __init__(self, net: BlazePose) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        output = self.net(crops)
        return (*output.features, *(getattr(output, name) for name in LANDMARK_OUTPUTS))


class _Lifter(nn.Module):
    """The lifter with its arguments and results in a row."""

    def __init__(self, network: PandaPose) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *features, keypoints = inputs
        output = self.network.lift(list(features), keypoints)
        return tuple(getattr(output, name) for name in _lifter_outputs(self.network))


class _Whole(_Lifter):
    """Backbone and lifter."""

    def forward(self, crops: Tensor, keypoints: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        output = self.network(crops, keypoints)
        return tuple(getattr(output, name) for name in LIFTER_OUTPUTS)


def export_landmark_net(net: BlazePose) -> bytes:
    """Export the landmark net: see `ExportedNetworks.landmarks`; any number of crops."""
    crops = torch.rand(_TRACED_PEOPLE, 3, 256, 256)
    features = feature_names(len(net(crops[:1]).features))
    return _export(_Landmarks(net), {"crops": crops}, (*features, *LANDMARK_OUTPUTS))


def export_lifter(network: PandaPose) -> bytes:
    """Export the lifter: see `ExportedNetworks.lifter`; any number of people."""
    config = network.config
    features = [
        torch.rand(_TRACED_PEOPLE, channels, config.crop_height // s, config.crop_width // s)
        for channels, s in zip(config.level_channels, config.level_strides, strict=True)
    ]
    inputs = dict(zip(feature_names(len(features)), features, strict=True))
    inputs["keypoints"] = _keypoints(network)
    return _export(_Lifter(network), inputs, _lifter_outputs(network))


def export_whole(network: PandaPose) -> bytes:
    """Export backbone and lifter in one: crops, keypoints -> `LIFTER_OUTPUTS`.

    Args:
        network: On the CPU, in evaluation mode. The inputs are those of `PandaPose.forward`,
            for any number of people, with keypoints of whichever detector.

    Returns:
        The content of the ONNX file.

    Raises:
        ValueError: If the network draws its pixels at random.
    """
    if network.config.sampling == "random":
        raise ValueError("ONNX cannot draw pixels at random: export weights of other sampling")
    crops = torch.rand(_TRACED_PEOPLE, 3, network.config.crop_height, network.config.crop_width)
    inputs = {"crops": crops, "keypoints": _keypoints(network)}
    return _export(_Whole(network), inputs, LIFTER_OUTPUTS)


def load_or_export(
    network: PandaPose,
    net: BlazePose,
    weights_sha256: str,
    directory: Path,
    *,
    anew: bool = False,
) -> ExportedNetworks:
    """Take both networks from a directory; export those that are not there and keep them.

    A few seconds once; not kept where the directory cannot be written to.

    Args:
        network: On the CPU, in evaluation mode.
        net: Its backbone.
        weights_sha256: Of the lifter's weights, and the net's if that is fine-tuned.
        directory: Where to keep the files.
        anew: Export both whatever is kept.

    Raises:
        ImportError: If one is not kept and the package `onnx` is missing.
    """
    onnxruntime = load_onnxruntime()
    code = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
    code = f"{code}-{torch.__version__.split('+')[0]}-{onnxruntime.__version__}"
    landmarks = f"tuned-{weights_sha256[:12]}" if net.is_tuned else "landmarks"
    exports: dict[str, Callable[[], bytes]] = {
        landmarks: lambda: export_landmark_net(net),
        f"lifter-{weights_sha256[:12]}": lambda: export_lifter(network),
    }
    contents = []
    for name, export in exports.items():
        path = directory / f"{name}-{code}.onnx"
        if not anew and path.is_file():
            contents.append(path.read_bytes())
            continue
        contents.append(_optimised(export()))
        _keep(path, contents[-1], f"{name}-*.onnx")
    return ExportedNetworks(*contents)


def feature_names(levels: int) -> list[str]:
    """Return the names of the feature levels in the ONNX files, finest first."""
    return [f"feature_{level}" for level in range(levels)]


def _lifter_outputs(network: PandaPose) -> tuple[str, ...]:
    """Return the names of the lifter's outputs."""
    return LIFTER_OUTPUTS if network.depth_net is None else (*LIFTER_OUTPUTS, DEPTH_OUTPUT)


def _keypoints(network: PandaPose) -> Tensor:
    """Return keypoints somewhere in the crop."""
    joints = len(network.skeleton.joint_names)
    return torch.rand(_TRACED_PEOPLE, joints, 2) * network.config.crop_width


def _export(net: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> bytes:
    """Trace a network into ONNX, with the number of people left open.

    The exporter by `torch.export` does the same in ten times the time, too long for a start.
    """
    content = io.BytesIO()
    names = (*inputs, *outputs)
    options: dict[str, Any] = {
        "input_names": list(inputs),
        "output_names": list(outputs),
        "dynamic_axes": {name: {0: "people"} for name in names},
    }
    net.eval()  # else the exporter leaves all of it in training mode
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operation
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of shapes taken for constant, which they are, and of a newer exporter.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                tuple(inputs.values()),
                content,  # type: ignore[arg-type]  # the exporter by tracing takes streams
                dynamo=False,
                opset_version=OPSET,
                **options,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
    return content.getvalue()


def _optimised(content: bytes) -> bytes:
    """Have ONNX Runtime simplify a network once instead of at every start.

    It computes the same, on any CPU: what depends on the CPU is done when the network is opened.
    Where no file can be written it stays as it is.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            options.optimized_model_filepath = str(path)
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            return path.read_bytes()
    except Exception:  # ONNX Runtime's have no type of their own in common
        return content


def _keep(path: Path, content: bytes, older: str) -> None:
    """Write a file at once and remove those that it replaces; do nothing where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_shared(path, content)
        for other in path.parent.glob(older):
            if other != path:
                other.unlink()
    except OSError:
        return
