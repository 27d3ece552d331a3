"""BlazePose's landmark net in PyTorch: one pass gives a person's 2D pose and feature pyramid.

Crop of one person in; 39 landmarks, their visibilities, a presence score, world landmarks, 17
keypoints and three feature maps of 48 channels out.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from pandapose_ros.model.landmark_graph import graph_to_text
from pandapose_ros.model.precision import full_precision
from pandapose_ros.model.refiner import KeypointRefiner
from pandapose_ros.model.tflite_graph import TfliteGraph, parse_tflite
from pandapose_ros.model.tflite_modules import (
    EXPECTED_FILE,
    module_of,
    symmetric_padding,
    widens_channels,
)
from pandapose_ros.model.verifier import PresenceVerifier
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_TURNS,
    H36M_17,
    H36M_17_FROM_BLAZEPOSE,
)

CROP_SIZE = 256
FEATURE_CHANNELS = 48
FEATURE_SIZES = (64, 32, 16)
LANDMARKS = 39  # 33 of the body, 2 that give the region, 4 whose visibilities give the rotation
TURN_OUTPUTS = tuple(5 * i + 3 for i in range(LANDMARKS)[BLAZEPOSE_TURNS])  # of `landmark_head`

_SURE = 10.0  # logit


@dataclass(frozen=True)
class LandmarkOutput:
    """Hold what the landmark net says about B crops.

    Attributes:
        features: Feature maps [B, 48, 64, 64], [B, 48, 32, 32], [B, 48, 16, 16].
        landmarks_px: [B, 39, 2], crop pixels, the centre of the top-left pixel at (0, 0). The
            first 33 are BlazePose's body landmarks; 33 is the hip centre, and 34 lies on the
            circle round the whole body.
        visibilities: [B, 39] in [0, 1]; the last four are those of turns (`BLAZEPOSE_TURNS`).
        presences: [B] in [0, 1], the confidence that the crop shows a person, however rotated.
        verifications: [B] in [0, 1], the confidence that the keypoints are a person's; 1 if the
            net has no verifier.
        world_landmarks: [B, 39, 3], metres, origin between the hips, the crop's axes (x right,
            y down, z away from the camera).
        keypoints_px: [B, 17, 2], H36M-17, crop pixels: weighted sums of landmarks, refined if the
            net has a refiner.
    """

    features: list[Tensor]
    landmarks_px: Tensor
    visibilities: Tensor
    presences: Tensor
    verifications: Tensor
    world_landmarks: Tensor
    keypoints_px: Tensor


# All but the list of features, in the order of the fields.
LANDMARK_OUTPUTS = tuple(item.name for item in fields(LandmarkOutput) if item.name != "features")


class BlazePose(nn.Module):
    """Find a person's landmarks in a crop, with the weights of MediaPipe's landmark net.

    The net is frozen: no parameter has a gradient, and `train()` leaves it in evaluation mode. Its
    segmentation and heat-map heads are left out.

    Args:
        source: The bytes of `pose_landmark_full.tflite` or `pose_landmark_heavy.tflite`; or a
            graph to load weights into.

    Attributes:
        graph_text: The graph without weights, as `graph_from_text` reads it.
        early_steps: How many steps lead to the last block of stride 8.
        is_tuned: Whether its weights differ from those of MediaPipe's file.
        refiner: Refines the keypoints, if there is one.
        verifier: Verifies that the keypoints are a person's, if there is one.

    Raises:
        ValueError: If the bytes are another network, or contain an unknown operation.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204); graph and weights from MediaPipe 0.10.21.
    """

    keypoints_from_landmarks: Tensor

    def __init__(self, source: bytes | TfliteGraph) -> None:
        super().__init__()
        graph = source if isinstance(source, TfliteGraph) else parse_tflite(source)
        self.graph_text = graph_to_text(graph)
        self._input = graph.inputs[0]
        self._features = _feature_tensors(graph)
        self._heads = _head_tensors(graph)
        paddings: dict[int, tuple[int, int]] = {}
        steps: list[nn.Module] = []
        self._wiring: list[tuple[tuple[int, ...], int]] = []
        for operation in graph.needed_for((*self._features, *self._heads)):
            sources = operation.inputs
            if operation.kind == "PAD" and not widens_channels(operation):
                paddings[operation.output] = (sources[0], symmetric_padding(operation))
                continue
            padding = 0
            if sources[0] in paddings:
                padded, padding = paddings[sources[0]]
                sources = (padded,)
            steps.append(module_of(operation, graph, padding))
            self._wiring.append((sources, operation.output))
        self.steps = nn.ModuleList(steps)
        self.early_steps = _early_steps(graph, self._wiring)
        self.is_tuned = False
        self.refiner: KeypointRefiner | None = None
        self.verifier: PresenceVerifier | None = None
        matrix = torch.tensor(H36M_17_FROM_BLAZEPOSE)
        self.register_buffer("keypoints_from_landmarks", matrix, persistent=False)
        self._exact = self._steps_of_heads()
        self.requires_grad_(False)
        self.call_everybody_upright()
        self.eval()

    @property
    def device(self) -> torch.device:
        """The device of the weights, on which the crops have to be."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> "BlazePose":
        """Stay in eval mode, whatever the network around this one does."""
        del mode
        return super().train(False)

    def forward(self, crops: Tensor) -> LandmarkOutput:
        """Find the landmarks.

        Args:
            crops: [B, 3, 256, 256], RGB in [0, 1], each filled by one person's region.

        Returns:
            Landmarks and features.

        Raises:
            ValueError: If the crops have another shape.
        """
        return self.finish(self.begin(crops, len(self.steps)), len(self.steps))

    def add_refiner(self) -> KeypointRefiner:
        """Add and return a refiner of keypoints, with random weights."""
        joints = len(H36M_17.joint_names)
        refiner = KeypointRefiner(joints, FEATURE_CHANNELS, CROP_SIZE, FEATURE_SIZES)
        self.refiner = refiner.requires_grad_(False).to(self.device).eval()
        return self.refiner

    def add_verifier(self) -> PresenceVerifier:
        """Add and return a verifier of keypoints, with random weights."""
        channels = FEATURE_CHANNELS * len(FEATURE_SIZES)
        verifier = PresenceVerifier(len(H36M_17.joint_names), channels, CROP_SIZE)
        self.verifier = verifier.requires_grad_(False).to(self.device).eval()
        return self.verifier

    def landmark_head(self) -> nn.Conv2d:
        """Return the convolution that gives the landmarks.

        Five outputs each: u, v, depth, visibility, and one that is not used here.
        """
        return self._head(5 * LANDMARKS)

    def presence_head(self) -> nn.Conv2d:
        """Return the convolution that gives the logit of the presence."""
        return self._head(1)

    def _head(self, outputs: int) -> nn.Conv2d:
        """Return the only convolution with this many outputs, not counting the refiner's."""
        layers = [layer for layer in self.steps.modules() if isinstance(layer, nn.Conv2d)]
        (head,) = (layer for layer in layers if layer.out_channels == outputs)
        return head

    def call_everybody_upright(self) -> None:
        """Make the visibilities of turns say that everybody is upright, whatever the image."""
        weight, bias = self.landmark_head().parameters()
        with torch.no_grad():
            weight[list(TURN_OUTPUTS)] = 0.0
            bias[list(TURN_OUTPUTS)] = torch.tensor([_SURE, -_SURE, -_SURE, -_SURE])

    def begin(self, crops: Tensor, count: int) -> dict[int, Tensor]:
        """Run the first steps.

        Args:
            crops: As for `forward`.
            count: How many steps.

        Returns:
            The tensors that these steps gave, for `finish`.

        Raises:
            ValueError: If the crops have another shape.
        """
        if crops.shape[1:] != (3, CROP_SIZE, CROP_SIZE):
            raise ValueError(
                f"expected crops [B, 3, {CROP_SIZE}, {CROP_SIZE}], got {list(crops.shape)}"
            )
        tensors = {self._input: crops.contiguous(memory_format=torch.channels_last)}
        return self._take(tensors, range(count))

    def finish(self, tensors: dict[int, Tensor], count: int) -> LandmarkOutput:
        """Run the steps that remain after the first `count`; return what `forward` does.

        Args:
            tensors: What `begin` returned; not changed.
            count: As given to `begin`.
        """
        tensors = self._take(dict(tensors), range(count, len(self.steps)))
        landmarks, presences, world = (tensors[head].flatten(1).float() for head in self._heads)
        landmarks = landmarks.unflatten(1, (LANDMARKS, 5))  # u, v, depth, two logits
        features = [tensors[feature] for feature in self._features]
        # The file's origin is the crop's edge; here it is the centre of the first pixel.
        landmarks_px = landmarks[..., :2] - 0.5
        with full_precision(landmarks.device):
            keypoints = self.keypoints_from_landmarks @ landmarks_px[:, :BLAZEPOSE_LANDMARKS]
        if self.refiner is not None:
            keypoints = self.refiner(features, keypoints)
        presences = presences.squeeze(1)
        verifications = torch.ones_like(presences)
        if self.verifier is not None:
            # Detached: the refiner is not trained to raise this score.
            verifications = self.verifier(features, keypoints.detach())
        return LandmarkOutput(
            features=features,
            landmarks_px=landmarks_px,
            visibilities=landmarks[..., 3].sigmoid(),
            presences=presences,
            verifications=verifications,
            world_landmarks=world.unflatten(1, (LANDMARKS, 3)),
            keypoints_px=keypoints,
        )

    def _take(self, tensors: dict[int, Tensor], numbers: range) -> dict[int, Tensor]:
        """Run some steps, adding their results to the tensors."""
        for number in numbers:
            step, (sources, output) = self.steps[number], self._wiring[number]
            inputs = [tensors[source] for source in sources]
            if number not in self._exact:
                tensors[output] = step(*inputs)
                continue
            with full_precision(inputs[0].device):  # else landmarks are a tenth of a pixel off
                tensors[output] = step(*(each.float() for each in inputs))
        return tensors

    def _steps_of_heads(self) -> frozenset[int]:
        """Return the steps that do not contribute to the features."""
        needed = set(self._features)
        for sources, output in reversed(self._wiring):
            if output in needed:
                needed.update(sources)
        return frozenset(
            number for number, (_, output) in enumerate(self._wiring) if output not in needed
        )


def _early_steps(graph: TfliteGraph, wiring: list[tuple[tuple[int, ...], int]]) -> int:
    """Count the steps up to the last sum before there is a map of stride 16."""
    early = 0
    for number, (sources, output) in enumerate(wiring):
        if graph.shapes[output][1] == FEATURE_SIZES[2]:
            break
        if len(sources) > 1:
            early = number + 1
    return early


def _feature_tensors(graph: TfliteGraph) -> tuple[int, ...]:
    """Find the decoder's maps: sums of an upsampled map and a skip, of 48 channels each."""
    upsampled = {op.output for op in graph.operations if op.kind == "RESIZE_BILINEAR"}
    found = {
        graph.shapes[op.output]: op.output
        for op in graph.operations
        if op.kind == "ADD" and upsampled & set(op.inputs)
    }
    return _by_shape(found, [(1, size, size, FEATURE_CHANNELS) for size in FEATURE_SIZES])


def _head_tensors(graph: TfliteGraph) -> tuple[int, ...]:
    """Find the results: landmarks, presence and world landmarks."""
    found = {graph.shapes[output]: output for output in graph.outputs}
    return _by_shape(found, [(1, 5 * LANDMARKS), (1, 1), (1, 3 * LANDMARKS)])


def _by_shape(found: dict[tuple[int, ...], int], shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the tensors of these shapes."""
    if missing := [shape for shape in shapes if shape not in found]:
        raise ValueError(f"no tensors of shape {missing}: {EXPECTED_FILE}")
    return tuple(found[shape] for shape in shapes)
