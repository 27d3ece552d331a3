"""Skeletons: joint names, parents, left/right twins, and the detector's points as joints.

Everything that depends on the order of joints or keypoints is in this file.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """Describe a set of joints and how bones connect them.

    Attributes:
        name: Lower-case identifier, as in `Skeleton3DArray.skeleton_type`.
        joint_names: One unique name per joint; the index is the joint's index everywhere.
        parents: Index of each joint's parent; -1 for the root.
        mirror: Index of each joint's left/right twin; itself for a centre joint.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[int, ...]

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, joint), one per joint that has a parent."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    def side(self, joint: int) -> str:
        """Return "left", "right" or "centre" for a joint index."""
        name = self.joint_names[joint]
        return next((side for side in ("left", "right") if name.startswith(side)), "centre")


# Order of Human3.6M with 17 joints, as the paper and its predecessors use it.
H36M_17 = Skeleton(
    name="h36m_17",
    joint_names=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "nose",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    mirror=(0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13),
)

# BlazePose landmark indices (33 body landmarks, then two auxiliary points).
BLAZEPOSE_LANDMARKS = 33
BLAZEPOSE_REGION_CENTRE = 33
BLAZEPOSE_REGION_CIRCLE = 34
# The visibilities of the palms, the last four, are not used as such: a fine-tuned net gives in
# them how likely the person is rotated by 0, 1, 2, 3 quarter turns clockwise in the crop.
BLAZEPOSE_TURNS = slice(35, 39)

# H36M-17 joints as weighted sums of BlazePose landmarks. "head" is the top of the head: the
# midpoint of the ears, raised by 1.2 times the vector from the mouth to the eyes (Our choice).
_BLAZEPOSE_SUMS: dict[str, dict[int, float]] = {
    "pelvis": {23: 0.5, 24: 0.5},
    "right_hip": {24: 1.0},
    "right_knee": {26: 1.0},
    "right_ankle": {28: 1.0},
    "left_hip": {23: 1.0},
    "left_knee": {25: 1.0},
    "left_ankle": {27: 1.0},
    "spine": {11: 0.25, 12: 0.25, 23: 0.25, 24: 0.25},
    "thorax": {11: 0.5, 12: 0.5},
    "nose": {0: 1.0},
    "head": {7: 0.5, 8: 0.5, 2: 0.6, 5: 0.6, 9: -0.6, 10: -0.6},
    "left_shoulder": {11: 1.0},
    "left_elbow": {13: 1.0},
    "left_wrist": {15: 1.0},
    "right_shoulder": {12: 1.0},
    "right_elbow": {14: 1.0},
    "right_wrist": {16: 1.0},
}


def _blazepose_matrix() -> NDArray[np.float32]:
    matrix = np.zeros((len(H36M_17.joint_names), BLAZEPOSE_LANDMARKS), np.float32)
    for joint, name in enumerate(H36M_17.joint_names):
        for landmark, weight in _BLAZEPOSE_SUMS[name].items():
            matrix[joint, landmark] = weight
    return matrix


# [17, 33]; each row sums to 1, so the map commutes with every affine transform.
H36M_17_FROM_BLAZEPOSE = _blazepose_matrix()

# The H36M-17 joint that each of the 33 landmarks moves with: the face with the nose, the hand
# with the wrist, the foot with the ankle.
BLAZEPOSE_TO_H36M_17 = (
    *(9,) * 11,
    *(11, 14, 12, 15, 13, 16),
    *(13, 16) * 3,
    *(4, 1, 5, 2, 6, 3),
    *(6, 3) * 2,
)


def keypoint_scores(visibilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score H36M-17 keypoints by the landmarks that they are computed from.

    Args:
        visibilities: Of BlazePose's landmarks, [..., 33] in [0, 1].

    Returns:
        [..., 17] in [0, 1]: the lowest visibility among the landmarks of a keypoint.

    Source:
        Our choice: mid-points as is customary for converting to H36M-17.
    """
    used = H36M_17_FROM_BLAZEPOSE != 0
    return np.where(used, visibilities[..., None, :], 1.0).min(axis=-1).astype(np.float32)


def mirror_keypoints(keypoints: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Return H36M-17 keypoints [..., 17, 2] as a mirror shows an image `width` pixels wide."""
    mirrored = keypoints[..., list(H36M_17.mirror), :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def mirror_joints(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return H36M-17 joints [..., 17, 3] as a mirror shows them: x changes its sign."""
    return joints[..., list(H36M_17.mirror), :] * np.array((-1, 1, 1), joints.dtype)
