"""Motion capture: read clips, hold some apart, and take poses apart so that they can be mixed.

In: joints [T, 17, 3] in metres, y up, in Human3.6M's order as the CMU data base gives them. Out:
`PoseParts`: how pelvis, trunk, head and limbs are turned, without bone lengths.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.motion_files import MOTION_SUFFIXES, read_captures
from pandapose_ros.data.plain_npz import read_npz
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

JOINTS = len(H36M_17.joint_names)
# The file's joint 9 is where skull and neck meet, 10 the end of the head's bone. In walking
# clips the line thorax - 10 leans forward by 10 degrees; a walker's head is taken as upright.
_HEAD_LEAN = np.deg2rad(10.0)
_NUMBER = re.compile(r"_?\d+$")
_HIPS, _SHOULDERS = (4, 1), (11, 14)  # left, right
_LEGS = ((4, 5, 6), (1, 2, 3))
_ARMS = ((11, 12, 13), (14, 15, 16))


@dataclass(frozen=True)
class PoseParts:
    """Hold N poses without bone lengths: frames of the body's parts and directions of limbs.

    The columns of a frame are its axes left, up and forward. Limbs are unit vectors, first the
    left side, then the right; first thigh or upper arm, then shank or forearm.

    Attributes:
        pelvis: [N, 3, 3], axes in the world, y up.
        trunk: [N, 3], direction from pelvis to thorax, in the pelvis' axes.
        chest: [N, 3, 3], axes in those of the pelvis; left is the line between the shoulders.
        head: [N, 3, 3], axes in those of the chest.
        legs: [N, 2, 2, 3], in the pelvis' axes.
        arms: [N, 2, 2, 3], in the chest's axes.
    """

    pelvis: Array
    trunk: Array
    chest: Array
    head: Array
    legs: Array
    arms: Array

    def __len__(self) -> int:
        """Return the number of poses."""
        return len(self.pelvis)

    def take(self, index: NDArray[np.integer]) -> "PoseParts":
        """Return the poses at the given positions."""
        return PoseParts(**{name: part[index] for name, part in vars(self).items()})


def read_motion(path: Path) -> dict[str, Array]:
    """Read motion clips.

    Args:
        path: npz; each array is a clip [T, 17, 3]: metres, y up, Human3.6M's order of joints, 9
            being the base of the skull and 10 the end of the head. Or what
            `motion_files.read_captures` reads: an AMC or BVH file, or a folder of such.

    Returns:
        Clips by name, sorted by name, float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of no such format or an array has another shape; the message names it.
    """
    if path.is_dir() or (path.is_file() and path.suffix.lower() in MOTION_SUFFIXES):
        return dict(sorted(read_captures(path).items()))
    if not path.is_file():
        raise FileNotFoundError(
            f"no motion {path}; expected an npz of clips [T, 17, 3], or files AMC or BVH"
        )
    clips = read_npz(path)
    for name, clip in clips.items():
        if clip.ndim != 3 or clip.shape[1:] != (JOINTS, 3) or not np.isfinite(clip).all():
            raise ValueError(
                f"{path}: expected clip '{name}' to be [T, {JOINTS}, 3] and finite, "
                f"got {list(clip.shape)}"
            )
    if not clips:
        raise ValueError(f"{path} holds no clips; expected arrays [T, {JOINTS}, 3]")
    return {name: clip.astype(np.float32) for name, clip in clips.items()}


def split_clips(
    clips: dict[str, Array], share: float
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Hold the last clips of every kind of motion apart for testing.

    Args:
        clips: By name; names that differ only in the number at the end are of one kind.
        share: Of each kind's clips, rounded, [0, 1); of a kind with two clips or more at least
            one is held apart and at least one is not. 0 holds none apart.

    Returns:
        Clips to train on, clips to test on, each sorted by name.

    Raises:
        ValueError: If the share is out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"expected a share of clips to hold apart in [0, 1), got {share}")
    kinds: dict[str, list[str]] = {}
    for name in sorted(clips):
        kinds.setdefault(_NUMBER.sub("", name), []).append(name)
    held_apart = {
        name
        for names in kinds.values()
        for name in names[len(names) - _held_apart(len(names), share) :]
    }
    return (
        {name: clips[name] for name in sorted(clips) if name not in held_apart},
        {name: clips[name] for name in sorted(clips) if name in held_apart},
    )


def take_apart(joints: Array) -> PoseParts:
    """Turn captured joints into parts.

    Args:
        joints: [N, 17, 3], as `read_motion` gives them.

    Returns:
        N poses.

    Source:
        Our choice: the head looks where the shoulders do, tilted as its bone is; markers tell
        nothing of its turn.
    """
    hips, shoulders = joints[:, _HIPS], joints[:, _SHOULDERS]
    thorax = shoulders.mean(axis=1)
    pelvis = _frame(hips[:, 0] - hips[:, 1], joints[:, 7] - joints[:, 0])
    chest = _frame(shoulders[:, 0] - shoulders[:, 1], joints[:, 8] - joints[:, 7])
    head = _frame(shoulders[:, 0] - shoulders[:, 1], joints[:, 10] - thorax) @ _turn_back()
    return PoseParts(
        pelvis=pelvis,
        trunk=_into(pelvis, _unit(thorax - hips.mean(axis=1))),
        chest=pelvis.swapaxes(1, 2) @ chest,
        head=chest.swapaxes(1, 2) @ head,
        legs=_limbs(joints, _LEGS, pelvis),
        arms=_limbs(joints, _ARMS, chest),
    )


def mirror_parts(parts: PoseParts) -> PoseParts:
    """Return the poses as seen in a mirror."""
    flip = np.array((-1.0, 1.0, 1.0), np.float32)
    frames = flip[:, None] * flip
    return PoseParts(
        pelvis=parts.pelvis * frames,
        trunk=parts.trunk * flip,
        chest=parts.chest * frames,
        head=parts.head * frames,
        legs=parts.legs[:, ::-1] * flip,
        arms=parts.arms[:, ::-1] * flip,
    )


def _held_apart(count: int, share: float) -> int:
    """Return how many of the clips of one kind are held apart."""
    if share == 0 or count < 2:
        return 0
    return min(max(1, round(share * count)), count - 1)


def _unit(vectors: Array) -> Array:
    """Return vectors [..., 3] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _frame(left: Array, up: Array) -> Array:
    """Return axes [N, 3, 3] with the first along `left` and the second near `up`."""
    x = _unit(left)
    y = _unit(up - (up * x).sum(-1, keepdims=True) * x)
    return np.stack((x, y, np.cross(x, y)), axis=-1).astype(np.float32)


def _turn_back() -> Array:
    """Return the rotation about the left axis that takes the lean out of the head."""
    cosine, sine = np.cos(_HEAD_LEAN), np.sin(_HEAD_LEAN)
    return np.array(((1, 0, 0), (0, cosine, sine), (0, -sine, cosine)), np.float32)


def _into(axes: Array, vectors: Array) -> Array:
    """Express vectors [N, 3] in axes [N, 3, 3]."""
    return np.einsum("nji,nj->ni", axes, vectors)


def _limbs(joints: Array, chains: tuple[tuple[int, int, int], ...], axes: Array) -> Array:
    """Return the directions [N, 2, 2, 3] of two chains of joints, in axes [N, 3, 3]."""
    chain = joints[:, np.array(chains)]  # [N, 2, 3, 3]
    directions = _unit(np.diff(chain, axis=2))
    return np.einsum("nji,nslj->nsli", axes, directions).astype(np.float32)
