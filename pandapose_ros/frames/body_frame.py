"""Which way a body faces: REP 155's body frame, x forward out of the body, z to the head."""

from collections.abc import Iterable

import numpy as np

from pandapose_ros.frames.transform import Array
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import H36M_17

_PELVIS, _THORAX = (H36M_17.joint_names.index(name) for name in ("pelvis", "thorax"))
# Pairs from right to left that tell the body's y axis, the first usable one counts.
_ACROSS = tuple(
    (H36M_17.joint_names.index(f"right_{part}"), H36M_17.joint_names.index(f"left_{part}"))
    for part in ("hip", "shoulder")
)
_SHORTEST = 0.05  # m: shorter lines tell no direction


def body_rotation(joints: Array) -> Array | None:
    """Return the axes of a body [3, 3], as columns: x forward, y to its left, z to its head.

    Args:
        joints: [17, 3], metres, any frame and origin.

    Returns:
        A rotation; None where the joints do not tell, as in a person with unknown hips and
        shoulders, or with these in line with the spine.
    """
    up = joints[_THORAX] - joints[_PELVIS]
    height = np.linalg.norm(up)
    if not height > _SHORTEST:
        return None
    z = up / height
    for right, left in _ACROSS:
        across = joints[left] - joints[right]
        across = across - (across @ z) * z
        width = np.linalg.norm(across)
        if width > _SHORTEST:
            y = across / width
            return np.stack((np.cross(y, z), y, z), axis=1)
    return None


class BodyRotations:
    """Remember which way each person faced, for the images in which it cannot be told."""

    def __init__(self) -> None:
        self._last: dict[int, Array] = {}

    def update(self, poses: Iterable[Pose]) -> list[tuple[Pose, Array]]:
        """Return the people who have a place and a direction, with their axes [3, 3].

        Args:
            poses: All people of an image; whoever is missing is forgotten.
        """
        found = []
        for pose in poses:
            rotation = body_rotation(np.asarray(pose.joints, np.float64))
            if rotation is None:
                rotation = self._last.get(pose.id)
            if rotation is not None and pose.root is not None and np.isfinite(pose.root).all():
                found.append((pose, rotation))
        self._last = {pose.id: rotation for pose, rotation in found}
        return found
