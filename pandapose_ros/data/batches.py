"""Batches to train on: skeletons from motion capture, and features of images, step by step."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pandapose_ros.config import (
    RenderConfig,
    SkeletonSampleConfig,
    TrainConfig,
    TrainDataConfig,
)
from pandapose_ros.data.image_samples import (
    ImageSamples,
    ImageSampleSet,
    make_image_samples,
    save_image_samples,
)
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.rendered_batches import RenderedBatches
from pandapose_ros.data.rendered_images import chunk_files, read_chunk
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.distribution import Share
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.pandapose import LANDMARK_FILE
from pandapose_ros.model_files import find_model_file
from pandapose_ros.synthetic.poses import read_pool
from pandapose_ros.training import Batch

_IMAGES_AT_ONCE = 20

Take = Callable[[int], ImageSamples]  # from the number of a batch to a process' part of it


class BatchSource:
    """Draw this process' part of the batch of each step; the next one while a step is done.

    Chance hangs on seed and step alone, so that a resumed training sees what another would have
    seen, and several processes together what one would see.

    Args:
        data: What to read.
        config: Sizes of batches, their order, seed.
        features: Folder to keep the images' features in, if `data` names none.
        share: This process' part.

    Attributes:
        held_out: Skeletons of clips held apart.

    Raises:
        ValueError: If there is nothing to train on.
    """

    def __init__(
        self, data: TrainDataConfig, config: TrainConfig, features: Path, share: Share
    ) -> None:
        if not data.motion:
            raise ValueError("nothing to train on: give --motion, or data: {motion: FILE}")
        for size in (config.batch, config.image_batch):
            share.of(size)  # must divide
        self._sampler, self.held_out = skeleton_samplers(Path(data.motion), config)
        self._config, self._share = config, share
        self._take: Take | None = None
        if data.bodies:
            self._take = _render(data, config, share)
        elif data.images or data.features:
            folder = Path(data.features) if data.features else features
            if data.images and share.rank == 0:
                make_features(Path(data.images), folder, data.views)
            share.wait()
            self._take = _read(folder, config, share)
        self._ahead = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        expected, self._next = self._next, None
        if expected is None or expected[0] != step:
            batch = self._draw(step)
        else:
            batch = expected[1].result()
        if step + 1 < self._config.steps:
            self._next = step + 1, self._ahead.submit(self._draw, step + 1)
        return batch

    def _draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        config, period = self._config, 1 + self._config.skeleton_steps
        if self._take is not None and step % period == 0:
            some = self._take(step // period)
            return Batch(some.keypoints, some.joints, [some.fine, some.middle, some.coarse])
        # Drawn whole by every process, as chance cannot be divided; it costs little.
        part = self._share.of(config.batch)
        drawn = self._sampler.sample(config.batch, np.random.default_rng((config.seed, step)))
        keypoints, joints = drawn.keypoints[part], drawn.joints[part]
        return Batch(torch.from_numpy(keypoints), torch.from_numpy(joints), None)


def skeleton_samplers(
    motion: Path, config: TrainConfig
) -> tuple[SkeletonSampler, SkeletonSampler]:
    """Return what to train on and what to score on: clips held apart."""
    banks = [
        take_apart(np.concatenate(list(clips.values())))
        for clips in split_clips(read_motion(motion), config.held_out_share)
    ]
    samples = SkeletonSampleConfig()
    return SkeletonSampler(banks[0], samples), SkeletonSampler(banks[1], samples, mixed=False)


def make_features(images: Path, folder: Path, views: int) -> None:
    """Run the landmark net on all rendered images that were not looked at before.

    Args:
        images: Folder that `pandapose synthesize` filled.
        folder: Gets one file of samples for each file of images.
        views: Jittered crops per image.

    Raises:
        FileNotFoundError: If there are no images.
        ValueError: If the folder holds samples of other images, or made in another way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_samples(images, folder, views)
    landmark_net: BlazePose | None = None
    for path in tqdm(chunk_files(images), desc="features", unit="file"):
        target = folder / f"{path.stem}.safetensors"
        if target.exists():
            continue
        landmark_net = landmark_net or BlazePose(find_model_file(LANDMARK_FILE).read_bytes())
        rng = np.random.default_rng(list(path.name.encode()))
        rendered, parts = read_chunk(path), []
        while some := list(islice(rendered, _IMAGES_AT_ONCE)):
            part = make_image_samples(some, landmark_net, SkeletonSampleConfig(), rng, views)
            parts.append(vars(part))
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        save_image_samples(target, ImageSamples(**joined))


def _read(folder: Path, config: TrainConfig, share: Share) -> Take:
    """Take images from files of features."""
    samples, part = ImageSampleSet(folder), share.of(config.image_batch)

    def take(number: int) -> ImageSamples:
        return samples.take(samples.indices(number, config.image_batch, config.seed)[part])

    return take


def _render(data: TrainDataConfig, config: TrainConfig, share: Share) -> Take:
    """Render images on the device that trains; each process has people of its own."""
    if data.images or data.features:
        raise ValueError("expected bodies to render, or images and features, got both")
    landmark_net = BlazePose(find_model_file(LANDMARK_FILE).read_bytes()).to(share.device)
    pool = read_pool(Path(data.motion), config.held_out_share, test=False)
    batches = RenderedBatches(
        Path(data.bodies), pool, landmark_net, RenderConfig(), SkeletonSampleConfig()
    )
    size = config.image_batch // share.count
    return lambda number: batches.batch(number * share.count + share.rank, size, config.seed)


def _refuse_other_samples(images: Path, folder: Path, views: int) -> None:
    """Raise ValueError if the folder keeps samples of other images, or made in another way."""
    made_from = {
        "images": str(images.resolve()),
        "views": views,
        "jitter": asdict(SkeletonSampleConfig()),
    }
    about = folder / "made_from.json"
    text = json.dumps(made_from, indent=1)
    if about.exists() and about.read_text() != text:
        raise ValueError(f"{folder} keeps samples of something else ({about}); delete it")
    about.write_text(text)
