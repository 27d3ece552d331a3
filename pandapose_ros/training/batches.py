"""Batches to train on: skeletons from motion capture, and features of images, step by step."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from pandapose_ros.config import (
    ModelConfig,
    RenderConfig,
    SkeletonSampleConfig,
    TrainConfig,
    TrainDataConfig,
)
from pandapose_ros.data.image_features import check_features, make_features
from pandapose_ros.data.image_samples import ImageSamples, ImageSampleSet, check_enough
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.blazepose import CROP_SIZE, FEATURE_CHANNELS, FEATURE_SIZES
from pandapose_ros.synthetic.poses import read_pool
from pandapose_ros.training.data_identity import data_identity, has_images
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import Batch
from pandapose_ros.training.photograph_batches import open_photographs
from pandapose_ros.training.rendered_batches import RenderedBatches

# From the number of a step, or of a batch of images, to a process' part of it.
Draw = Callable[[int], Batch]
Take = Callable[[int], ImageSamples]


class BatchSource:
    """Draw this process' part of the batch of each step; the next one while a step is done.

    Chance hangs on seed and step alone, so that a resumed training sees what another would have
    seen, and several processes together what one would see; but with `bodies` each process
    renders people of its own, others than one process would.

    Args:
        data: What to read.
        config: Sizes of batches, their order, seed.
        features: Folder to keep the images' features in, if `data` names none.
        share: This process' part.
        model: The network; of HRNet the features are made step by step, and nothing is held out.

    Attributes:
        about: Which data these are, how many samples with images, and through which frozen net
            they are seen; not where they are.
        held_out: Skeletons of clips held apart to score on; None if there are none, or if no step
            is done without images.
        warnings: One line for each reason why scores on photographs will look too good.

    Raises:
        ValueError: If there is nothing to train on, too little for a batch, or kept features are
            of something else; or if the processes cannot share a batch equally.
    """

    def __init__(
        self,
        data: TrainDataConfig,
        config: TrainConfig,
        features: Path,
        share: Share,
        model: ModelConfig = ModelConfig(),
    ) -> None:
        self._steps = config.steps
        self.held_out: SkeletonSampler | None = None
        self.warnings: tuple[str, ...] = ()
        if model.backbone == "blazepose":
            _check_crops(model)
            self._draw, self.held_out, samples = _with_blazepose(data, config, features, share)
        else:
            photographs = open_photographs(data, config, model, share)
            self._draw, samples = photographs.batch, len(photographs)
            self.warnings = photographs.warnings
        self.about = data_identity(data) | {"samples": samples}
        self._ahead = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        expected, self._next = self._next, None
        if expected is None or expected[0] != step:
            batch = self._draw(step)
        else:
            batch = expected[1].result()
        if step + 1 < self._steps:
            self._next = step + 1, self._ahead.submit(self._draw, step + 1)
        return batch


def skeleton_samplers(
    motion: Path, config: TrainConfig
) -> tuple[SkeletonSampler, SkeletonSampler | None]:
    """Return what to train on and what to score on: clips held apart, None if none are."""
    train, held_apart = (
        list(clips.values()) for clips in split_clips(read_motion(motion), config.held_out_share)
    )
    samples, held_out = SkeletonSampleConfig(), None
    if held_apart:
        bank = take_apart(np.concatenate(held_apart))
        held_out = SkeletonSampler(bank, samples, mixed=False)
    return SkeletonSampler(take_apart(np.concatenate(train)), samples), held_out


def _check_crops(model: ModelConfig) -> None:
    """Raise ValueError if a network takes other crops or features than BlazePose gives.

    Steps without images would not notice.
    """
    expected = {
        "crop_width": CROP_SIZE,
        "crop_height": CROP_SIZE,
        "level_channels": (FEATURE_CHANNELS,) * len(FEATURE_SIZES),
        "level_strides": tuple(CROP_SIZE // size for size in FEATURE_SIZES),
    }
    for name, value in expected.items():
        if (given := getattr(model, name)) != value:
            raise ValueError(f"{name}: expected {value}, as BlazePose gives it; got {given}")


def _refuse_options_of_hrnet(data: TrainDataConfig) -> None:
    """Raise ValueError if something is given that has no effect on BlazePose."""
    if data.backbone_weights:
        raise ValueError("--backbone-weights is for networks on HRNet, this is one on BlazePose")
    if data.detections != TrainDataConfig().detections:
        raise ValueError("--detections is for networks on HRNet: BlazePose has its own")


def _with_blazepose(
    data: TrainDataConfig, config: TrainConfig, features: Path, share: Share
) -> tuple[Draw, SkeletonSampler | None, int]:
    """Return what draws the batch of a step, skeletons to score on if any, and how many samples.

    Those are counted whose features are in files.
    """
    if not data.motion:
        raise ValueError("nothing to train on: give --motion, or data: {motion: FILE}")
    _refuse_options_of_hrnet(data)
    sees = bool(data.bodies) or has_images(data) or bool(data.features)
    _check_shares(config, share, sees_images=sees)
    sampler, held_out = skeleton_samplers(Path(data.motion), config)
    take: Take | None = None
    count = 0
    if data.bodies:
        take = _render(data, config, share)
    elif sees:
        folder = Path(data.features) if data.features else features
        if not has_images(data):
            check_features(data, folder)
        elif share.rank == 0:
            make_features(data, folder)
        share.wait()
        take, count = _read(folder, config, share)
    if take is not None and config.skeleton_steps == 0:
        held_out = None  # lifting without images is never learnt
    period = 1 + config.skeleton_steps

    def draw(step: int) -> Batch:
        if take is not None and step % period == 0:
            some = take(step // period)
            return Batch(some.keypoints, some.joints, [some.fine, some.middle, some.coarse])
        # Drawn whole by every process, as chance cannot be divided; it costs little.
        drawn = sampler.sample(config.batch, np.random.default_rng((config.seed, step)))
        part = share.of(config.batch)
        keypoints, joints = drawn.keypoints[part], drawn.joints[part]
        return Batch(torch.from_numpy(keypoints), torch.from_numpy(joints), None)

    return draw, held_out, count


def _check_shares(config: TrainConfig, share: Share, *, sees_images: bool) -> None:
    """Raise ValueError if the processes cannot share equally a batch that there will be."""
    if sees_images:
        share.of(config.image_batch)
    if config.skeleton_steps or not sees_images:
        share.of(config.batch)


def _read(folder: Path, config: TrainConfig, share: Share) -> tuple[Take, int]:
    """Take images from files of features; tell how many there are."""
    samples, part = ImageSampleSet(folder), share.of(config.image_batch)
    check_enough(len(samples), config.image_batch)

    def take(number: int) -> ImageSamples:
        return samples.take(samples.indices(number, config.image_batch, config.seed)[part])

    return take, len(samples)


def _render(data: TrainDataConfig, config: TrainConfig, share: Share) -> Take:
    """Render images on the device that trains; each process has people of its own."""
    if has_images(data) or data.features:
        raise ValueError("expected bodies to render, or images and features, got both")
    landmark_net = open_landmark_net(data.landmarks).to(share.device)
    pool = read_pool(Path(data.motion), config.held_out_share, test=False)
    batches = RenderedBatches(
        Path(data.bodies), pool, landmark_net, RenderConfig(), SkeletonSampleConfig()
    )
    size = config.image_batch // share.count
    return lambda number: batches.batch(number * share.count + share.rank, size, config.seed)
