"""Limbs from joint angles, and whether limbs run through the body.

Axes of pelvis and chest: left, up, forward.
"""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

_J = {name: index for index, name in enumerate(H36M_17.joint_names)}
_MOST_KNEE_FORWARD = np.sin(np.deg2rad(8.0))
_HAND = 0.45  # of the forearm's length, from the wrist to the fingers' knuckles
_MIRROR = np.array((-1.0, 1.0, 1.0), np.float32)
# Points that are looked at: joints, forearms' and shanks' middles, hands.
_POINTS = ("elbow", "forearm", "wrist", "hand", "knee", "shank", "ankle")
# Metres that these points of arms and of legs keep from the axes of the body's parts.
_ARM_CLEARANCE = {"trunk": 0.13, "neck": 0.12, "thigh": 0.09, "shank": 0.08, "arm": 0.06}
_LEG_CLEARANCE = {"trunk": 0.14, "neck": 0.16, "thigh": 0.09, "shank": 0.07}


def legs_from_angles(flexion: Array, spread: Array, twist: Array, knee: Array) -> Array:
    """Return the directions of thighs and shanks.

    Args:
        flexion: [N, 2], left and right, radians: the hip's, forwards.
        spread: [N, 2], the hip's, outwards.
        twist: [N, 2], of the thigh about itself, the kneecap outwards.
        knee: [N, 2], the knee's bend backwards.

    Returns:
        [N, 2, 2, 3], in the axes that the angles refer to.
    """
    zero = np.zeros_like(knee)
    shank = _about(1, np.stack((zero, -np.cos(knee), -np.sin(knee)), axis=-1), twist)
    thigh = np.stack((zero, zero - 1, zero), axis=-1)
    legs = [_about(0, _about(2, bone, spread), -flexion) for bone in (thigh, shank)]
    return _mirror_right(np.stack(legs, axis=2))


def arms_from_angles(plane: Array, raising: Array, twist: Array, elbow: Array) -> Array:
    """Return the directions of upper arms and forearms.

    Args:
        plane: [N, 2], left and right, radians: where the arm is raised, 0 aside, pi/2 forwards.
        raising: [N, 2], from hanging down.
        twist: [N, 2], of the upper arm about itself, the forearm inwards.
        elbow: [N, 2], the elbow's bend.

    Returns:
        [N, 2, 2, 3], in the chest's axes.
    """
    zero = np.zeros_like(elbow)
    forearm = _about(1, np.stack((zero, -np.cos(elbow), np.sin(elbow)), axis=-1), -twist)
    upper = np.stack((zero, zero - 1, zero), axis=-1)
    arms = [_about(1, _about(2, _about(1, b, plane), raising), -plane) for b in (upper, forearm)]
    return _mirror_right(np.stack(arms, axis=2))


def bend_knees_backwards(legs: Array) -> Array:
    """Return legs [N, 2, 2, 3], in the pelvis' axes, whose knees do not bend forwards.

    Source:
        Our choice: the kneecap looks where a thigh that swings without twist carries it.
    """
    thigh, shank = legs[:, :, 0], legs[:, :, 1]
    # The swing from straight down to the thigh, applied to "forward".
    halfway = thigh + np.array((0.0, -1.0, 0.0), legs.dtype)
    kneecap = -halfway * (thigh[..., 2:] / np.maximum(1 - thigh[..., 1:2], 0.05))
    kneecap[..., 2] += 1
    kneecap /= np.linalg.norm(kneecap, axis=-1, keepdims=True)
    too_far = ((shank * kneecap).sum(-1, keepdims=True) - _MOST_KNEE_FORWARD).clip(0)
    shank = shank - too_far * kneecap
    shank = shank / np.linalg.norm(shank, axis=-1, keepdims=True)
    return np.stack((thigh, shank), axis=2)


def limbs_clear(joints: Array) -> NDArray[np.bool_]:
    """Return whether arms stay out of the body, and legs out of the trunk and each other.

    Args:
        joints: [N, 17, 3], H36M-17, metres, of a body of average size.

    Returns:
        [N].
    """
    points = np.concatenate([_limb_points(joints, side) for side in ("left", "right")], axis=1)
    start, end = joints[:, _STARTS], joints[:, _ENDS]
    along = end - start
    at = np.einsum("npi,npi->np", points[:, _PLACES] - start, along)
    at = (at / np.einsum("npi,npi->np", along, along)).clip(0, 1)
    gap = points[:, _PLACES] - start - at[..., None] * along
    return (np.einsum("npi,npi->np", gap, gap) > _CLEARANCES**2).all(axis=1)


def _about(axis: int, vectors: Array, angle: Array) -> Array:
    """Turn vectors [..., 3] about a coordinate axis by angles [...]."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = vectors.copy()
    turned[..., a] = cosine * vectors[..., a] - sine * vectors[..., b]
    turned[..., b] = sine * vectors[..., a] + cosine * vectors[..., b]
    return turned


def _mirror_right(limbs: Array) -> Array:
    """Mirror the second of two limbs [N, 2, 2, 3] that were made as left ones."""
    limbs[:, 1] *= _MIRROR
    return limbs.astype(np.float32)


def _limb_points(joints: Array, side: str) -> Array:
    """Return the points [N, 7, 3] of one side that must be clear, in the order of `_POINTS`."""
    elbow, wrist = joints[:, _J[f"{side}_elbow"]], joints[:, _J[f"{side}_wrist"]]
    knee, ankle = joints[:, _J[f"{side}_knee"]], joints[:, _J[f"{side}_ankle"]]
    hand = wrist + _HAND * (wrist - elbow)
    middles = (elbow + wrist) / 2, (knee + ankle) / 2
    return np.stack((elbow, middles[0], wrist, hand, knee, middles[1], ankle), axis=1)


def _rules() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Array]:
    """List which point keeps off which bone (from joint, to joint), and how far."""
    rules: list[tuple[int, str, str, float]] = []
    for first, side, other in ((0, "left", "right"), (len(_POINTS), "right", "left")):
        arm, leg = range(first, first + 4), range(first + 4, first + 7)
        for points, clearance, legs in (
            (arm, _ARM_CLEARANCE, (side, other)),
            (leg, _LEG_CLEARANCE, (other,)),
        ):
            bones = [("trunk", "pelvis", "thorax"), ("neck", "thorax", "head")]
            bones += [("thigh", f"{name}_hip", f"{name}_knee") for name in legs]
            bones += [("shank", f"{name}_knee", f"{name}_ankle") for name in legs]
            if points is arm:
                bones.append(("arm", f"{other}_elbow", f"{other}_wrist"))
            rules += [(p, start, end, clearance[n]) for n, start, end in bones for p in points]
    points, starts, ends, clearances = zip(*rules, strict=True)
    bones = np.array([[_J[start] for start in starts], [_J[end] for end in ends]])
    return np.array(points), bones[0], bones[1], np.array(clearances, np.float32)


_PLACES, _STARTS, _ENDS, _CLEARANCES = _rules()
