"""Poses given a body: `PoseParts` to joints [N, 17, 3], metres, y up, pelvis at the origin."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.data.motion import JOINTS, PoseParts

Array = NDArray[np.floating]

# Shares of the stature: means over adults (Winter, Biomechanics and motor control of human
# movement, 2009, moved towards joint centres as rigged bodies have them).
_LEG = (0.060, 0.236, 0.248)  # half hips, thigh, shank
_UPPER_BODY = (0.270, 0.102, 0.160, 0.142)  # trunk, half shoulders, upper arm, forearm
_NECK = 0.110  # thorax to the middle of the head's base
_SHARES = np.array((*_LEG, *_UPPER_BODY, _NECK, 1.0, 1.0))
_AVERAGE_STATURE = 1.7  # metres
_NOSE = (0.0, 0.005, 0.076)  # from there, left, up, forward
_CROWN = (0.0, 0.090, -0.005)


def put_together(parts: PoseParts, lengths: Array) -> Array:
    """Give poses a body.

    Args:
        parts: N poses.
        lengths: [N, 10], as `random_bodies` draws them, metres.

    Returns:
        Joints [N, 17, 3] in the order of `H36M_17`, metres, y up, the pelvis at the origin.
    """
    hip, thigh, shank, trunk, shoulder, upper_arm, forearm, neck, head, nose = (
        length[:, None] for length in lengths.T.astype(np.float32)
    )
    chest, head_axes = parts.chest, parts.chest @ parts.head
    joints = np.zeros((len(parts), JOINTS, 3), np.float32)
    joints[:, 8] = parts.trunk * trunk
    joints[:, 7] = joints[:, 8] / 2
    for side, (leg, arm) in enumerate((((4, 5, 6), (11, 12, 13)), ((1, 2, 3), (14, 15, 16)))):
        sign = 1 - 2 * side
        arms = np.einsum("nij,nlj->nli", chest, parts.arms[:, side])
        joints[:, leg[0], 0] = sign * hip[:, 0]
        joints[:, leg[1]] = joints[:, leg[0]] + parts.legs[:, side, 0] * thigh
        joints[:, leg[2]] = joints[:, leg[1]] + parts.legs[:, side, 1] * shank
        joints[:, arm[0]] = joints[:, 8] + sign * shoulder * chest[:, :, 0]
        joints[:, arm[1]] = joints[:, arm[0]] + arms[:, 0] * upper_arm
        joints[:, arm[2]] = joints[:, arm[1]] + arms[:, 1] * forearm
    up = chest[:, :, 1] + head_axes[:, :, 1]
    base = joints[:, 8] + up / np.linalg.norm(up, axis=1, keepdims=True) * neck
    joints[:, 9] = base + (head_axes @ np.array(_NOSE, np.float32)) * nose
    joints[:, 10] = base + (head_axes @ np.array(_CROWN, np.float32)) * head
    return np.einsum("nij,nkj->nki", parts.pelvis, joints)


def random_bodies(count: int, config: SkeletonSampleConfig, rng: np.random.Generator) -> Array:
    """Draw bodies.

    Args:
        count: How many.
        config: Statures and how limbs vary.
        rng: Source of chance.

    Returns:
        [count, 10], metres: half hips, thigh, shank, trunk, half shoulders, upper arm, forearm,
        neck, and stature twice more to scale the crown and the nose.
    """
    low, high = config.stature
    stature = rng.normal((low + high) / 2, (high - low) / 4, count).clip(low, high)
    spread = config.limb_variation
    return stature[:, None] * _SHARES * rng.uniform(1 - spread, 1 + spread, (count, len(_SHARES)))


def average_bodies(count: int) -> Array:
    """Return the lengths of the same adult `count` times, as `random_bodies` has them."""
    return np.tile(_AVERAGE_STATURE * _SHARES, (count, 1))
