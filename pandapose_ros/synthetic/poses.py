"""Target skeletons for training: motion capture, mixed and mirrored, and random limb angles.

Frames here: z up, the pelvis at the origin, metres.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.data.motion import read_motion, split_clips
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.rotations import about, frame, rotate, unit

_J = {name: index for index, name in enumerate(H36M_17.joint_names)}
_LEGS = (1, 2, 3, 4, 5, 6)
_ARMS = {"left": (11, 12, 13), "right": (14, 15, 16)}
_LEG = {"left": (4, 5, 6), "right": (1, 2, 3)}
_MIXED, _RANDOM_ARM, _RANDOM_LEG, _LYING = 0.6, 0.25, 0.15, 0.04  # how often
_CLEARANCE = 0.13  # metres that elbows and wrists keep from the trunk's axis


@dataclass(frozen=True)
class MotionPool:
    """Hold frames of motion capture.

    Attributes:
        joints: [T, 17, 3].
        clip: [T] index of the frame's clip in `names`.
        names: Of all clips in the file, sorted.
    """

    joints: Tensor
    clip: Tensor
    names: tuple[str, ...]


def read_pool(path: Path, held_out: int, *, test: bool) -> MotionPool:
    """Read clips to pose people with; the same clips are held apart as in the lifter's training.

    Args:
        path: As of `motion.read_motion`.
        held_out: Clips, last by name, that belong to the test half.
        test: Take these instead of all others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a clip is not [T, 17, 3] or no clip is left.
    """
    clips = read_motion(path)
    chosen = split_clips(clips, held_out)[1 if test else 0]
    if not chosen:
        raise ValueError(f"{path}: none of {len(clips)} clips is held out; raise the number")
    names = tuple(clips)
    joints = torch.as_tensor(np.concatenate(list(chosen.values())))
    joints = torch.stack((joints[..., 0], -joints[..., 2], joints[..., 1]), dim=-1)
    owner = np.repeat([names.index(name) for name in chosen], [len(c) for c in chosen.values()])
    return MotionPool(joints - joints[:, :1], torch.as_tensor(owner), names)


def sample_targets(
    pool: MotionPool, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw target skeletons.

    Legs, trunk and each arm often come from different frames, each frame mirrored half of the
    time; some limbs take random angles; a few people lie. Arms that run through the trunk are
    drawn again.

    Args:
        pool: Motion capture.
        count: B.
        rng: Drives every choice.

    Returns:
        Joints [B, 17, 3], and the clip [B] that the trunk comes from.
    """
    kept, clips, missing = [], [], count
    while missing > 0:
        joints, clip = _draw(pool, 2 * missing, rng)
        free = _arms_clear(joints).nonzero()[:missing, 0]
        kept.append(joints[free])
        clips.append(clip[free])
        missing -= len(free)
    joints = torch.cat(kept)
    return _lay_down(joints, rng), torch.cat(clips)


def _draw(pool: MotionPool, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw joints [B, 17, 3] and the trunks' clips [B], without any check."""
    joints, clip = _frames(pool, count, rng)
    mixed = torch.as_tensor(rng.random(count) < _MIXED)
    _transplant(joints, _frames(pool, count, rng)[0], _LEGS, mixed)
    for arm in _ARMS.values():
        _transplant(joints, _frames(pool, count, rng)[0], arm, mixed)
    for side, arm in _ARMS.items():
        chosen = torch.as_tensor(rng.random(count) < _RANDOM_ARM)
        joints[chosen] = _random_arm(joints[chosen], arm, side, rng)
    for side, leg in _LEG.items():
        chosen = torch.as_tensor(rng.random(count) < _RANDOM_LEG)
        joints[chosen] = _random_leg(joints[chosen], leg, side, rng)
    return joints, clip


def _frames(pool: MotionPool, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw frames [B, 17, 3] and their clips [B], mirrored half of the time."""
    index = torch.as_tensor(rng.integers(len(pool.joints), size=count))
    joints = pool.joints[index].clone()
    mirror = joints[:, list(H36M_17.mirror)] * joints.new_tensor([-1.0, 1.0, 1.0])
    flip = torch.as_tensor(rng.random(count) < 0.5)
    return torch.where(flip[:, None, None], mirror, joints), pool.clip[index]


def _hips(joints: Tensor) -> Tensor:
    """Return the pelvis' frame [B, 3, 3]."""
    across = joints[:, _J["left_hip"]] - joints[:, _J["right_hip"]]
    return frame(across, joints[:, _J["spine"]] - joints[:, _J["pelvis"]])


def _chest(joints: Tensor) -> Tensor:
    """Return the chest's frame [B, 3, 3]: x to the person's left, y back, z up."""
    across = joints[:, _J["left_shoulder"]] - joints[:, _J["right_shoulder"]]
    return frame(across, joints[:, _J["thorax"]] - joints[:, _J["spine"]])


def _transplant(joints: Tensor, donor: Tensor, limb: tuple[int, ...], chosen: Tensor) -> None:
    """Give the chosen people the donor's limb, turned with the hips or chest; in place."""
    girdle = _hips if limb == _LEGS else _chest
    turn = girdle(joints) @ girdle(donor).mT
    root, donor_root = (joints[:, :1], donor[:, :1])
    if limb != _LEGS:
        root, donor_root = joints[:, limb[:1]], donor[:, limb[:1]]
    moved = root + rotate(turn[:, None], donor[:, list(limb)] - donor_root)
    for k, joint in enumerate(limb):
        joints[chosen, joint] = moved[chosen, k]


def _random_arm(
    joints: Tensor, arm: tuple[int, ...], side: str, rng: np.random.Generator
) -> Tensor:
    """Give every person a random arm within what a shoulder allows."""
    a, b, c = arm
    count, outward = len(joints), 1.0 if side == "left" else -1.0
    # The upper arm points anywhere but across the body or far back.
    direction = rng.normal((0.5 * outward, -0.4, -0.2), (1.0, 0.8, 1.0), (count, 3))
    bend, plane = rng.uniform(0.0, 2.4, count), rng.normal((0.0, -0.7, 0.3), 1.0, (count, 3))
    return _set_limb(joints, (a, b, c), _chest(joints), direction, bend, plane)


def _random_leg(
    joints: Tensor, leg: tuple[int, ...], side: str, rng: np.random.Generator
) -> Tensor:
    """Give every person a random leg: hip bent forward and out, knee bent back."""
    count, outward = len(joints), 1.0 if side == "left" else -1.0
    lift, spread = rng.uniform(-0.35, 2.0, count), rng.uniform(-0.1, 0.8, count)
    direction = np.stack(
        (outward * np.sin(spread), -np.sin(lift) * np.cos(spread), -np.cos(lift) * np.cos(spread)),
        axis=-1,
    )
    back = np.stack((np.zeros(count), np.cos(lift), -np.sin(lift)), axis=-1)
    return _set_limb(joints, leg, _hips(joints), direction, rng.uniform(0.0, 2.3, count), back)


def _set_limb(
    joints: Tensor,
    limb: tuple[int, ...],
    base: Tensor,
    direction: np.ndarray,
    bend: np.ndarray,
    plane: np.ndarray,
) -> Tensor:
    """Point the upper bone, bend the lower one towards `plane`; all in the frame `base`."""
    a, b, c = limb
    upper = unit(torch.as_tensor(direction, dtype=torch.float32))
    aside = torch.as_tensor(plane, dtype=torch.float32)
    aside = unit(aside - (aside * upper).sum(-1, keepdim=True) * upper)
    angle = torch.as_tensor(bend, dtype=torch.float32)[:, None]
    lower = angle.cos() * upper + angle.sin() * aside
    result = joints.clone()
    length = (joints[:, b] - joints[:, a]).norm(dim=-1, keepdim=True)
    result[:, b] = joints[:, a] + rotate(base, upper) * length
    length = (joints[:, c] - joints[:, b]).norm(dim=-1, keepdim=True)
    result[:, c] = result[:, b] + rotate(base, lower) * length
    return result


def _arms_clear(joints: Tensor) -> Tensor:
    """Tell [B] whether elbows, wrists and the forearms' middles stay out of the trunk and head."""
    clear = torch.ones(len(joints), dtype=torch.bool)
    trunk = joints[:, _J["thorax"]] - joints[:, _J["pelvis"]]
    height = trunk.norm(dim=-1, keepdim=True)
    for _, elbow, wrist in _ARMS.values():
        middle = (joints[:, elbow] + joints[:, wrist]) / 2
        for point in (joints[:, elbow], joints[:, wrist], middle):
            along = (point * trunk).sum(-1, keepdim=True) / height**2
            axis = along.clamp(0.0, 1.0) * trunk
            clear &= (point - axis).norm(dim=-1) > _CLEARANCE
            clear &= (point - joints[:, _J["nose"]]).norm(dim=-1) > _CLEARANCE
    return clear


def _lay_down(joints: Tensor, rng: np.random.Generator) -> Tensor:
    """Tip a few people over by about 90 degrees round a level axis."""
    count = len(joints)
    angle = rng.normal(0.0, 0.05, count)
    angle += np.where(rng.random(count) < _LYING, rng.choice((-1.57, 1.57), count), 0.0)
    heading = rng.uniform(0.0, 2 * np.pi, count)
    axis = np.stack((np.cos(heading), np.sin(heading), np.zeros(count)), axis=-1)
    from_axis = torch.as_tensor(axis, dtype=torch.float32)
    turn = about(from_axis, torch.as_tensor(angle, dtype=torch.float32))
    return rotate(turn[:, None], joints)
