"""Networks and BlazePose's own 3D side by side on the same people of a data set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EvaluationConfig
from pandapose_ros.data.challenging import (
    ChallengingSubset,
    ErrorUnit,
    Reduction,
    as_share,
    challenging_subset,
    keypoint_errors,
)
from pandapose_ros.data.dataset import Dataset
from pandapose_ros.evaluation.candidates import Candidate, Estimates
from pandapose_ros.evaluation.scores import mean_over_actions, pck_curve, pose_errors
from pandapose_ros.evaluation.views import Views

Array = NDArray[np.floating]
# What JSON holds.
Record = dict[str, object]

BLAZEPOSE = "blazepose_world"
_JOINTS = 17
# Fields of the configuration that the ablations change.
_TOLD_OPTIONS = (
    "backbone",
    "anchors",
    "joint_places",
    "lifting",
    "depth_head",
    "depth_bins",
    "sampling",
    "layers",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold the results on a data set, for the people found in it.

    Attributes:
        dataset: What was read.
        indices: [F], of the samples in which the person was found.
        truth: [F, 17, 3], metres, root-relative, the crop's axes.
        pairs: Detected and true keypoints by unit, [N, 17, 2] each, of all samples; NaN where
            nobody was found.
        world_landmarks: BlazePose's own 3D [F, 17, 3]; NaN where it did not look.
        estimates: Of every candidate, in their order.
        flip_test: Whether joints are averaged with those of the mirrored crop.
    """

    dataset: Dataset
    indices: NDArray[np.int64]
    truth: Array
    pairs: dict[ErrorUnit, tuple[Array, Array]]
    world_landmarks: Array
    estimates: tuple[Estimates, ...]
    flip_test: bool

    def subset(self, config: EvaluationConfig) -> ChallengingSubset:
        """Find the challenging samples, as the configuration defines them."""
        unit = ErrorUnit(config.challenging_unit)
        return challenging_subset(
            self.dataset.name,
            self.pairs[unit],
            threshold=config.challenging_threshold,
            unit=unit,
            reduction=Reduction(config.challenging_reduction),
        )

    def challenging(self, subset: ChallengingSubset) -> NDArray[np.bool_]:
        """Return which of the found people [F] are in a subset."""
        return subset.mask()[self.indices]


def compare(
    dataset: Dataset,
    views: Iterable[Views | None],
    candidates: Sequence[Candidate],
    config: EvaluationConfig,
    *,
    flip_test: bool,
    noise: bool,
) -> Comparison:
    """Let every network lift the same people.

    Args:
        dataset: What the views are of.
        views: What `Viewer.look`, `skeleton_views` or `keep_views` returns.
        candidates: Networks.
        config: What is counted.
        flip_test: Average with what the mirrored crop gives.
        noise: Lift with noise too.
    """
    estimates = tuple(
        Estimates(c.net, config, flip_test=flip_test, noise=noise) for c in candidates
    )
    indices, truth, world = [], [], []
    names = ("keypoints", "true_keypoints", "keypoints_px", "true_keypoints_px")
    points = {name: np.full((len(dataset), _JOINTS, 2), np.nan, np.float32) for name in names}
    for some in views:
        if some is None:
            continue
        indices.append(some.indices)
        truth.append(some.joints)
        world.append(some.world_landmarks)
        for name, collected in points.items():
            collected[some.indices] = getattr(some, name)
        for collected in estimates:
            collected.add(some)
    empty = np.zeros((0, _JOINTS, 3), np.float32)
    return Comparison(
        dataset=dataset,
        indices=np.concatenate([np.zeros(0, np.int64), *indices]),
        truth=np.concatenate([empty, *truth]),
        pairs=_pairs(*points.values()),
        world_landmarks=np.concatenate([empty, *world]),
        estimates=estimates,
        flip_test=flip_test,
    )


def _pairs(
    crop: Array, true_crop: Array, image: Array, true_image: Array
) -> dict[ErrorUnit, tuple[Array, Array]]:
    """Return detected and true keypoints by unit."""
    return {
        ErrorUnit.CROP: (crop, true_crop),
        ErrorUnit.IMAGE: (image, true_image),
        ErrorUnit.SHARE: as_share(image, true_image),
    }


def summarise(
    comparison: Comparison, candidates: Sequence[Candidate], subset: ChallengingSubset
) -> Record:
    """Return the comparison as plain numbers.

    Args:
        comparison: If nobody was found, only its numbers of images and people are returned.
        candidates: The networks, in the comparison's order.
        subset: Which samples are challenging.

    Returns:
        "dataset", "challenging" (the rule) and "results", one for each network and, where
        BlazePose looked, one for its own 3D. No NaN.
    """
    errors = keypoint_errors(*comparison.pairs[ErrorUnit.CROP], Reduction.MEAN)
    found = len(comparison.indices)
    record: Record = {
        "dataset": {
            "name": comparison.dataset.name,
            "samples": len(comparison.dataset),
            "found": found,
        },
        "challenging": {
            "threshold": subset.threshold,
            "unit": subset.unit.value,
            "reduction": subset.reduction.value,
        },
        "flip_test": comparison.flip_test,
        "results": [],
    }
    if not found:
        return record
    record["keypoint_error_px"] = round(float(errors[comparison.indices].mean()), 2)
    results = [
        _result(comparison, candidate, estimates, subset)
        for candidate, estimates in zip(candidates, comparison.estimates, strict=True)
    ]
    if np.isfinite(comparison.world_landmarks).all():
        own = _scores(comparison, comparison.world_landmarks, subset)
        results.append({"name": BLAZEPOSE, **own})
    record["results"] = results
    return record


def _result(
    comparison: Comparison, candidate: Candidate, estimates: Estimates, subset: ChallengingSubset
) -> Record:
    """Return the entry of one network."""
    config = candidate.net.config
    return {
        "name": candidate.name,
        "weights_sha256": candidate.weights_sha256,
        "parameters": sum(p.numel() for p in candidate.net.parameters()),
        "config": {name: getattr(config, name) for name in _TOLD_OPTIONS},
        **_scores(comparison, np.concatenate(estimates.joints), subset),
        "anchor_offsets_mm": estimates.anchor_offsets_mm(),
        "noise": _noise(comparison, estimates, subset),
    }


def _scores(comparison: Comparison, joints: Array, subset: ChallengingSubset) -> Record:
    """Return all scores of joints [F, 17, 3]."""
    errors = pose_errors(joints, comparison.truth)
    hard = comparison.challenging(subset)
    actions = [comparison.dataset.actions[i] for i in comparison.indices]
    record: Record = {}
    for name, samples in (
        ("all", np.ones_like(hard)),
        ("challenging", hard),
        ("rest", ~hard),
    ):
        record[name] = {
            "samples": int(samples.sum()),
            **errors.scores(samples),
            "mean_over_actions": mean_over_actions(errors.by_action(actions, samples)),
        }
    return record | {
        "by_joint": errors.by_joint(),
        "by_action": errors.by_action(actions),
        "pck_curve": pck_curve(errors.grouped),
    }


def _noise(
    comparison: Comparison, estimates: Estimates, subset: ChallengingSubset
) -> list[Record]:
    """Return the errors by noise, from none on; empty where noise was not asked for."""
    if not estimates.noisy_joints:
        return []
    hard = comparison.challenging(subset)
    levels = {0.0: estimates.joints, **estimates.noisy_joints}
    records: list[Record] = []
    for level, batches in levels.items():
        errors = pose_errors(np.concatenate(batches), comparison.truth)
        full, challenging = errors.scores(), errors.scores(hard)
        records.append(
            {
                "noise_px": level,
                "mpjpe_mm": full["mpjpe_mm"],
                "pa_mpjpe_mm": full["pa_mpjpe_mm"],
                "challenging_mpjpe_mm": challenging.get("mpjpe_mm"),
            }
        )
    return records
