"""Skeletons for rendered people to take the pose of.

Frames here: z up, the pelvis at the origin, metres.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import PoseConfig
from pandapose_ros.data.body_joints import average_bodies, put_together
from pandapose_ros.data.motion import PoseParts, read_motion, split_clips, take_apart
from pandapose_ros.data.pose_sampler import PoseSampler
from pandapose_ros.skeleton import H36M_17

_J = {name: index for index, name in enumerate(H36M_17.joint_names)}
_LEGS = [_J[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
_UPPER_BODY = [joint for joint in range(len(_J)) if joint not in (*_LEGS, _J["pelvis"])]
_HALF_TRUNK = 0.23  # metres


@dataclass(frozen=True)
class MotionPool:
    """Hold frames of motion capture.

    Attributes:
        bank: T poses.
        clip: [T] index of the frame's clip in `names`.
        names: Of all clips that were read, sorted.
    """

    bank: PoseParts
    clip: NDArray[np.integer]
    names: tuple[str, ...]


def read_pool(path: Path, held_out_share: float, *, test: bool) -> MotionPool:
    """Read clips to pose people with; the same clips are held apart as in the lifter's training.

    Args:
        path: As of `motion.read_motion`.
        held_out_share: Of the clips of each kind of motion, as of `motion.split_clips`.
        test: Take these instead of all others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a clip is not [T, 17, 3] or no clip is left.
    """
    clips = read_motion(path)
    chosen = split_clips(clips, held_out_share)[1 if test else 0]
    if not chosen:
        raise ValueError(
            f"{path}: none of {len(clips)} clips is held out; expected two of a kind, named alike "
            "but for a number at the end, and a share above 0"
        )
    names = tuple(clips)
    owner = np.repeat([names.index(name) for name in chosen], [len(c) for c in chosen.values()])
    return MotionPool(take_apart(np.concatenate(list(chosen.values()))), owner, names)


def sample_targets(
    pool: MotionPool, count: int, rng: np.random.Generator, config: PoseConfig | None = None
) -> tuple[Tensor, NDArray[np.integer], NDArray[np.integer]]:
    """Draw target skeletons for `rig.pose`.

    Args:
        pool: Motion capture.
        count: B.
        rng: Drives every choice.
        config: Shares of the families of poses.

    Returns:
        Joints [B, 17, 3]; the clip [B] that the trunk comes from; the `Family` [B] of the pose.
    """
    parts, family, frame = PoseSampler(pool.bank, config or PoseConfig()).sample(count, rng)
    return torch.as_tensor(rig_targets(parts)), pool.clip[frame], family


def rig_targets(parts: PoseParts) -> NDArray[np.float32]:
    """Return skeletons [N, 17, 3] from whose bones a rig reads how its own are to be turned.

    A rig bends its spine from how hips and chest are turned, so here the line from pelvis to
    spine is the hips' up and the line from spine to thorax is the chest's.
    """
    joints = put_together(parts, average_bodies(len(parts)))
    up = parts.pelvis[:, :, 1]
    chest_up = np.einsum("nij,nj->ni", parts.pelvis, parts.chest[:, :, 1])
    spine = joints[:, _J["pelvis"]] + _HALF_TRUNK * up
    shift = spine + _HALF_TRUNK * chest_up - joints[:, _J["thorax"]]
    joints[:, _UPPER_BODY] += shift[:, None]
    joints[:, _J["spine"]] = spine
    return np.stack((joints[..., 0], -joints[..., 2], joints[..., 1]), axis=-1).astype(np.float32)
