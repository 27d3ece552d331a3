"""The circle round a body that a BlazePose region is made from, from known joints."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# What lies beyond a joint, as a factor of its distance from the hips: crown, toes, fingers.
_REACH = {
    "head": 1.02,
    "right_ankle": 1.08,
    "left_ankle": 1.08,
    "left_wrist": 1.1,
    "right_wrist": 1.1,
}
_JOINTS = [H36M_17.joint_names.index(name) for name in _REACH]
_IS_HAND = np.array([name.endswith("wrist") for name in _REACH])
_THORAX = H36M_17.joint_names.index("thorax")


def body_circle(points: Array, with_hands: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Find the circle round the pelvis that holds a body, and which way is up for the body.

    Args:
        points: [N, 17, 2], projected joints, any unit, v down.
        with_hands: [N], whether the circle holds the hands; BlazePose's does half of the time.

    Returns:
        Radius [N] in the unit of the points, and angle [N] in radians, clockwise, 0 upright.

    Source:
        Our choice, after Bazarevsky et al., BlazePose (arXiv 2006.10204), section 3.
    """
    points = points - points[:, :1]
    radii = np.linalg.norm(points[:, _JOINTS], axis=2) * np.array(list(_REACH.values()))
    radii = np.where(_IS_HAND & ~with_hands[:, None], 0.0, radii)
    trunk = points[:, _THORAX]
    radius = np.maximum(radii.max(axis=1), 1.2 * np.linalg.norm(trunk, axis=1))
    # A trunk seen end on does not tell what is up; the camera's own up then does.
    up = trunk + np.stack((np.zeros(len(points)), -0.15 * radius), axis=1)
    return radius, np.arctan2(up[:, 0], -up[:, 1])
