"""Motion clips held apart as views without images: captured poses and mixed ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.checkpoint import HELD_OUT_KEY, read_metadata
from pandapose_ros.config import SkeletonSampleConfig, TrainConfig
from pandapose_ros.data.dataset import Dataset
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.evaluation.candidates import Candidate
from pandapose_ros.evaluation.views import KeypointSource, Views

_DEFAULT_SHARE = TrainConfig().held_out_share
_SAMPLES = 2048  # of each kind
_KINDS = {"captured": False, "mixed": True}


def share_held_apart(candidates: Sequence[Candidate], given: float | None) -> float:
    """Return which share of motion clips to score on.

    Args:
        candidates: Networks that look through the same backbone.
        given: The share, if it was asked for; None: that of their training, as their files tell,
            of files that do not the default.

    Raises:
        ValueError: If they are on HRNet, or their trainings held apart different shares.
    """
    if candidates[0].net.config.backbone != "blazepose":
        raise ValueError("motion clips are for networks on BlazePose: crops are as it makes them")
    if given is not None:
        return given
    told = [read_metadata(candidate.path) for candidate in candidates]
    shares = {float(metadata.get(HELD_OUT_KEY, _DEFAULT_SHARE)) for metadata in told}
    if len(shares) > 1:
        raise ValueError(
            f"the trainings held apart different shares of clips, {sorted(shares)}; give the "
            "least as --held-out-share, or score the weights one by one"
        )
    return shares.pop()


def skeleton_dataset(files: Sequence[Path], share: float = _DEFAULT_SHARE) -> Dataset:
    """Name the samples of `skeleton_views`; the action says whether poses are mixed."""
    actions = tuple(kind for kind in _KINDS for _ in range(_SAMPLES))
    name = " ".join(("motion", *(path.name for path in files)))
    return Dataset(
        name=name if share == _DEFAULT_SHARE else f"{name}, {share:g} held apart",
        actions=actions,
        subjects=("anybody",) * len(actions),
        read=lambda: iter(()),
        files=tuple(file for path in files for file in motion_files(path)),
    )


def skeleton_views(
    files: Sequence[Path], source: KeypointSource, batch: int, share: float = _DEFAULT_SHARE
) -> Iterator[Views]:
    """Draw skeleton-only samples of the clips held apart, the same in every call.

    Args:
        files: As of `motion.read_motion`; of each, the clips that training on it holds apart.
        source: True keypoints, or with the noise that stands for detection.
        batch: Greatest number of samples at a time.
        share: Of the clips that training held apart, as `motion.split_clips` takes it.

    Raises:
        ValueError: If given keypoints are asked for, which there are none of, or no clip is held
            apart.
    """
    if source is KeypointSource.GIVEN:
        raise ValueError("motion clips have no detected keypoints; take 'detected' or 'true'")
    bank = take_apart(np.concatenate(_clips_held_apart(files, share)))
    first = 0
    for mixed in _KINDS.values():
        sampler = SkeletonSampler(bank, SkeletonSampleConfig(), mixed=mixed)
        drawn = sampler.sample(_SAMPLES, np.random.default_rng(0))
        true = drawn.clean_keypoints
        lifted = true if source is KeypointSource.TRUE else drawn.keypoints
        for start in range(0, _SAMPLES, batch):
            some = slice(start, min(start + batch, _SAMPLES))
            yield Views(
                indices=np.arange(first + some.start, first + some.stop),
                joints=drawn.joints[some],
                keypoints=lifted[some],
                true_keypoints=true[some],
                keypoints_px=lifted[some],
                true_keypoints_px=true[some],
                world_landmarks=np.full_like(drawn.joints[some], np.nan),
                features=None,
                mirrored_features=None,
            )
        first += _SAMPLES


def _clips_held_apart(files: Sequence[Path], share: float) -> list[NDArray[np.floating]]:
    """Return the clips [T, 17, 3] that training on each of the files holds apart."""
    # Each by itself, as training does: together, other clips could be the last of a kind.
    parts = [split_clips(read_motion(path), share) for path in files]
    held_apart = [clip for _, apart in parts for clip in apart.values()]
    count = sum(len(trained_on) for trained_on, _ in parts)
    if not held_apart and share == 0:
        raise ValueError(
            f"none of {count} clips is held apart: the weights were trained on all; give "
            "other clips, and of which share of them to take samples as --held-out-share"
        )
    if not held_apart:
        raise ValueError(
            f"none of {count} clips is held apart to score on; expected two of a kind, named "
            "alike but for a number at the end"
        )
    return held_apart
