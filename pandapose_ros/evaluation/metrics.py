"""Errors of 3D poses, in the unit of the joints that go in."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.geometry import align_rigid

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
        `geometry.align_rigid`.
    """
    scale, R, t = align_rigid(joints, truth)
    return scale[:, None, None] * joints @ R.swapaxes(1, 2) + t[:, None]


def pck(joints: Array, truth: Array, threshold: float) -> float:
    """Return the share of joints, in [0, 1], that lie nearer to the truth than a threshold.

    Args:
        joints: [N, J, 3], any unit, root-relative.
        truth: [N, J, 3], the same unit and frame.
        threshold: The same unit; the benchmarks take 150 mm.
    """
    return share_below(joint_errors(joints, truth), threshold)


def auc(joints: Array, truth: Array, threshold: float, steps: int = 31) -> float:
    """Return the mean of `pck` over thresholds from 0 to `threshold`, in [0, 1].

    Args:
        joints: [N, J, 3], any unit, root-relative.
        truth: [N, J, 3], the same unit and frame.
        threshold: The greatest one, the same unit.
        steps: Number of thresholds; 31 as in MPI-INF-3DHP (every 5 mm up to 150 mm).
    """
    return area_below(joint_errors(joints, truth), threshold, steps)


def share_below(errors: Array, threshold: float) -> float:
    """Return the share of errors, of any shape, strictly below a threshold."""
    return float((errors < threshold).mean())


def area_below(errors: Array, threshold: float, steps: int = 31) -> float:
    """Return the mean of `share_below` over `steps` thresholds from 0 to the greatest."""
    return float(np.mean([share_below(errors, t) for t in np.linspace(0, threshold, steps)]))
