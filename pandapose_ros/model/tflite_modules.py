"""PyTorch modules that compute what the operations of BlazePose's TFLite graph do."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pandapose_ros.model.tflite_graph import Operation, TfliteGraph

EXPECTED_FILE = "expected MediaPipe's pose_landmark_full.tflite or pose_landmark_heavy.tflite"

# Padding and ActivationFunctionType of the TFLite schema.
_SAME = 0
_LINEAR = 0
_RELU6 = 3


class _Sum(nn.Module):
    """The sum of two maps."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class _RectifiedSum(nn.Module):
    """The sum of two maps, kept to [0, 6]."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return functional.relu6(first + second, inplace=True)


class _WiderMap(nn.Module):
    """A map with channels of zeros behind its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, narrow: Tensor) -> Tensor:
        # Not len(): the export would take it for a constant.
        more = narrow.new_zeros(narrow.shape[0], self.channels, *narrow.shape[2:])
        return torch.cat((narrow, more), dim=1)  # pad would change the order in memory


def module_of(operation: Operation, graph: TfliteGraph, padding: int) -> nn.Module:
    """Build the module of one operation; `padding` is what a PAD before it has asked for."""
    if operation.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return _convolution(operation, graph, padding)
    module = _unpadded(operation, graph.shapes[operation.output]) if padding == 0 else None
    if module is None:
        raise ValueError(
            f"operation {operation.kind} {operation.options} is not known: {EXPECTED_FILE}"
        )
    return module


def _unpadded(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Build the module of an operation that nothing was padded for; None: it is not known."""
    options, module = operation.options, None
    match operation.kind:
        case "ADD":
            module = _RectifiedSum() if _is_rectified(operation) else _Sum()
        case "RESIZE_BILINEAR" if options["halfPixelCenters"]:
            module = nn.Upsample(size=shape[1:3], mode="bilinear", align_corners=False)
        case "MAX_POOL_2D":
            module = nn.MaxPool2d(
                (options["filterHeight"], options["filterWidth"]),
                (options["strideH"], options["strideW"]),
            )
        case "PAD":
            module = _WiderMap(_more_channels(operation))
        case "LOGISTIC":
            module = nn.Sigmoid()
        case "RESHAPE" if len(shape) == 2:
            module = nn.Flatten()  # of maps of 1x1, so the order of their axes does not matter
    return module


def _convolution(operation: Operation, graph: TfliteGraph, padding: int) -> nn.Module:
    """Build a convolution with its padding and activation."""
    options, stride = operation.options, operation.options["strideH"]
    if {options["dilationHFactor"], options["dilationWFactor"]} != {1}:
        raise ValueError(f"dilation in {operation.kind} is not known: {EXPECTED_FILE}")
    # Stored as [out, h, w, in], depthwise as [1, h, w, out].
    stored, bias = (torch.from_numpy(array.copy()) for array in operation.constants)
    depthwise = operation.kind == "DEPTHWISE_CONV_2D"
    weight = stored.permute(3, 0, 1, 2) if depthwise else stored.permute(0, 3, 1, 2)
    outputs, inputs, height, width = weight.shape
    before = after = padding
    if options["padding"] == _SAME:
        size, result = graph.shapes[operation.inputs[0]][1], graph.shapes[operation.output][1]
        total = max((result - 1) * stride + height - size, 0)
        before, after = before + total // 2, after + total - total // 2
    convolution = nn.Conv2d(
        inputs * outputs if depthwise else inputs,
        outputs,
        (height, width),
        (stride, options["strideW"]),
        padding=before if before == after else 0,
        groups=outputs if depthwise else 1,
    )
    convolution.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
    convolution.bias = nn.Parameter(bias)
    parts: list[nn.Module] = [convolution]
    if before != after:  # a stride that leaves one row and column over
        parts.insert(0, nn.ZeroPad2d((before, after, before, after)))
    if _is_rectified(operation):
        parts.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*parts)


def _is_rectified(operation: Operation) -> bool:
    """Return whether an operation ends in the one activation that the net has."""
    activation = operation.options["fusedActivationFunction"]
    if activation not in (_LINEAR, _RELU6):
        raise ValueError(
            f"activation {activation} of {operation.kind} is not known: {EXPECTED_FILE}"
        )
    return activation == _RELU6


def _more_channels(operation: Operation) -> int:
    """Return how many channels a PAD adds, behind those that are there and nowhere else."""
    pads = operation.constants[0]
    if pads[:3].any() or pads[3, 0]:
        raise ValueError(f"padding by {pads.tolist()} is not known: {EXPECTED_FILE}")
    return int(pads[3, 1])


def widens_channels(operation: Operation) -> bool:
    """Return whether an operation is a PAD of channels, not of rows and columns."""
    return operation.kind == "PAD" and bool(operation.constants[0][3].any())


def symmetric_padding(operation: Operation) -> int:
    """Return how far a PAD widens rows and columns, all four sides alike."""
    pads = operation.constants[0]  # [4, 2]: before and after, per axis of NHWC
    if pads[[0, 3]].any() or len(np.unique(pads[1:3])) != 1:
        raise ValueError(f"padding by {pads.tolist()} is not known: {EXPECTED_FILE}")
    return int(pads[1, 0])
