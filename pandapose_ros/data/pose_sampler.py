"""New poses from captured ones: parts exchanged between frames, and families of made-up poses."""

from collections.abc import Callable
from dataclasses import astuple, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import PoseConfig
from pandapose_ros.data import pose_families
from pandapose_ros.data.body_joints import average_bodies, put_together
from pandapose_ros.data.limbs import bend_knees_backwards, limbs_clear
from pandapose_ros.data.motion import PoseParts, mirror_parts
from pandapose_ros.data.rotations import random_rotations

Indices = NDArray[np.integer]


class Family(IntEnum):
    """Name the families of poses, in the order of `PoseConfig`."""

    CAPTURED = 0
    MIXED = 1
    RANDOM_LIMBS = 2
    SITTING = 3
    CROUCHING = 4
    REACHING = 5
    LYING = 6


_MADE_UP: dict[Family, Callable[[PoseParts, np.random.Generator], PoseParts]] = {
    Family.RANDOM_LIMBS: pose_families.random_limbs,
    Family.SITTING: pose_families.sitting,
    Family.CROUCHING: pose_families.crouching,
    Family.REACHING: pose_families.reaching,
    Family.LYING: pose_families.lying,
}
_ATTEMPTS = 5  # to draw a pose whose limbs do not run through the body


class PoseSampler:
    """Draw poses for training, of the shares of families that a configuration asks for.

    Args:
        bank: Captured poses.
        config: Shares of the families.

    Raises:
        ValueError: If all shares are 0.
    """

    def __init__(self, bank: PoseParts, config: PoseConfig) -> None:
        shares = np.array(astuple(config))
        if shares.sum() <= 0:
            raise ValueError(f"expected a share above 0 of some family of poses, got {config}")
        self.bank = bank
        self._shares = shares / shares.sum()

    def sample(self, count: int, rng: np.random.Generator) -> tuple[PoseParts, Indices, Indices]:
        """Draw poses.

        Args:
            count: N.
            rng: Source of chance.

        Returns:
            N poses; `Family` [N] of each; and the frame [N] of the bank
            that its trunk is from.

        Source:
            Our choice: the captured clips have few distinct poses and none of many daily ones;
            mixed and made-up ones are many. Poses whose limbs run through the body are drawn
            again, a few times.
        """
        family = rng.choice(len(Family), size=count, p=self._shares)
        parts, frame = self._draw(family, rng)
        missing = np.arange(count)
        for _ in range(_ATTEMPTS - 1):
            joints = put_together(parts.take(missing), average_bodies(len(missing)))
            missing = missing[~limbs_clear(joints)]
            if not len(missing):
                break
            fresh, frame[missing] = self._draw(family[missing], rng)
            _replace(parts, missing, fresh)
        return parts, family, frame

    def _draw(self, family: Indices, rng: np.random.Generator) -> tuple[PoseParts, Indices]:
        """Draw one pose of each given family, and the frames of the trunks."""
        parts, frame = self._mixed(family == Family.CAPTURED, rng)
        for one, build in _MADE_UP.items():
            index = np.flatnonzero(family == one)
            if len(index):
                _replace(parts, index, build(parts.take(index), rng))
        mirrored = np.flatnonzero(rng.random(len(family)) < 0.5)
        _replace(parts, mirrored, mirror_parts(parts.take(mirrored)))
        return parts, frame

    def _mixed(
        self, captured: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[PoseParts, Indices]:
        """Put together pelvis with legs, trunk with head, and arms of frames of their own."""
        count, bank = len(captured), self.bank
        frame = rng.integers(len(bank), size=count)

        def draw() -> Indices:
            return np.where(captured, frame, rng.integers(len(bank), size=count))

        lower, left, right = draw(), draw(), draw()
        upper, other = bank.take(frame), bank.take(lower)
        arms = np.stack((bank.arms[left, 0], bank.arms[right, 1]), axis=1)
        kept = captured[:, None, None, None]
        legs = bend_knees_backwards(pose_families.shake(other.legs, 0.12, rng))
        head = upper.head @ random_rotations(count, (0.15, 0.4, 0.1), rng)
        parts = replace(
            upper,
            pelvis=other.pelvis,
            head=np.where(kept[..., 0], upper.head, head),
            legs=np.where(kept, other.legs, legs),
            arms=np.where(kept, arms, pose_families.shake(arms, 0.2, rng)),
        )
        return parts, frame


def _replace(parts: PoseParts, index: Indices, new: PoseParts) -> None:
    """Write poses to the given positions, in place."""
    for name, part in vars(parts).items():
        part[index] = vars(new)[name]
