"""Errors of 3D poses, in the unit of the joints that go in."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.geometry import best_similarity

Array = NDArray[np.floating]


def joint_errors(joints: Array, truth: Array) -> Array:
    """Return the distance of every joint to the truth, [..., J, 3] twice to [..., J]."""
    if joints.shape != truth.shape:
        raise ValueError(f"expected joints of shape {truth.shape}, got {joints.shape}")
    return np.linalg.norm(joints - truth, axis=-1)


def mpjpe(joints: Array, truth: Array) -> float:
    """Return the mean per-joint position error.

    Args:
        joints: [N, J, 3], any unit, root-relative.
        truth: [N, J, 3], the same unit and frame.

    Source:
        PandaPose, section 4.1; the root counts as a joint, as in its predecessors.
    """
    return float(joint_errors(joints, truth).mean())


def pa_mpjpe(joints: Array, truth: Array) -> float:
    """Return the mean joint error after the best similarity of each pose.

    Args:
        joints: [N, J, 3], any unit and frame.
        truth: [N, J, 3]; the result is in its unit.

    Source:
        PandaPose, section 4.1 (Procrustes alignment per frame, no reflection).
    """
    return mpjpe(align_poses(joints, truth), truth)


def align_poses(joints: Array, truth: Array) -> Array:
    """Move each pose onto the truth by its best rotation, scale and shift.

    Args:
        joints: [N, J, 3], any unit and frame.
        truth: [N, J, 3].

    Returns:
        [N, J, 3], the unit and frame of the truth.

    Source:
        `geometry.best_similarity`.
    """
    scale, R, t = best_similarity(joints, truth)
    return scale[:, None, None] * joints @ R.swapaxes(1, 2) + t[:, None]


def share_below(errors: Array, threshold: float) -> float:
    """Return the share of errors, of any shape, strictly below a threshold."""
    return float((errors < threshold).mean())
