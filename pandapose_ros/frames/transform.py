"""Rigid motions between frames, and poses moved by them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.pose import Pose

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Transform:
    """Move points from a source frame to a target frame: p_target = rotation p + translation.

    Attributes:
        rotation: [3, 3], the source's axes in the target frame, as columns.
        translation: [3], the source's origin in the target frame, metres.
    """

    rotation: Array = field(default_factory=lambda: np.eye(3))
    translation: Array = field(default_factory=lambda: np.zeros(3))

    def apply(self, points: Array) -> Array:
        """Return points [..., 3] of the source frame in the target frame."""
        return points @ self.rotation.T + self.translation

    def after(self, first: "Transform") -> "Transform":
        """Return the motion that does `first` and then this one."""
        return Transform(self.rotation @ first.rotation, self.apply(first.translation))

    def inverse(self) -> "Transform":
        """Return the motion back."""
        return Transform(self.rotation.T, -self.translation @ self.rotation)


IDENTITY = Transform()


def rotation_from_quaternion(quaternion: Sequence[float]) -> Array:
    """Return the rotation [3, 3] of a quaternion (x, y, z, w) of any length but zero.

    Raises:
        ValueError: If its length is zero or not finite.
    """
    length = float(np.linalg.norm(quaternion))
    if not 0 < length < np.inf:
        raise ValueError(f"expected a quaternion of finite length, got {tuple(quaternion)}")
    x, y, z, w = np.asarray(quaternion, np.float64) / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: Array) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w), w >= 0, of a rotation [3, 3]."""
    # The eigenvector of this matrix to its largest eigenvalue, 1: stable for every angle.
    m = np.asarray(rotation, np.float64)
    symmetric = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
        ]
    )
    x, y, z, w = np.linalg.eigh(symmetric, UPLO="L")[1][:, -1].tolist()
    return (x, y, z, w) if w >= 0 else (-x, -y, -z, -w)


def move_pose(pose: Pose, transform: Transform) -> Pose:
    """Return a pose in another frame; pixels stay those of the image.

    Args:
        pose: In the image camera's frame.
        transform: From the camera's frame to the other one.

    Returns:
        The pose with joints, root, anchors and depths along the other frame's axes, covariances
        turned into these, and the root from its origin.
    """
    R = transform.rotation
    covariance, joint_covariances = pose.root_covariance, pose.joint_covariances
    depth = pose.depth
    anchors = replace(pose.anchors, positions=pose.anchors.positions @ R.T)
    return replace(
        pose,
        joints=pose.joints @ R.T,
        root=None if pose.root is None else transform.apply(pose.root),
        root_covariance=None if covariance is None else R @ covariance @ R.T,
        joint_covariances=None if joint_covariances is None else R @ joint_covariances @ R.T,
        anchors=anchors,
        depth=None if depth is None else replace(depth, positions=depth.positions @ R.T),
    )
