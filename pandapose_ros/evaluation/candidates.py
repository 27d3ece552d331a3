"""The networks that are compared: loaded by their files; lifting with mirror and noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pandapose_ros.checkpoint import check_hrnet, load_weights, read_config
from pandapose_ros.config import EvaluationConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.evaluation.views import Views
from pandapose_ros.landmark_weights import backbone_sha256, open_landmark_net
from pandapose_ros.lifting import lift
from pandapose_ros.model.anchors import AnchorKind
from pandapose_ros.model.hrnet import HRNet, load_coco_weights
from pandapose_ros.model.pandapose import PandaPose, PandaPoseOutput
from pandapose_ros.people.landmarks import Person
from pandapose_ros.skeleton import mirror_joints, mirror_keypoints

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Candidate:
    """Hold one network.

    Attributes:
        name: What it is called in results.
        net: In evaluation mode.
        weights_sha256: Of its file.
        path: Of its file, which may hold a fine-tuned landmark net.
    """

    name: str
    net: PandaPose
    weights_sha256: str
    path: Path


class Estimates:
    """Collect the results of one network on a data set, view after view.

    Args:
        net: In evaluation mode.
        config: Noise, votes counted, seed.
        flip_test: Average with what the mirrored crop gives.
        noise: Lift with noise too.

    Attributes:
        joints: One [B, 17, 3] per batch, metres, the crop's axes.
        noisy_joints: The same by noise [px].
    """

    def __init__(
        self, net: PandaPose, config: EvaluationConfig, *, flip_test: bool, noise: bool
    ) -> None:
        self._net = net
        self._config = config
        self._flip_test = flip_test
        self.joints: list[Array] = []
        self.noisy_joints: dict[float, list[Array]] = {
            level: [] for level in (config.noise_px if noise else ())
        }
        self._offsets: dict[str, list[float]] = {}

    def add(self, views: Views) -> None:
        """Lift some people."""
        output, joints = self._lift(views, views.keypoints)
        self.joints.append(joints)
        for kind, sums in top_vote_offsets(output, self._config.top_votes).items():
            total = self._offsets.setdefault(kind, [0.0, 0.0])
            total[0] += sums[0]
            total[1] += sums[1]
        for level, collected in self.noisy_joints.items():
            # The same draws at every level and for every network, so that only these differ.
            rng = np.random.default_rng((self._config.seed, int(views.indices[0])))
            noise = rng.normal(size=views.keypoints.shape) * level
            collected.append(self._lift(views, views.keypoints + noise)[1])

    def anchor_offsets_mm(self) -> dict[str, float]:
        """Return the mean length of the top votes' offsets by kind of anchor, millimetres."""
        return {kind: round(s / n * 1000, 2) for kind, (s, n) in self._offsets.items() if n}

    def _lift(self, views: Views, keypoints: Array) -> tuple[PandaPoseOutput, Array]:
        """Lift keypoints [B, 17, 2]; return what came of the crops as they are, and the joints."""
        net, points = self._net, keypoints.astype(np.float32)
        device = next(net.parameters()).device
        with torch.inference_mode():
            output = net.lift(views.features, torch.from_numpy(points).to(device))
            joints = output.joints.float().cpu().numpy()
            if views.people is not None:
                return output, _of_all_crops(net, views.people)
            if not self._flip_test:
                return output, joints
            turned = torch.from_numpy(mirror_keypoints(points, net.config.crop_width)).to(device)
            other = net.lift(views.mirrored_features, turned).joints.float().cpu().numpy()
        return output, (joints + mirror_joints(other)) / 2


def _of_all_crops(net: PandaPose, people: Sequence[Person]) -> Array:
    """Return the joints [B, 17, 3] of people seen in several crops, the first crop's axes."""
    lifted = zip(people, lift(net, people), strict=True)
    return np.stack([each.joints @ person.image_from_crop_rotation for person, each in lifted])


def top_vote_offsets(output: PandaPoseOutput, votes: int) -> dict[str, tuple[float, float]]:
    """Measure how far the anchors that count most are from the joints they vote for.

    Args:
        output: Of B people.
        votes: How many anchors of each joint count.

    Returns:
        Sum of the lengths of their offsets, metres, and the number of them, for "all" anchors,
        "local" and "global" ones, of each kind that there is.

    Source:
        Section 1 (the 50 weightest anchors: 69.7 mm with adaptive anchors, 154.6 mm with fixed
        ones). Our choice: the 50 of each joint, or all if there are fewer, unweighted; the offset
        is the predicted one.
    """
    kinds = output.anchor_kinds
    chosen = {
        "all": torch.ones_like(kinds, dtype=torch.bool),
        "local": kinds == AnchorKind.LOCAL,
        "global": kinds == AnchorKind.GLOBAL,
    }
    lengths = output.offsets.norm(dim=-1)
    return {
        kind: _sum_of_top(lengths[:, mask], output.weights[:, mask], votes)
        for kind, mask in chosen.items()
        if mask.any()
    }


def _sum_of_top(lengths: Tensor, weights: Tensor, votes: int) -> tuple[float, float]:
    """Return the sum and number of the lengths [B, A, J] with the greatest weights."""
    top = weights.topk(min(votes, weights.shape[1]), dim=1).indices
    picked = lengths.gather(1, top)
    return float(picked.double().sum()), float(picked.numel())


def load_candidates(
    named: Sequence[tuple[str, Path]], device: torch.device
) -> tuple[Candidate, ...]:
    """Load networks, each with the configuration that its file says.

    Args:
        named: Name and file of weights of each.
        device: To run on.

    Returns:
        Networks without their backbone, which is shared.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is no file of weights, or two networks are called the same or look
            through different backbones.
    """
    candidates = []
    for name, path in named:
        net = PandaPose(read_config(path), nn.Identity())
        load_weights(path, net)
        candidates.append(Candidate(name, net.to(device).eval(), file_sha256(path), path))
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        raise ValueError(f"expected networks of different names, got {names}; give NAME=FILE")
    looks = {
        (c.net.config.backbone, c.net.config.crop_width, c.net.config.crop_height)
        for c in candidates
    }
    tuned = {backbone_sha256(c.path) for c in candidates}
    if len(looks) > 1 or len(tuned) > 1:
        raise ValueError(
            f"expected networks with one backbone and crop, got {sorted(looks)} with {len(tuned)} "
            "different weights of the backbone; run them apart, "
            "with --challenging-out and --challenging-in for the same subset"
        )
    return tuple(candidates)


def open_backbone(candidates: Sequence[Candidate], coco_weights: Path | None) -> nn.Module:
    """Build the backbone that all networks share.

    Args:
        candidates: As `load_candidates` returns them.
        coco_weights: For networks on HRNet, its COCO file.

    Returns:
        The backbone in evaluation mode, without gradients.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If networks on HRNet get no file, or another than they were trained with.
    """
    config = candidates[0].net.config
    if config.backbone == "blazepose":
        return open_landmark_net(candidates[0].path)
    if coco_weights is None:
        raise ValueError(f"networks on {config.backbone} need its COCO file: --backbone-weights")
    for candidate in candidates:
        check_hrnet(candidate.path, coco_weights)
    net = HRNet(width=config.level_channels[0])
    load_coco_weights(net, coco_weights)
    return net.requires_grad_(False).eval()
