"""Train the lifter: on motion capture and images, or as the paper does on photographs."""

import argparse
import sys
import time
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from tqdm import tqdm

from pandapose_ros.checkpoint import (
    HRNET_KEY,
    check_hrnet,
    load_weights,
    read_config,
)
from pandapose_ros.config import ModelConfig, TrainConfig, TrainDataConfig
from pandapose_ros.evaluation.scores import score_skeletons
from pandapose_ros.landmark_weights import has_backbone, open_landmark_net
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.tools.time_limit import add_time_limit
from pandapose_ros.training.anchor_growth import grow_anchors, is_quarter, quarter_anchors
from pandapose_ros.training.batches import BatchSource
from pandapose_ros.training.distribution import Share, shared_training
from pandapose_ros.training.log import TrainLog, require_tensorboard
from pandapose_ros.training.loop import (
    WEIGHTS_FILE,
    Trainer,
    learning_rate,
    silence_image_branches,
)
from pandapose_ros.training.recipe import Recipe, read_recipe
from pandapose_ros.training.state import STATE_FILE, refuse_started, require_started
from pandapose_ros.training.unseen import unseen_motion
from pandapose_ros.whole_files import prepare_replacement

_SCORED_SAMPLES = 512
_SECTIONS = {"train": TrainConfig, "data": TrainDataConfig}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose train`."""
    parser.add_argument(
        "--config",
        default="",
        help="YAML file with values that differ from the defaults, in sections model, train, "
        "loss and data; options override it",
    )
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="change any key, such as loss.depth_loss=one_hot")  # fmt: skip
    parser.add_argument(
        "--out",
        required=True,
        help="folder for weights, state and history; needs --resume if it contains a training",
    )
    parser.add_argument(
        "--start",
        default="",
        help="weights to start from; may have a quarter of the anchors; not with --resume",
    )
    parser.add_argument(
        "--quarter-anchors",
        action="store_true",
        help="train with a quarter of the anchors, as a first stage: on two CPU cores, steps "
        "without images are 1.6 times as fast (with config/train/large.yaml 2.7 times)",
    )
    add_time_limit(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write scalars to OUT/tensorboard"
    )
    for section, kind in _SECTIONS.items():
        group = parser.add_argument_group(section)
        for option in fields(kind):
            _add_option(group, option)


def run(args: argparse.Namespace) -> int:
    """Train, with a bar, checkpoints and scores on clips held apart.

    Under `torchrun` the processes share each batch; the first one writes.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 0 at the end of the schedule or of the time, 1 if the loss is not finite.
    """
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    recipe = _recipe(args)
    out = Path(args.out)
    _check_folder(out, args)
    out.mkdir(parents=True, exist_ok=True)
    with shared_training(args.device) as share:
        if share.rank == 0:
            prepare_replacement(out / STATE_FILE)  # before features are made: it can take hours
            if args.tensorboard:
                require_tensorboard()
        net = _network(recipe, args.start)  # before features, too: weights may not fit
        source = BatchSource(recipe.data, recipe.train, out / "features", share, recipe.model)
        trainer = Trainer(net, recipe.train, source, recipe.loss, share, source.about)
        if args.resume:
            trainer.resume(out)
        before = out / WEIGHTS_FILE if args.resume else Path(args.start)
        told, warnings = _told(recipe, source, before if before.is_file() else None)
        for warning in warnings if share.rank == 0 else ():
            print(f"pandapose train: {warning}", file=sys.stderr)
        log = TrainLog(out, scalars=args.tensorboard and share.rank == 0)
        try:
            _train(trainer, source, log, share, args, told)
        except FloatingPointError as error:
            if share.rank == 0:
                print(f"pandapose train: {error}")
            return 1
        finally:
            log.close()
    return 0


def _check_folder(out: Path, args: argparse.Namespace) -> None:
    """Raise ValueError or FileNotFoundError unless a training can start, or go on, in a folder."""
    if not args.resume:
        refuse_started(out)
        return
    require_started(out)
    if args.start:
        raise ValueError(
            f"--start is without effect with --resume, which goes on with the weights in {out}: "
            "leave one of them out"
        )


def _add_option(group: argparse._ArgumentGroup, option: Field[Any]) -> None:
    """Declare one key of a section; what is not given is None."""
    name, doc = "--" + option.name.replace("_", "-"), option.metadata["doc"]
    text = f"{doc} ({option.default})".replace("%", "%%")
    if isinstance(option.default, bool):
        group.add_argument(name, action=argparse.BooleanOptionalAction, help=text)
    else:
        choices = option.metadata["choices"] or None
        group.add_argument(name, type=type(option.default), choices=choices, help=text)


def _recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe of the file, changed by the options."""
    changes: dict[str, dict[str, Any]] = {}
    for text in args.set:
        place, equals, value = text.partition("=")
        section, dot, key = place.partition(".")
        if not (equals and dot):
            raise ValueError(f"--set: expected SECTION.KEY=VALUE, got '{text}'")
        try:
            changes.setdefault(section, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--set {place}: '{value}' is not YAML: is it complete?") from error
    for section, kind in _SECTIONS.items():
        given = {o.name: getattr(args, o.name) for o in fields(kind)}
        given = {name: value for name, value in given.items() if value is not None}
        changes.setdefault(section, {}).update(given)
    recipe = read_recipe(Path(args.config) if args.config else None, changes)
    if args.quarter_anchors:
        recipe = replace(recipe, model=quarter_anchors(recipe.model))
    return recipe


def _network(recipe: Recipe, start: str) -> PandaPose:
    """Build the network, from the start weights if there are any."""
    torch.manual_seed(recipe.train.seed)
    net = PandaPose(recipe.model, nn.Identity())  # features come with the batches
    silence_image_branches(net)
    if start:
        if has_backbone(Path(start)) and not recipe.data.landmarks:
            raise ValueError(
                f"{start} was trained on a fine-tuned landmark net: go on with that one "
                f"(--landmarks {start})"
            )
        _load_start(Path(start), net, recipe.model)
        if recipe.data.backbone_weights:
            check_hrnet(Path(start), Path(recipe.data.backbone_weights))
    if recipe.data.landmarks:  # goes into the weights that are written
        net.backbone = open_landmark_net(recipe.data.landmarks)
    return net


def _load_start(start: Path, net: PandaPose, model: ModelConfig) -> None:
    """Load weights, of the network or of one with a quarter of its anchors."""
    stored = replace(read_config(start), dropout=model.dropout)
    if is_quarter(stored, model):
        small = PandaPose(stored, nn.Identity())
        load_weights(start, small)
        grow_anchors(small, net)
    else:
        load_weights(start, net)


def _train(
    trainer: Trainer,
    source: BatchSource,
    log: TrainLog,
    share: Share,
    args: argparse.Namespace,
    told: dict[str, str],
) -> None:
    """Do the steps that are left, or as many as fit the time."""
    config, end = trainer.config, time.monotonic() + args.minutes * 60
    is_first = share.rank == 0
    with tqdm(
        total=config.steps, initial=trainer.step, unit="step", smoothing=0.05, disable=not is_first
    ) as bar:
        while trainer.step < config.steps:
            rate = learning_rate(trainer.step, config)
            log.add(trainer.step + 1, trainer.advance(), rate)
            bar.update()
            bar.set_postfix(log.shown(), refresh=False)
            late = args.minutes > 0 and share.agree(time.monotonic() > end)
            due = trainer.step % config.save_every == 0 or trainer.step == config.steps or late
            if due and is_first:
                _save(trainer, Path(args.out), source, log, told)
            if late:
                if is_first:
                    tqdm.write(f"stopped at step {trainer.step} of {config.steps}; see --resume")
                return


def _told(
    recipe: Recipe, source: BatchSource, before: Path | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what weights tell of their training, and what there is to warn of."""
    if backbone := source.about["backbone_sha256"]:
        return {HRNET_KEY: str(backbone)}, source.warnings
    motion, held_out = str(source.about["motion"]), recipe.train.held_out_share
    return unseen_motion(recipe.data, held_out, motion, before)


def _save(
    trainer: Trainer, out: Path, source: BatchSource, log: TrainLog, told: dict[str, str]
) -> None:
    """Write weights and state; add the scores of the averaged weights to the history."""
    version = f"unreleased, step {trainer.step}"
    trainer.save(out, {"name": "pandapose", "version": version, **told})
    scores: dict[str, float] = {}
    if source.held_out is not None:
        drawn = source.held_out.sample(_SCORED_SAMPLES, np.random.default_rng(0))
        with trainer.averaged() as net:
            scores = score_skeletons(net, drawn.keypoints, drawn.joints)
    log.score(trainer.step, scores)
