"""Train the lifter on motion capture and, if given, on rendered images."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pandapose_ros.anchor_growth import grow_anchors, quarter_anchors
from pandapose_ros.checkpoint import load_weights, read_config
from pandapose_ros.config import ModelConfig, SkeletonSampleConfig, TrainConfig
from pandapose_ros.data.image_samples import (
    ImageSamples,
    ImageSampleSet,
    make_image_samples,
    save_image_samples,
)
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.rendered_images import chunk_files, read_chunk
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.evaluation import score_skeletons
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.pandapose import LANDMARK_FILE, PandaPose
from pandapose_ros.model_files import find_model_file
from pandapose_ros.training import Batch, StepResult, Trainer, silence_image_branches

_IMAGES_AT_ONCE = 20
_SCORED_SAMPLES = 512
_SHOWN_STEPS = 50  # over which the bar's numbers are averaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose train`."""
    parser.add_argument("--motion", required=True, help="npz of clips [T, 17, 3], y up, metres")
    parser.add_argument("--out", required=True, help="folder for weights, state and history")
    parser.add_argument("--images", default="", help="folder that `pandapose synthesize` filled")
    parser.add_argument("--views", type=int, default=1, help="jittered crops per image (1)")
    parser.add_argument("--start", default="", help="weights to start from; a quarter of the "
                        "anchors will do")  # fmt: skip
    parser.add_argument("--quarter-anchors", action="store_true", help="train a quarter of the "
                        "anchors, four times as fast, as a start")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after this time; resume "
                        "with --resume (0: no limit)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    for option in fields(TrainConfig):
        parser.add_argument(
            "--" + option.name.replace("_", "-"),
            type=type(option.default),
            default=option.default,
            help=f"{option.metadata['doc']} ({option.default})",
        )


def run(args: argparse.Namespace) -> int:
    """Train, with a bar, checkpoints and scores on clips held apart.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 0 at the end of the schedule or of the time, 1 if the loss is not finite.
    """
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    config = TrainConfig(**{o.name: getattr(args, o.name) for o in fields(TrainConfig)})
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sampler, held_out = _samplers(Path(args.motion), config)
    images = (
        _image_samples(Path(args.images), out / "features", args.views) if args.images else None
    )
    trainer = Trainer(_network(args, config), config, _draw(config, sampler, images))
    if args.resume:
        trainer.resume(out)
    try:
        _train(trainer, out, held_out, args.minutes * 60)
    except FloatingPointError as error:
        print(f"pandapose train: {error}")
        return 1
    return 0


def _samplers(motion: Path, config: TrainConfig) -> tuple[SkeletonSampler, SkeletonSampler]:
    """Return what to train on and what to score on: clips held apart."""
    banks = [
        take_apart(np.concatenate(list(clips.values())))
        for clips in split_clips(read_motion(motion), config.held_out_share)
    ]
    samples = SkeletonSampleConfig()
    return SkeletonSampler(banks[0], samples), SkeletonSampler(banks[1], samples, mixed=False)


def _image_samples(images: Path, folder: Path, views: int) -> ImageSampleSet:
    """Run the landmark net on all images that were not looked at before; keep the result."""
    folder.mkdir(exist_ok=True)
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
    return ImageSampleSet(folder)


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


def _network(args: argparse.Namespace, config: TrainConfig) -> PandaPose:
    """Build the network, from the start weights if there are any."""
    torch.manual_seed(config.seed)
    model = replace(ModelConfig(), dropout=config.dropout)
    if args.quarter_anchors:
        model = quarter_anchors(model)
    net = PandaPose(model, nn.Identity())  # features come from files
    silence_image_branches(net)
    if args.start:
        start = Path(args.start)
        stored = replace(read_config(start), dropout=config.dropout)
        if stored != model and stored == quarter_anchors(model):
            small = PandaPose(stored, nn.Identity())
            load_weights(start, small)
            grow_anchors(small, net)
        else:
            load_weights(start, net)
    return net


def _draw(
    config: TrainConfig, sampler: SkeletonSampler, images: ImageSampleSet | None
) -> Callable[[int], Batch]:
    """Return the function from step to batch."""
    period = 1 + config.skeleton_steps

    def draw(step: int) -> Batch:
        if images is not None and step % period == 0:
            some = images.batch(step // period, config.image_batch, config.seed)
            levels = [level.float() for level in (some.fine, some.middle, some.coarse)]
            return Batch(some.keypoints, some.joints, levels)
        drawn = sampler.sample(config.batch, np.random.default_rng((config.seed, step)))
        return Batch(torch.from_numpy(drawn.keypoints), torch.from_numpy(drawn.joints), None)

    return draw


def _train(trainer: Trainer, out: Path, held_out: SkeletonSampler, seconds: float) -> None:
    """Do the steps that are left, or as many as fit the time."""
    config, begin = trainer.config, time.monotonic()
    recent: list[StepResult] = []
    with tqdm(total=config.steps, initial=trainer.step, unit="step", smoothing=0.05) as bar:
        while trainer.step < config.steps:
            recent = [*recent[1 - _SHOWN_STEPS :], trainer.advance()]
            bar.update()
            bar.set_postfix(_summary(recent), refresh=False)
            late = seconds > 0 and time.monotonic() - begin > seconds
            if trainer.step % config.save_every == 0 or trainer.step == config.steps or late:
                _save(trainer, out, held_out, recent)
            if late:
                tqdm.write(f"time is up at step {trainer.step} of {config.steps}; see --resume")
                return


def _summary(recent: list[StepResult]) -> dict[str, str]:
    """Return the bar's numbers: mean loss, joint error and, over image steps, depth loss."""
    depths = [result.depth for result in recent if result.depth is not None]
    shown = {
        "loss": f"{np.mean([result.loss for result in recent]):.3f}",
        "mpjpe": f"{np.mean([result.mpjpe_mm for result in recent]):.0f} mm",
    }
    return shown | ({"depth": f"{np.mean(depths):.2f}"} if depths else {})


def _save(
    trainer: Trainer, out: Path, held_out: SkeletonSampler, recent: list[StepResult]
) -> None:
    """Write weights and state; add the scores of the averaged weights to the history."""
    trainer.save(out, {"name": "pandapose", "version": f"unreleased, step {trainer.step}"})
    drawn = held_out.sample(_SCORED_SAMPLES, np.random.default_rng(0))
    with trainer.averaged() as net:
        scores = score_skeletons(net, drawn.keypoints, drawn.joints)
    path = out / "history.json"
    history = json.loads(path.read_text()) if path.exists() else []
    history = [record for record in history if record["step"] < trainer.step]
    history.append({"step": trainer.step, **_summary(recent), "held_out": scores})
    path.write_text(json.dumps(history, indent=1))
