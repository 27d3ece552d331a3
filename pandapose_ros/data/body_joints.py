"""New poses from captured ones: parts exchanged between frames, limbs turned at random, any body.

In: `PoseParts`. Out: joints [N, 17, 3] in metres, y up, the pelvis at the origin.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.data.motion import JOINTS, PoseParts, mirror_parts

Array = NDArray[np.floating]

# Shares of the stature: means over adults (Winter, Biomechanics and motor control of human
# movement, 2009, moved towards joint centres as rigged bodies have them).
_HALF_HIPS, _THIGH, _SHANK = 0.060, 0.236, 0.248
_TRUNK, _HALF_SHOULDERS, _UPPER_ARM, _FOREARM = 0.270, 0.102, 0.160, 0.142
_NECK = 0.110  # thorax to the middle of the head's base
_NOSE = (0.0, 0.005, 0.076)  # from there, left, up, forward
_CROWN = (0.0, 0.090, -0.005)


def random_poses(bank: PoseParts, count: int, rng: np.random.Generator) -> PoseParts:
    """Draw new poses.

    Args:
        bank: Captured poses.
        count: How many to draw.
        rng: Source of chance.

    Returns:
        `count` poses: legs with pelvis, trunk with head, and each arm from frames of their own
        (half of the time all from one), some limbs turned, half of the poses mirrored.

    Source:
        Our choice: the captured clips have few distinct poses, mixed ones many.
    """
    same = rng.random(count) < 0.5

    def draw() -> NDArray[np.integer]:
        return np.where(same, base, rng.integers(len(bank), size=count))

    base = rng.integers(len(bank), size=count)
    upper, left, right = draw(), draw(), draw()
    parts = replace(
        bank.take(base),
        trunk=bank.trunk[upper],
        chest=bank.chest[upper],
        head=bank.head[upper] @ _random_rotations(count, (0.15, 0.4, 0.1), rng),
        arms=np.stack((bank.arms[left, 0], bank.arms[right, 1]), axis=1),
    )
    parts = replace(
        parts, arms=_disturb_arms(parts.arms, rng), legs=_disturb_legs(parts.legs, rng)
    )
    mirrored = rng.random(count) < 0.5
    other = mirror_parts(parts)
    return PoseParts(
        **{
            name: np.where(mirrored.reshape(-1, *[1] * (part.ndim - 1)), vars(other)[name], part)
            for name, part in vars(parts).items()
        }
    )


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
    shares = np.array(
        (
            *(_HALF_HIPS, _THIGH, _SHANK, _TRUNK, _HALF_SHOULDERS, _UPPER_ARM, _FOREARM),
            *(_NECK, 1.0, 1.0),
        )
    )
    spread = config.limb_variation
    return stature[:, None] * shares * rng.uniform(1 - spread, 1 + spread, (count, len(shares)))


def rotations_about(axes: Array, angles: Array) -> Array:
    """Return rotation matrices [..., 3, 3] about unit axes [..., 3] by angles [...] in rad."""
    x, y, z = np.moveaxis(axes, -1, 0)
    cosine, sine = np.cos(angles), np.sin(angles)
    rest = 1 - cosine
    rows = (
        (cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine),
        (y * x * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine),
        (z * x * rest - y * sine, z * y * rest + x * sine, cosine + z * z * rest),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2).astype(np.float32)


def _random_rotations(
    count: int, deviations: tuple[float, float, float], rng: np.random.Generator
) -> Array:
    """Return rotations [count, 3, 3] by normal rotation vectors (about left, up, forward)."""
    vectors = rng.normal(0, deviations, (count, 3)).astype(np.float32)
    angles = np.linalg.norm(vectors, axis=1)
    return rotations_about(vectors / np.maximum(angles, 1e-9)[:, None], angles)


def _disturb_arms(arms: Array, rng: np.random.Generator) -> Array:
    """Shake all arms [N, 2, 2, 3] and give a third of them any direction and elbow."""
    count = len(arms)
    shaken = _shake(arms, 0.2, rng)
    upper = rng.normal(size=(count, 2, 3)).astype(np.float32)
    upper[..., 2] = np.abs(upper[..., 2]) - 0.5  # seldom far behind the back
    upper[..., 0] += (0.6, -0.6)  # nor far across the chest
    upper /= np.linalg.norm(upper, axis=-1, keepdims=True)
    # The elbow folds forearms forward, up or in: about an axis across the upper arm.
    target = rng.normal((0.0, 0.2, 0.7), 0.7, (count, 2, 3)).astype(np.float32)
    axis = np.cross(upper, target)
    axis /= np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    bend = rng.uniform(0, 2.5, (count, 2)) * rng.random((count, 2)) ** 0.5
    forearm = np.einsum("nsij,nsj->nsi", rotations_about(axis, bend), upper)
    free = (rng.random((count, 2)) < 0.35)[..., None, None]
    return np.where(free, np.stack((upper, forearm), axis=2), shaken).astype(np.float32)


def _disturb_legs(legs: Array, rng: np.random.Generator) -> Array:
    """Shake all legs [N, 2, 2, 3]; bend hips and knees of a quarter anew, both or one side."""
    count = len(legs)
    shaken = _shake(legs, 0.12, rng)
    flexion = rng.uniform(-0.3, 2.1, (count, 2))
    spread = rng.normal(0.15, 0.25, (count, 2)) * np.array((1.0, -1.0))
    knee = rng.uniform(0, 2.4, (count, 2))
    alike = rng.random(count) < 0.6  # sitting, squatting, jumping
    flexion[alike, 1] = flexion[alike, 0] + rng.normal(0, 0.15, alike.sum())
    knee[alike, 1] = knee[alike, 0] + rng.normal(0, 0.15, alike.sum())
    shank_angle = flexion - np.maximum(knee, 0)

    def directed(angle: Array) -> Array:
        down = np.cos(angle)
        return np.stack((down * np.sin(spread), -down * np.cos(spread), np.sin(angle)), axis=-1)

    bent = np.stack((directed(flexion), directed(shank_angle)), axis=2)  # [N, side, bone, 3]
    one = rng.random(count) < 0.25
    free = np.stack((one, one & (alike | (rng.random(count) < 0.5))), axis=1)[..., None, None]
    return np.where(free, bent, shaken).astype(np.float32)


def _shake(limbs: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Turn both bones of limbs [N, 2, 2, 3] by a small rotation, the second by one more."""
    count = len(limbs)
    deviations = (deviation, deviation, deviation)
    whole = _random_rotations(count * 2, deviations, rng).reshape(count, 2, 3, 3)
    end = _random_rotations(count * 2, deviations, rng).reshape(count, 2, 3, 3)
    shaken = np.einsum("nsij,nslj->nsli", whole, limbs)
    shaken[:, :, 1] = np.einsum("nsij,nsj->nsi", end, shaken[:, :, 1])
    return shaken
