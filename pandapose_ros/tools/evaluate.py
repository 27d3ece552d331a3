"""Score networks side by side on a data set with true joints, or on videos without."""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.data.challenging import load_subset, save_subset
from pandapose_ros.data.dataset import (
    Dataset,
    human36m,
    mpi_inf_3dhp,
    rendered_clips,
    synthetic_images,
    threedpw,
)
from pandapose_ros.data.image_files import check_images
from pandapose_ros.estimator import select_device
from pandapose_ros.evaluation.candidates import Candidate, load_candidates, open_backbone
from pandapose_ros.evaluation.comparison import (
    BLAZEPOSE,
    Record,
    compare,
    summarise,
)
from pandapose_ros.evaluation.finder import build_finder
from pandapose_ros.evaluation.kept_views import keep_views, views_folder
from pandapose_ros.evaluation.plots import draw_plots, require_matplotlib
from pandapose_ros.evaluation.skeleton_views import (
    share_held_apart,
    skeleton_dataset,
    skeleton_views,
)
from pandapose_ros.evaluation.tables import overview
from pandapose_ros.evaluation.video import Image, follow_person, video_figures
from pandapose_ros.evaluation.views import KeypointSource, Viewer
from pandapose_ros.landmark_weights import net_sha256, open_landmark_net
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.tools.evaluate_options import (
    check,
    command,
    declare_options,
    evaluation_config,
    named_weights,
)
from pandapose_ros.tools.pictures import open_video, read_video
from pandapose_ros.whole_files import prepare_file

# Data sets whose images are in a folder apart.
_IN_FOLDERS = ("human36m", "mpi-inf-3dhp", "3dpw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    declare_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score, print a table and write all numbers.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code 0.

    Raises:
        ValueError: If there is nothing to score on, or options do not go together.
    """
    check(args)
    if args.plots:
        require_matplotlib()
    for path in (args.out, args.challenging_out):  # before all the work, not after it
        if path is not None:
            prepare_file(path)
    for path in args.video:
        open_video(path).release()
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    device = select_device(args.device)
    candidates = load_candidates(named_weights(args.weights), device)
    backbone = open_backbone(candidates, args.backbone_weights).to(device)
    record: Record = {"command": command(args)}
    videos: list[Record] = []
    try:
        if args.dataset:
            record |= _score_dataset(args, candidates, backbone, device)
        for path in args.video:
            videos.append(_score_video(path, args, candidates, backbone))
            record["videos"] = videos
    finally:  # what was scored before an error is not to be lost
        if len(record) > 1:
            _print_tables(record)
            args.out.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    for path in draw_plots(record, args.plots) if args.plots else ():
        print(path)
    return 0


def _score_dataset(
    args: argparse.Namespace,
    candidates: tuple[Candidate, ...],
    backbone: nn.Module,
    device: torch.device,
) -> Record:
    """Score on the data set."""
    model, config = candidates[0].net.config, evaluation_config(args)
    is_blazepose = model.backbone == "blazepose"
    if not is_blazepose:
        _check_for_hrnet(args)
    source = KeypointSource(args.keypoints or ("detected" if is_blazepose else "given"))
    is_motion = args.dataset == "motion"
    share = share_held_apart(candidates, args.held_out_share) if is_motion else 0.0
    dataset = _dataset(args, share).every(args.every)
    check_images(dataset.name, dataset.images)
    given = None
    if args.challenging_in:
        given = load_subset(args.challenging_in, dataset.name, len(dataset))
    if is_motion:
        views = skeleton_views(args.data, source, config.batch, share)
    else:
        viewer = _viewer(args, model, backbone, source, dataset.max_people)
        views = viewer.look(dataset, config.batch)
    if args.cache:
        digest = net_sha256(backbone)
        folder = views_folder(args.cache, dataset, model, source, digest, mirrored=args.flip_test)
        views = keep_views(folder, views, device)
    total = -(-len(dataset) // config.batch)
    comparison = compare(
        dataset,
        tqdm(views, desc="evaluate", unit="batch", total=total),
        candidates,
        config,
        flip_test=args.flip_test,
        noise=args.noise is not None,
    )
    subset = given or comparison.subset(config)
    if args.challenging_out:
        save_subset(args.challenging_out, subset)
    if subset.unknown:
        print(
            f"in {subset.unknown} of {subset.samples} samples nobody was found; they count as "
            "not challenging"
        )
    return {"keypoints": source.value} | summarise(comparison, candidates, subset)


def _check_for_hrnet(args: argparse.Namespace) -> None:
    """Raise ValueError if options are not for networks on HRNet."""
    if args.crops_per_person > 1:
        raise ValueError("--crops-per-person needs networks on BlazePose; try --flip-test")
    if args.images is None and args.dataset in _IN_FOLDERS:
        raise ValueError(
            "networks on HRNet never learn to lift without images: give the folder of those of "
            f"{args.dataset} by --images"
        )


def _viewer(
    args: argparse.Namespace,
    model: ModelConfig,
    backbone: nn.Module,
    source: KeypointSource,
    max_people: int,
) -> Viewer:
    """Return what looks at the images."""
    is_blazepose = model.backbone == "blazepose"
    finder = partial(
        build_finder,
        threads=args.threads,
        max_people=max_people,
        crops_per_person=args.crops_per_person,
    )
    tracker = before = None
    if is_blazepose or source is KeypointSource.DETECTED:
        tracker = finder(backbone)
    if isinstance(backbone, BlazePose) and backbone.is_tuned:
        before = finder(open_landmark_net().to(backbone.device))
    return Viewer(model, backbone, tracker, source, mirrored=args.flip_test, before=before)


def _dataset(args: argparse.Namespace, held_out_share: float) -> Dataset:
    """Open the data set."""
    match args.dataset:
        case "synthetic":
            return synthetic_images(args.data)
        case "clip":
            return rendered_clips(args.data)
        case "motion":
            if args.every != 1:
                raise ValueError("samples of motion clips are drawn at random: leave --every out")
            return skeleton_dataset(args.data, held_out_share)
        case "human36m":
            return human36m(args.data, args.images, args.detections)
        case "mpi-inf-3dhp":
            return mpi_inf_3dhp(args.data, args.images)
    return threedpw(args.data, args.images)


def _score_video(
    path: Path, args: argparse.Namespace, candidates: tuple[Candidate, ...], backbone: nn.Module
) -> Record:
    """Return the figures of a video without truth; ValueError names it if nobody is in it."""
    if not isinstance(backbone, BlazePose):
        raise ValueError("--video needs networks on BlazePose, which finds the keypoints too")
    nets = [backbone, open_landmark_net()] if backbone.is_tuned else [backbone]
    people = EstimatorConfig().max_people
    # A fine-tuned landmark net is compared with the original, which follows people by itself.
    try:
        tracks = [
            follow_person(
                _frames(path),
                build_finder(net, args.threads, people),
                candidates if net is backbone else (),
                args.fov,
                BLAZEPOSE if net is nets[-1] else "",
            )
            for net in nets
        ]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    told = {"video": path.name, "frames": tracks[0].frames, "found": len(tracks[0].numbers)}
    figures = [video_figures(track, name) for track in tracks for name in track.joints]
    return {**told, "results": figures}


def _frames(path: Path) -> Iterator[Image]:
    """Read a video, with a bar."""
    for _, image in tqdm(read_video(path), desc=path.name, unit="frame"):
        yield image


def _print_tables(record: Record) -> None:
    """Print the main numbers."""
    for title, table in overview(record):
        print(f"\n{title}\n")
        for row in table:
            print("".join(f"{cell:>13}" if i else f"{cell:42}" for i, cell in enumerate(row)))
