"""Errors of poses as plain numbers: of all samples, by joint, by action."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros.evaluation.metrics import align_poses, joint_errors, share_below
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]
Scores = dict[str, float]

_BATCH = 64
_MM = 1000.0
_PCK_MM = 150.0
PCK_THRESHOLDS_MM = tuple(range(0, 151, 5))
# The joints of legs and arms, which every skeleton defines alike; pelvis and head it does not.
LEG_JOINTS, ARM_JOINTS = (1, 2, 3, 4, 5, 6), (11, 12, 13, 14, 15, 16)
LIMB_JOINTS = LEG_JOINTS + ARM_JOINTS
_IN_NO_GROUP = ("pelvis", "spine", "nose")


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """Hold the errors of N poses, pelvis on pelvis, millimetres.

    Attributes:
        names: The J joints of which the truth is known.
        direct: [N, J].
        aligned: [N, J], after the best similarity of each pose.
        limbs_aligned: [N, L], the same for arms and legs alone.
    """

    names: tuple[str, ...]
    direct: Array
    aligned: Array
    limbs_aligned: Array

    @property
    def grouped(self) -> Array:
        """The direct errors [N, G] of the joints that count for PCK and AUC.

        Source:
            The joint groups of MPI-INF-3DHP's script: all joints but pelvis, spine and nose
            (its "head"). Our choice: the same on every data set.
        """
        return self.direct[:, [name not in _IN_NO_GROUP for name in self.names]]

    def scores(self, samples: NDArray[np.bool_] | None = None) -> Scores:
        """Return the scores over some samples [N], or all.

        Returns:
            mpjpe_mm, pa_mpjpe_mm, both also over arms and legs alone (limbs_), pck_150mm and
            auc_150mm in [0, 1]. Empty without samples.

        Source:
            Section 4.1. The root counts as a joint, as in the paper's predecessors, but not in
            PCK and AUC (`grouped`). PCK is the share of errors strictly below 150 mm, AUC its
            mean over 0, 5, .. 150 mm, as in the scripts of MPI-INF-3DHP.
        """
        chosen = slice(None) if samples is None else samples
        direct, aligned = self.direct[chosen], self.aligned[chosen]
        if not len(direct):
            return {}
        limb_names = {H36M_17.joint_names[i] for i in LIMB_JOINTS}
        limbs = [i for i, name in enumerate(self.names) if name in limb_names]
        values = _scores(direct, aligned, self.grouped[chosen]) | {
            "limbs_mpjpe_mm": float(direct[:, limbs].mean()),
            "limbs_pa_mpjpe_mm": float(self.limbs_aligned[chosen].mean()),
        }
        return _rounded(values)

    def by_joint(self) -> dict[str, Scores]:
        """Return the scores of every joint over all samples."""
        return {
            name: _rounded(_scores(self.direct[:, i], self.aligned[:, i], self.direct[:, i]))
            for i, name in enumerate(self.names)
        }

    def by_action(
        self, actions: Sequence[str], samples: NDArray[np.bool_] | None = None
    ) -> dict[str, dict[str, float]]:
        """Return the scores of every action, with the number of its samples.

        Args:
            actions: Of the N samples.
            samples: [N], which count; None: all.
        """
        named = np.asarray(actions, str)
        counted = np.ones(len(named), bool) if samples is None else samples
        masks = {str(action): (named == action) & counted for action in np.unique(named[counted])}
        return {
            action: {"samples": int(mask.sum())} | self.scores(mask)
            for action, mask in masks.items()
        }


def mean_over_actions(by_action: dict[str, dict[str, float]]) -> Scores:
    """Average scores over actions, each counting the same, as Human3.6M is reported."""
    if not by_action:
        return {}
    names = [name for name in next(iter(by_action.values())) if name != "samples"]
    return _rounded(
        {name: float(np.mean([scores[name] for scores in by_action.values()])) for name in names}
    )


def pose_errors(joints: Array, truth: Array) -> PoseErrors:
    """Compare poses, pelvis on pelvis.

    Args:
        joints: [N, 17, 3], metres.
        truth: [N, 17, 3], metres, the same axes; a joint that is NaN in a pose is left out
            of all.

    Raises:
        ValueError: If the pelvis is unknown.

    Source:
        Deviation: CA-PoseFormer's evaluation takes joints as the network puts them, whose pelvis
        is not exactly at the origin (with the packaged weights, 0.01 mm of difference).
    """
    known = np.isfinite(truth).all(axis=2).all(axis=0).reshape(-1)
    if not known[0]:
        raise ValueError("the pelvis of the true joints is unknown, which errors are taken from")
    joints, truth = ((pose - pose[:, :1]).astype(np.float64) * _MM for pose in (joints, truth))
    limbs = np.array([i for i in LIMB_JOINTS if known[i]])
    names = tuple(name for name, k in zip(H36M_17.joint_names, known, strict=True) if k)
    return PoseErrors(
        names=names,
        direct=joint_errors(joints[:, known], truth[:, known]),
        aligned=_aligned_errors(joints[:, known], truth[:, known]),
        limbs_aligned=_aligned_errors(joints[:, limbs], truth[:, limbs]),
    )


def pose_scores(joints: Array, truth: Array) -> Scores:
    """Return `PoseErrors.scores` of poses [N, 17, 3], metres; empty without poses."""
    return pose_errors(joints, truth).scores() if len(truth) else {}


def pck_curve(errors: Array) -> list[float]:
    """Return the share of errors, millimetres, below each of `PCK_THRESHOLDS_MM`."""
    return [round(share_below(errors, limit), 4) for limit in PCK_THRESHOLDS_MM]


def score_skeletons(net: PandaPose, keypoints: Array, joints: Array) -> Scores:
    """Score a network on skeleton-only samples.

    Args:
        net: In evaluation mode.
        keypoints: [N, 17, 2], crop pixels.
        joints: True joints [N, 17, 3], metres, root-relative, crop-camera axes.

    Returns:
        As `pose_scores`.
    """
    device = next(net.parameters()).device
    with torch.inference_mode():
        batches = torch.from_numpy(keypoints).to(device).split(_BATCH)
        lifted = torch.cat([net.lift(None, batch).joints for batch in batches]).cpu().numpy()
    return pose_scores(lifted, joints)


def _aligned_errors(joints: Array, truth: Array) -> Array:
    """Return the errors [N, J] after the best similarity of each pose."""
    return joint_errors(align_poses(joints, truth), truth)


def _scores(direct: Array, aligned: Array, grouped: Array) -> Scores:
    """Return the scores of errors, millimetres, any shape; PCK and AUC are of the last."""
    return {
        "mpjpe_mm": float(direct.mean()),
        "pa_mpjpe_mm": float(aligned.mean()),
        "pck_150mm": share_below(grouped, _PCK_MM),
        "auc_150mm": float(np.mean([share_below(grouped, limit) for limit in PCK_THRESHOLDS_MM])),
    }


def _rounded(scores: Scores) -> Scores:
    """Round millimetres to 0.01 and shares to 0.0001."""
    return {name: round(value, 4 if "150" in name else 2) for name, value in scores.items()}
