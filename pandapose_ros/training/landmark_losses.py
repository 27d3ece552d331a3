"""The losses by which the landmark net is fine-tuned, on people whose joints are known.

What is known of a rendered person (17 joints in 2D and 3D, the region, whether anybody is there)
is learnt from the ground truth. The rest (fingers, toes, face, visibilities) is kept as in the
original net, moved along with the joint that it belongs to.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.blazepose import (
    CROP_SIZE,
    FEATURE_CHANNELS,
    FEATURE_SIZES,
    LandmarkOutput,
)
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_REGION_CENTRE,
    BLAZEPOSE_REGION_CIRCLE,
    BLAZEPOSE_TO_H36M_17,
    BLAZEPOSE_TURNS,
    H36M_17,
    H36M_17_FROM_BLAZEPOSE,
)

KEPT_EVERY = 4  # the net of before is asked about every fourth crop

# Pelvis, spine and thorax are sums of hips and shoulders, which have truths of their own.
_NOT_SUMS = tuple(
    joint
    for joint, name in enumerate(H36M_17.joint_names)
    if name not in ("pelvis", "spine", "thorax")
)
_PX = 1 / 32  # weight of a pixel
_REACH = 0.5  # of the crop's side: joints farther out than this are not asked for
_HEAT_WEIGHT = 0.05
_DEPTH_WEIGHT = 1.0
_JOINT_WEIGHT = 4.0  # of a metre
_SCORE_WEIGHT = 0.2
_TURN_WEIGHT = 1.0
_VISIBILITY_WEIGHT = 2.0  # less, and covered joints come to be called visible


class LandmarkLosses(NamedTuple):
    """Hold the loss of a batch and its parts, scalars.

    Attributes:
        total: Weighted sum.
        keypoints_px: Mean distance of the keypoints, pixels of the crop.
        joints_m: Mean distance of the net's own 3D joints, metres.
        kept: How far the rest has moved from what it was, weighted.
    """

    total: Tensor
    keypoints_px: Tensor
    joints_m: Tensor
    kept: Tensor


class FeatureProbes(nn.Module):
    """Read keypoints and depths from the feature maps, so that these learn to contain them.

    Only for training: the lifter reads the maps, which the net's own landmarks do not depend on.
    """

    def __init__(self) -> None:
        super().__init__()
        joints = len(H36M_17.joint_names)
        self.heat = nn.ModuleList(
            nn.Conv2d(FEATURE_CHANNELS, joints, 1) for _ in FEATURE_SIZES[:2]
        )
        self.depth = nn.Conv2d(FEATURE_CHANNELS, joints, 1)

    def forward(self, features: list[Tensor], batch: LandmarkCrops) -> Tensor:
        """Return the loss of keypoints and depths read from the maps of a batch."""
        grid = pixel_to_grid(batch.keypoints, CROP_SIZE, CROP_SIZE)
        inside = (grid.abs() < 1).all(dim=-1) & (_asked(batch) > 0)[:, None]
        if not inside.any():
            return grid.new_zeros(())
        loss = grid.new_zeros(())
        for probe, level in zip(self.heat, features, strict=False):
            logits = probe(level).flatten(2)  # [B, J, H * W]
            side = level.shape[-1]
            pixel = ((grid + 1) / 2 * side).long().clamp(0, side - 1)
            where = pixel[..., 1] * side + pixel[..., 0]
            loss = loss + _HEAT_WEIGHT * functional.cross_entropy(logits[inside], where[inside])
        maps = self.depth(features[2])
        batches, joints = maps.shape[:2]
        each = maps.reshape(batches * joints, 1, *maps.shape[2:])
        places = grid.reshape(batches * joints, 1, 1, 2)
        read = functional.grid_sample(each, places, align_corners=False).reshape(batches, joints)
        return loss + _DEPTH_WEIGHT * (read - batch.joints[..., 2])[inside].abs().mean()


def landmark_loss(
    seen: LandmarkOutput,
    before: LandmarkOutput,
    batch: LandmarkCrops,
    teacher_weight: float,
    *,
    is_refined: bool = False,
) -> LandmarkLosses:
    """Compare the net with the truth, and where there is none, with the original net.

    Args:
        seen: Of the net in training.
        before: Of the original net, on every fourth of the same crops.
        batch: The crops' truth. Of a misplaced crop only the rotation counts: if two people are
            near each other, it does not show which one it is of.
        teacher_weight: Of the comparison with the original net.
        is_refined: Whether the net refines keypoints. Then each of them is learnt by itself, and
            so are the sums of landmarks that they are refined from.
    """
    person, asked = batch.shows_person, _asked(batch)
    matrix = torch.tensor(H36M_17_FROM_BLAZEPOSE, device=person.device)
    body = slice(BLAZEPOSE_LANDMARKS)
    sums_px, refined_px = _keypoints_px(seen, batch)
    keypoints_px = refined_px if is_refined else sums_px

    places = [BLAZEPOSE_REGION_CENTRE, BLAZEPOSE_REGION_CIRCLE]
    off = (seen.landmarks_px[:, places] - batch.region).norm(dim=-1)
    region_px = _mean(off, asked[:, None].expand_as(off))

    world = matrix @ seen.world_landmarks[:, body]
    apart = (world - batch.joints).norm(dim=-1)
    joints_m = _mean(apart, asked[:, None].expand_as(apart))

    kept = _kept_px(seen, before, batch) * _PX + _VISIBILITY_WEIGHT * _cross_entropy(
        seen.visibilities[::KEPT_EVERY, : BLAZEPOSE_TURNS.start],
        before.visibilities[:, : BLAZEPOSE_TURNS.start],
    )
    score = _cross_entropy(seen.presences * seen.verifications, person)
    total = (
        _PX * (sums_px + refined_px if is_refined else sums_px)
        + 0.5 * _PX * region_px
        + _JOINT_WEIGHT * joints_m
        + _SCORE_WEIGHT * score
        + _TURN_WEIGHT * _turn_loss(seen, batch)
        + teacher_weight * kept
    )
    return LandmarkLosses(total, keypoints_px, joints_m, kept)


def _keypoints_px(seen: LandmarkOutput, batch: LandmarkCrops) -> tuple[Tensor, Tensor]:
    """Return how far off the sums of landmarks are, and the keypoints, which may be refined."""
    matrix = torch.tensor(H36M_17_FROM_BLAZEPOSE, device=batch.keypoints.device)
    middle = (CROP_SIZE - 1) / 2
    near = (batch.keypoints - middle).abs().amax(dim=-1) < middle + _REACH * CROP_SIZE
    counts = (near & (_asked(batch) > 0)[:, None]).float()
    sums = matrix @ seen.landmarks_px[:, :BLAZEPOSE_LANDMARKS]
    own = list(_NOT_SUMS)
    sums_px = _mean((sums - batch.keypoints).norm(dim=-1)[:, own], counts[:, own])
    return sums_px, _mean((seen.keypoints_px - batch.keypoints).norm(dim=-1), counts)


def _kept_px(seen: LandmarkOutput, before: LandmarkOutput, batch: LandmarkCrops) -> Tensor:
    """Return how far landmarks are from where they were beside their joints, pixels."""
    body = slice(BLAZEPOSE_LANDMARKS)
    old = before.landmarks_px[:, body]
    matrix = torch.tensor(H36M_17_FROM_BLAZEPOSE, device=old.device)
    true = batch.keypoints[::KEPT_EVERY]
    moved = (true - matrix @ old)[:, list(BLAZEPOSE_TO_H36M_17)]
    off = (seen.landmarks_px[::KEPT_EVERY, body] - (old + moved)).norm(dim=-1)
    near = moved.norm(dim=-1) < 0.1 * CROP_SIZE  # where the net was far off, nothing is learnt
    return _mean(off, near.float() * _asked(batch)[::KEPT_EVERY, None])


def _turn_loss(seen: LandmarkOutput, batch: LandmarkCrops) -> Tensor:
    """Compare the turns of people with the truth."""
    said = seen.visibilities[:, BLAZEPOSE_TURNS].clamp(1e-5, 1 - 1e-5)
    true = functional.one_hot(batch.quarter_turns.long(), said.shape[1]).to(said)
    off = functional.binary_cross_entropy(said, true, reduction="none").sum(dim=-1)
    return _mean(off, batch.shows_person)


def _asked(batch: LandmarkCrops) -> Tensor:
    """Return for which crops landmarks are learnt [B], 1 or 0."""
    return batch.shows_person * batch.is_placed


def _cross_entropy(probabilities: Tensor, wanted: Tensor) -> Tensor:
    """Return the binary cross-entropy, mean over all."""
    return functional.binary_cross_entropy(probabilities.clamp(1e-5, 1 - 1e-5), wanted)


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count."""
    return (values * counts).sum() / counts.sum().clamp(min=1)
