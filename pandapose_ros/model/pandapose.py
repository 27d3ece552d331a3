"""PandaPose: from an image and a 2D pose to a 3D pose, by votes of 3D anchors.

`forward` is the paper's figure 2: backbone, anchors, joint-wise depth, 2D-prior sampling,
decoder, ensemble.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.anchors import Anchors, on_root_plane
from pandapose_ros.model.blazepose import BlazePose, LandmarkOutput
from pandapose_ros.model.decoder import DecoderLayer, ImageMemory
from pandapose_ros.model.depth import DepthNet, DepthOutput
from pandapose_ros.model.ensemble import RegressionHeads, VoteHeads
from pandapose_ros.model.feedforward import Perceptron
from pandapose_ros.model.hrnet import HRNet, HRNetOutput
from pandapose_ros.model.levels import LevelProjections
from pandapose_ros.model.precision import finite_place, full_precision
from pandapose_ros.model.tokens import sample_tokens
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.skeleton import H36M_17

BACKBONE_PREFIX = "backbone."


@dataclass(frozen=True)
class PandaPoseOutput:
    """Hold the joints and every intermediate result that leads to them.

    Frame of all 3D: root-relative, axes of the crop's camera (x right, y down, z forward), metres.

    Attributes:
        joints: [B, J, 3].
        anchors: [B, A, 3]; A = 0 if joints are regressed without anchors.
        anchor_kinds: AnchorKind of each anchor [A]: LOCAL 0, GLOBAL 1.
        anchor_joints: Joint to which a local anchor belongs [A]; -1 for a global one.
        offsets: From each anchor to each joint [B, A, J, 3].
        weights: Vote weights [B, A, J] in [0, 1]; they sum to 1 over the anchors.
        depth_probabilities: [B, J, D, h, w], softmax over the bins D, which divide [-depth_range,
            depth_range] equally; h x w pixels of the depth level. None without an image or if
            features are not lifted.
        depth_logits: The same before the softmax; None if depth is regressed.
        depth_values: Depth [B, J, h, w], metres, root-relative, if it is regressed; else None.
        layer_joints: Joints after each decoder layer [B, J, 3], the last being `joints`. All
            layers in training mode, for deep supervision (the paper mentions none; without it,
            which is the default, the earlier heads are not trained); else only the last.
    """

    joints: Tensor
    anchors: Tensor
    anchor_kinds: Tensor
    anchor_joints: Tensor
    offsets: Tensor
    weights: Tensor
    depth_probabilities: Tensor | None
    depth_logits: Tensor | None
    depth_values: Tensor | None
    layer_joints: list[Tensor]


class PandaPose(nn.Module):
    """Lift a person in a crop to 3D.

    The backbone is frozen: no gradients, always in evaluation mode. An HRNet that is built here
    has random weights until `hrnet.load_coco_weights` fills it. All other parameters are
    the lifter: 15.229 M in the paper's configuration, 12.711 M with two decoder layers. Training
    with images needs batches of two or more, as the depth net normalises over the batch.

    Args:
        config: Which network to build.
        backbone: The network that gives the feature levels; None: the one that `config` names.

    Attributes:
        config: As given.
        skeleton: Names and order of the joints.
        backbone: The frozen network that gives the feature levels.

    Source:
        Zheng et al., PandaPose (NeurIPS 2025, arXiv 2602.01095). Each part, and ModelConfig, says
        what the paper leaves open.
        Our choice here: the 2D pose is normalised in the crop; a query is a learned content per
        anchor, and a perceptron encodes the anchor's position; anchors keep their positions from
        layer to layer, as in A2J-Transformer (arXiv 2304.03635), and gradients flow through them.
    """

    def __init__(self, config: ModelConfig, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.skeleton = H36M_17
        joints = len(self.skeleton.joint_names)
        backbone = _build_backbone(config) if backbone is None else backbone
        self.backbone = backbone.requires_grad_(False).eval()
        self.level_projections = LevelProjections(config)
        self.anchors = Anchors(config, joints)
        self.depth_net = None if config.lifting == "none" else DepthNet(config, joints)
        regressed = config.anchors == "none"
        self.queries = nn.Embedding(joints if regressed else self.anchors.count, config.width)
        is_learned = regressed and config.joint_places == "learned"
        self.joint_places = nn.Parameter(torch.zeros(joints, 3)) if is_learned else None
        self.position_code = Perceptron(3, config.width, config.width, layers=2)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.heads = nn.ModuleList(
            RegressionHeads(config) if regressed else VoteHeads(config, joints)
            for _ in range(config.layers)
        )

    def forward(self, crops: Tensor, keypoints: Tensor | None = None) -> PandaPoseOutput:
        """Lift the person in each crop.

        Args:
            crops: [B, 3, H, W], RGB in [0, 1].
            keypoints: [B, J, 2], crop pixels; None: the backbone's own.

        Returns:
            The joints [B, J, 3], and all that led to them.

        Raises:
            ValueError: If a shape is wrong, or keypoints are None and the backbone gives none.
        """
        seen = self.backbone(crops)
        if keypoints is None:
            keypoints = self.own_keypoints(seen)
        return self.lift(seen.features, keypoints)

    def lift(self, features: list[Tensor] | None, keypoints: Tensor) -> PandaPoseOutput:
        """Lift a 2D pose.

        Args:
            features: The backbone's list of L tensors [B, C_l, H_l, W_l], finest first; None:
                there is no image, and the branches that read it are skipped.
            keypoints: [B, J, 2], crop pixels, finite; they may be outside the crop.

        Returns:
            The joints [B, J, 3], and all that led to them; no depth without features.

        Raises:
            ValueError: If a shape is wrong.
        """
        self._check(features, keypoints)
        keypoints = pixel_to_grid(keypoints, self.config.crop_width, self.config.crop_height)
        with full_precision(keypoints.device):
            anchors = self.anchors(keypoints)  # [B, A, 3]
        anchors_m = self.anchors.to_metres(anchors)
        depth, memory = (None, None) if features is None else self._look(features, keypoints)

        reference = self._places(anchors, keypoints)
        queries = self.queries.weight.expand(anchors.shape[0], -1, -1)
        with full_precision(keypoints.device):  # of places
            positions = self.position_code(reference)
        votes = []
        for layer, head in zip(self.layers, self.heads, strict=True):
            queries = layer(queries, positions, reference, memory)
            if self.training or head is self.heads[-1]:
                with full_precision(keypoints.device):
                    votes.append(head(queries, anchors_m))

        return PandaPoseOutput(
            joints=votes[-1].joints,
            anchors=anchors_m,
            anchor_kinds=self.anchors.kinds,
            anchor_joints=self.anchors.owners,
            offsets=votes[-1].offsets,
            weights=votes[-1].weights,
            depth_probabilities=None if depth is None else depth.probabilities,
            depth_logits=None if depth is None else depth.logits,
            depth_values=None if depth is None else depth.values,
            layer_joints=[vote.joints for vote in votes],
        )

    def _places(self, anchors: Tensor, keypoints: Tensor) -> Tensor:
        """Return the queries' reference points [B, Q, 3]: the anchors or, without any, joints."""
        if self.anchors.count:
            return anchors
        if self.joint_places is None:
            return on_root_plane(keypoints)
        # Not len(): the export would take it for a constant.
        return self.joint_places.expand(keypoints.shape[0], -1, -1)

    def _look(
        self, features: list[Tensor], keypoints: Tensor
    ) -> tuple[DepthOutput | None, ImageMemory]:
        """Estimate depth and sample the pixels around the keypoints."""
        config = self.config
        depth = None
        if self.depth_net is not None:
            depth = self.depth_net(features[config.depth_level])
        windowed = features[: 0 if config.sampling == "all" else config.windowed_levels]
        sides = [max(1, round(int(level.shape[2]) * config.window_fraction)) for level in windowed]
        generator = None
        if config.sampling == "random":  # evaluated twice, the same pixels
            generator = torch.Generator(keypoints.device)
            generator.manual_seed(int(torch.randint(2**31, ())) if self.training else 0)
        flat = keypoints.new_ones(*keypoints.shape[:2], 1, 1, 1)
        probabilities = flat if depth is None else depth.probabilities
        project = self.level_projections
        tokens = sample_tokens(features, probabilities, keypoints, sides, generator, project)
        return depth, ImageMemory(None if depth is None else depth.embedding, tokens)

    def train(self, mode: bool = True) -> "PandaPose":
        """Set training mode of the lifter; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def lifter_state_dict(self) -> dict[str, Tensor]:
        """Return the state of everything but the backbone."""
        state = self.state_dict()
        return {k: value for k, value in state.items() if not k.startswith(BACKBONE_PREFIX)}

    def load_lifter_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `lifter_state_dict` gave.

        Args:
            state: One tensor for every key, no other keys.

        Raises:
            ValueError: If keys or shapes differ; the message names them.
        """
        own = self.lifter_state_dict()
        missing = sorted(own.keys() - state.keys())
        unexpected = sorted(state.keys() - own.keys())
        reshaped = [
            f"{key}: expected {list(own[key].shape)}, got {list(state[key].shape)}"
            for key in sorted(own.keys() & state.keys())
            if own[key].shape != state[key].shape
        ]
        if missing or unexpected or reshaped:
            raise ValueError(
                f"weights do not fit the network: missing {missing}, unexpected {unexpected}, "
                f"of another shape {reshaped}"
            )
        self.load_state_dict(dict(state), strict=False)

    def own_keypoints(self, seen: HRNetOutput | LandmarkOutput) -> Tensor:
        """Return the backbone's own keypoints [B, J, 2], crop pixels.

        Raises:
            ValueError: If the backbone gives none.
        """
        if not isinstance(seen, LandmarkOutput):
            raise ValueError(
                f"the backbone {self.config.backbone} sees no keypoints; pass keypoints [B, J, 2]"
            )
        return finite_place(seen.keypoints_px)

    def _check(self, features: list[Tensor] | None, keypoints: Tensor) -> None:
        """Raise ValueError if the shapes are not those of the configuration."""
        joints = len(self.skeleton.joint_names)
        if keypoints.ndim != 3 or keypoints.shape[1:] != (joints, 2):
            raise ValueError(f"expected keypoints [B, {joints}, 2], got {list(keypoints.shape)}")
        if features is None:
            return
        config = self.config
        expected = [
            [
                keypoints.shape[0],
                channels,
                config.crop_height // stride,
                config.crop_width // stride,
            ]
            for channels, stride in zip(config.level_channels, config.level_strides, strict=True)
        ]
        got = [list(level.shape) for level in features]
        if got != expected:
            raise ValueError(f"expected feature levels {expected}, got {got}")


def _build_backbone(config: ModelConfig) -> nn.Module:
    """Build the backbone that the configuration names."""
    if config.backbone == "blazepose":
        return BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    return HRNet(width=config.level_channels[0])
