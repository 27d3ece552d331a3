"""Motion clips held apart as views without images: captured poses and mixed ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pandapose_ros.config import SkeletonSampleConfig, TrainConfig
from pandapose_ros.data.dataset import Dataset
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.evaluation.views import KeypointSource, Views

_SAMPLES = 2048  # of each kind
_KINDS = {"captured": False, "mixed": True}


def skeleton_dataset(files: Sequence[Path]) -> Dataset:
    """Name the samples of `skeleton_views`; the action says whether poses are mixed."""
    actions = tuple(kind for kind in _KINDS for _ in range(_SAMPLES))
    return Dataset(
        name=" ".join(("motion", *(path.name for path in files))),
        actions=actions,
        subjects=("anybody",) * len(actions),
        read=lambda: iter(()),
        files=tuple(file for path in files for file in motion_files(path)),
    )


def skeleton_views(files: Sequence[Path], source: KeypointSource, batch: int) -> Iterator[Views]:
    """Draw skeleton-only samples of the clips held apart, the same in every call.

    Args:
        files: As of `motion.read_motion`; of each, the clips that training on it holds apart.
        source: True keypoints, or with the noise that stands for detection.
        batch: Greatest number of samples at a time.

    Raises:
        ValueError: If given keypoints are asked for, which there are none of, or no clip is held
            apart.
    """
    if source is KeypointSource.GIVEN:
        raise ValueError("motion clips have no detected keypoints; take 'detected' or 'true'")
    # Each by itself, as training does: together, other clips could be the last of a kind.
    parts = [split_clips(read_motion(path), TrainConfig().held_out_share) for path in files]
    held_apart = [clip for _, apart in parts for clip in apart.values()]
    if not held_apart:
        count = sum(len(trained_on) for trained_on, _ in parts)
        raise ValueError(
            f"none of {count} clips is held apart to score on; expected two of a kind, named "
            "alike but for a number at the end"
        )
    bank = take_apart(np.concatenate(held_apart))
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
