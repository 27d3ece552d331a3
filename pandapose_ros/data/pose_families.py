"""Families of poses that motion capture is short of: built from joint angles within human limits.

Every function takes N poses, keeps of them what the family leaves open, and returns new ones.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.limbs import arms_from_angles, legs_from_angles
from pandapose_ros.data.motion import PoseParts
from pandapose_ros.data.rotations import random_rotations, rotations_about, turns

Array = NDArray[np.floating]

_BACK, _BELLY = 0.5, 0.2  # shares of those who lie; the others lie on a side


def random_limbs(parts: PoseParts, rng: np.random.Generator) -> PoseParts:
    """Give most arms and some legs angles of their own, and bend the trunk."""
    count = len(parts)
    free_arms, free_legs = (rng.random((count, 2)) < share for share in (0.75, 0.45))
    arms = np.where(free_arms[..., None, None], random_arms(count, rng), parts.arms)
    legs = np.where(free_legs[..., None, None], random_legs(count, rng), parts.legs)
    return replace(bend_trunk(parts, 0.1, rng), arms=arms, legs=legs)


def sitting(parts: PoseParts, rng: np.random.Generator) -> PoseParts:
    """Sit on a chair, on the floor with the legs before the body, or cross-legged."""
    count = len(parts)
    kind = rng.random(count)
    chair, cross = kind < 0.72, kind > 0.87
    one, side = _alike(count, 0.12, rng), (count, 2)
    bent = rng.uniform(0, 1.9, count)[:, None] + _alike(count, 0.15, rng)
    flexion = np.where(chair[:, None], 1.5 + one, 1.45 + np.maximum(bent, 0) / 2)
    knee = np.where(chair[:, None], rng.normal(1.5, 0.3, (count, 1)) + one, bent)
    knee += (rng.random(side) < 0.3) * rng.normal(0, 0.3, side)
    spread = rng.normal(0.18, 0.15, (count, 1)) + rng.normal(0, 0.08, side)
    twist = rng.normal(0.05, 0.15, side)
    cross = cross[:, None]
    flexion, spread, twist, knee = (
        np.where(cross, rng.normal(mean, 0.1, side), angle)
        for mean, angle in ((1.35, flexion), (0.8, spread), (0.75, twist), (1.9, knee))
    )
    legs = legs_from_angles(flexion, spread.clip(-0.1, 1.1), twist, knee.clip(0, 2.4))
    lean = rng.normal(-0.05, 0.2, count).clip(-0.5, 0.5)
    seated = _on_level_legs(parts, lean, legs, rng)
    at_table = rng.random((count, 1, 1, 1)) < 0.4
    return replace(seated, arms=np.where(at_table, _table_arms(count, rng), seated.arms))


def crouching(parts: PoseParts, rng: np.random.Generator) -> PoseParts:
    """Squat, kneel, or go down on one knee."""
    count = len(parts)
    kind, side = rng.random((count, 1)), (count, 2)
    flexion = rng.uniform(1.1, 2.1, (count, 1)) + _alike(count, 0.1, rng)
    knee = flexion + rng.uniform(0.3, 0.75, (count, 1))  # the shin leans forward
    spread = rng.normal(0.25, 0.2, (count, 1)) + rng.normal(0, 0.06, side)
    kneels = (kind > 0.55) & (kind < 0.75)
    on_heels = np.where(rng.random((count, 1)) < 0.5, rng.uniform(0.7, 1.3, (count, 1)), 0.1)
    flexion = np.where(kneels, on_heels + _alike(count, 0.06, rng), flexion)
    knee = np.where(kneels, flexion + rng.normal(1.5, 0.06, side), knee)
    back = rng.integers(2, size=(count, 1)) == np.arange(2)  # the leg whose knee is down
    half = np.where(back, rng.normal(-0.1, 0.2, side), rng.normal(1.4, 0.2, side))
    flexion = np.where(kind > 0.75, half, flexion)
    knee = np.where(
        kind > 0.75, half + np.where(back, 1.4, 0.05) + rng.normal(0, 0.15, side), knee
    )
    spread = np.where(kind > 0.55, spread / 2, spread).clip(0, 0.8)
    twist = 0.4 * spread + rng.normal(0, 0.1, side)
    legs = legs_from_angles(flexion, spread, twist, knee.clip(0, 2.55))
    upright = kind[:, 0] > 0.55
    lean = np.where(upright, rng.normal(0.1, 0.15, count), rng.uniform(0.1, 0.9, count))
    return _on_level_legs(parts, lean, legs, rng)


def reaching(parts: PoseParts, rng: np.random.Generator) -> PoseParts:
    """Stretch one arm or both up, forward, aside or, bowing, down."""
    count = len(parts)
    kind = rng.integers(4, size=(count, 1)) + np.zeros((1, 2), int)
    other = rng.random((count, 2)) < 0.15
    kind = np.where(other, rng.integers(4, size=(count, 2)), kind)
    plane = np.array((1.1, 1.45, 0.2, 1.5))[kind] + rng.normal(0, 0.3, (count, 2))
    raising = np.array((2.6, 1.5, 1.5, 1.1))[kind] + rng.normal(0, 0.25, (count, 2))
    elbow = np.abs(rng.normal(0.1, 0.3, (count, 2)))
    twist = rng.normal(0.1, 0.5, (count, 2))
    stretched = arms_from_angles(plane, raising.clip(0, 2.95), twist, elbow)
    both = rng.random((count, 1)) < 0.55
    chosen = (both | (rng.integers(2, size=(count, 1)) == np.arange(2)))[..., None, None]
    bows = (kind[:, 0] == 3) | (rng.random(count) < 0.15)
    lean = np.where(bows, rng.uniform(0.2, 1.3, count), rng.normal(0, 0.08, count))
    bowed = _on_level_legs(parts, lean, parts.legs, rng)
    return replace(bowed, arms=np.where(chosen, stretched, parts.arms))


def lying(parts: PoseParts, rng: np.random.Generator) -> PoseParts:
    """Lie on the back, a side or the belly; the legs may be bent, but not on the belly."""
    count = len(parts)
    kind = rng.random(count)
    on_belly = kind < _BELLY
    face = np.where(on_belly, np.pi, np.where(kind < _BELLY + _BACK, 0.0, np.pi / 2))
    face = face * rng.choice((-1.0, 1.0), count) + rng.normal(0, 0.2, count)
    down = turns(0, rng.normal(-np.pi / 2, 0.12, count)) @ turns(1, face)
    bent = legs_from_angles(
        rng.uniform(0, 1.5, (count, 1)) + _alike(count, 0.25, rng),
        rng.normal(0.15, 0.15, (count, 2)).clip(-0.05, 0.7),
        rng.normal(0.1, 0.2, (count, 2)),
        np.abs(rng.uniform(0, 2.0, (count, 1)) + _alike(count, 0.3, rng)),
    )
    bends = (~on_belly & (rng.random(count) < 0.6))[:, None, None, None]
    free = rng.random((count, 2, 1, 1)) < 0.4
    return replace(
        bend_trunk(parts, 0.05, rng),
        pelvis=down,
        legs=np.where(bends, bent, parts.legs),
        arms=np.where(free, random_arms(count, rng), parts.arms),
    )


def random_arms(count: int, rng: np.random.Generator) -> Array:
    """Draw arms [count, 2, 2, 3], in the chest's axes, that shoulders and elbows allow."""
    side = (count, 2)
    # Uniform over the sphere would be in the cosine; hanging arms are more common than that.
    raising = np.arccos(1 - 1.9 * rng.random(side) ** 1.3)
    plane = rng.uniform(-0.5, 2.0, side)
    plane = np.where(raising < 0.6, plane.clip(-0.2, 1.6), plane)
    twist = rng.normal(0.35, 0.65, side).clip(-1.2, 1.5)
    elbow = rng.uniform(0, 2.5, side) * rng.random(side) ** 0.4
    return arms_from_angles(plane, raising, twist, elbow)


def random_legs(count: int, rng: np.random.Generator) -> Array:
    """Draw legs [count, 2, 2, 3], in the pelvis' axes, that hips and knees allow."""
    side = (count, 2)
    flexion = -0.4 + 2.4 * rng.random(side) ** 1.3
    spread = rng.normal(0.15, 0.22, side).clip(-0.2, 0.9)
    twist = rng.normal(0.1, 0.25, side).clip(-0.5, 0.7)
    return legs_from_angles(flexion, spread, twist, 2.4 * rng.random(side) ** 1.2)


def bend_trunk(parts: PoseParts, forward: float, rng: np.random.Generator) -> PoseParts:
    """Bend the trunk about `forward` radians forwards, and turn and lean it at random."""
    mean, deviation = (forward, 0.0, 0.0), (0.2, 0.22, 0.12)  # about left, up, forward
    vectors = rng.normal(mean, deviation, (len(parts), 3)).clip(-0.6, 0.7)
    whole, half = (rotations_about(share * vectors) for share in (1.0, 0.5))
    trunk = np.einsum("nij,nj->ni", half, parts.trunk)
    return replace(parts, trunk=trunk, chest=whole @ parts.chest)


def shake(limbs: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Turn both bones of limbs [N, 2, 2, 3] by a small rotation, the second by one more."""
    count = len(limbs)
    deviations = (deviation, deviation, deviation)
    turn = random_rotations(4 * count, deviations, rng).reshape(2, count, 2, 3, 3)
    shaken = np.einsum("nsij,nslj->nsli", turn[0], limbs)
    shaken[:, :, 1] = np.einsum("nsij,nsj->nsi", turn[1], shaken[:, :, 1])
    return shaken


def _alike(count: int, deviation: float, rng: np.random.Generator) -> Array:
    """Draw a disturbance [count, 2] of both sides, the same but for a fourth of it."""
    common = rng.normal(0, deviation, (count, 1))
    return common + rng.normal(0, deviation / 4 + 0.03, (count, 2))


def _on_level_legs(
    parts: PoseParts, lean: Array, legs: Array, rng: np.random.Generator
) -> PoseParts:
    """Lean the pelvis forwards over legs whose directions refer to level axes."""
    pelvis = turns(0, lean) @ turns(2, rng.normal(0, 0.06, len(parts)))
    legs = np.einsum("nji,nslj->nsli", pelvis, legs)
    return replace(bend_trunk(parts, 0.12, rng), pelvis=pelvis, legs=legs)


def _table_arms(count: int, rng: np.random.Generator) -> Array:
    """Draw arms of people who type, eat, steer, or rest the hands on their thighs."""
    side, alike = (count, 2), _alike(count, 0.2, rng)
    return arms_from_angles(
        rng.normal(1.2, 0.25, side),
        np.abs(0.5 + alike),
        rng.normal(0.3, 0.3, side),
        (rng.uniform(0.5, 2.0, (count, 1)) + alike).clip(0, 2.4),
    )
