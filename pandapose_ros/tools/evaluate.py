"""Score networks side by side on a data set with true joints, or on videos without."""

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from pandapose_ros.config import EstimatorConfig, EvaluationConfig
from pandapose_ros.data.challenging import (
    ErrorUnit,
    Reduction,
    load_subset,
    save_subset,
)
from pandapose_ros.data.dataset import (
    Dataset,
    human36m,
    mpi_inf_3dhp,
    rendered_clips,
    synthetic_images,
    threedpw,
)
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
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.tools.estimate import read_video

_WITHOUT_EFFECT = ("help", "plots", "cache", "threads")  # on the numbers
_DATASETS = ("synthetic", "clip", "motion", "human36m", "mpi-inf-3dhp", "3dpw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose evaluate`."""
    config = EvaluationConfig()
    data = parser.add_argument_group("what to score on")
    data.add_argument("--dataset", choices=_DATASETS, default="", help="kind of --data")
    data.add_argument(
        "--data", nargs="+", type=Path, default=[], metavar="PATH", help="folders of `pandapose "
        "synthesize`; rendered videos with their truth beside them; an npz of motion clips, whose "
        "last ones are scored as skeletons; label files of Human3.6M (h36m_*.pkl), MPI-INF-3DHP "
        "(data_*_3dhp.npz) or 3DPW (sequences)")  # fmt: skip
    data.add_argument("--images", type=Path, help="image folder of Human3.6M, MPI-INF-3DHP or "
                      "3DPW; without it networks get no image")  # fmt: skip
    data.add_argument("--every", type=int, default=1, help="score every N-th sample only")
    data.add_argument("--held-out-share", type=float, help="fraction of the clips of each kind of "
                      "motion that is scored (default: as in training)")  # fmt: skip
    data.add_argument("--video", nargs="+", type=Path, default=[], help="videos without truth")
    data.add_argument("--fov", type=float, default=EstimatorConfig().field_of_view,
                      help="horizontal field of view of their camera [rad]")  # fmt: skip
    nets = parser.add_argument_group("what to score")
    nets.add_argument("--weights", nargs="+", default=[EstimatorConfig().weights],
                      metavar="[NAME=]FILE", help="weights files (.safetensors); of those that "
                      "are packaged default (also without this option) or accurate")  # fmt: skip
    nets.add_argument("--backbone-weights", type=Path, help="COCO file for networks on HRNet")
    nets.add_argument("--keypoints", choices=[source.value for source in KeypointSource],
                      default="", help="2D pose to lift: detected by BlazePose, given by the "
                      "data set, or true (default: detected; with HRNet: given)")  # fmt: skip
    nets.add_argument("--detections", choices=("cpn", "hrnet"), default="cpn",
                      help="whose 2D pose Human3.6M gives (hrnet: Table 10)")  # fmt: skip
    nets.add_argument("--flip-test", action="store_true", help="average with the mirrored crop")
    nets.add_argument("--noise", nargs="*", type=float, metavar="PX", help="lift with noise on "
                      f"keypoints too, crop pixels (default: {config.noise_px})")  # fmt: skip
    rule = parser.add_argument_group("which samples are challenging")
    rule.add_argument("--challenging-threshold", type=float, default=config.challenging_threshold)
    rule.add_argument("--challenging-unit", choices=[unit.value for unit in ErrorUnit],
                      default=config.challenging_unit)  # fmt: skip
    rule.add_argument("--challenging-reduction", choices=[r.value for r in Reduction],
                      default=config.challenging_reduction)  # fmt: skip
    rule.add_argument("--challenging-in", type=Path, help="use the samples of this file instead")
    rule.add_argument("--challenging-out", type=Path, help="write their list to this file")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, help="folder for plots; needs matplotlib")
    parser.add_argument("--cache", type=Path, help="folder to cache the backbone's outputs")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")


def run(args: argparse.Namespace) -> int:
    """Score, print a table and write all numbers.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code 0.

    Raises:
        ValueError: If there is nothing to score on.
    """
    if bool(args.dataset) != bool(args.data) or not (args.data or args.video):
        raise ValueError("nothing to score on; give --dataset with --data, or --video")
    if args.plots:
        require_matplotlib()
    for path in (args.out, args.challenging_out):  # before all the work, not after it
        if path is not None:
            _prepare(path)
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    device = select_device(args.device)
    candidates = load_candidates(_named(args.weights), device)
    backbone = open_backbone(candidates, args.backbone_weights).to(device)
    record: Record = {"command": _command(args)}
    if args.dataset:
        record |= _score_dataset(args, candidates, backbone, device)
    if args.video:
        record["videos"] = [_score_video(path, args, candidates, backbone) for path in args.video]
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
    model, config = candidates[0].net.config, _config(args)
    is_blazepose = model.backbone == "blazepose"
    source = KeypointSource(args.keypoints or ("detected" if is_blazepose else "given"))
    is_motion = args.dataset == "motion"
    share = share_held_apart(candidates, args.held_out_share) if is_motion else 0.0
    dataset = _dataset(args, share).every(args.every)
    given = None
    if args.challenging_in:
        given = load_subset(args.challenging_in, dataset.name, len(dataset))
    if is_motion:
        views = skeleton_views(args.data, source, config.batch, share)
    else:
        tracker = before = None
        if is_blazepose or source is KeypointSource.DETECTED:
            tracker = build_finder(backbone, args.threads, dataset.max_people)
        if isinstance(backbone, BlazePose) and backbone.is_tuned:
            before = build_finder(open_landmark_net().to(device), args.threads, dataset.max_people)
        viewer = Viewer(model, backbone, tracker, source, mirrored=args.flip_test, before=before)
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


def _config(args: argparse.Namespace) -> EvaluationConfig:
    """Return the defaults, changed as the options say."""
    return replace(
        EvaluationConfig(),
        challenging_threshold=args.challenging_threshold,
        challenging_unit=args.challenging_unit,
        challenging_reduction=args.challenging_reduction,
        noise_px=tuple(args.noise or EvaluationConfig().noise_px),
    )


def _prepare(path: Path) -> None:
    """Make the folder of a file to write, and see that the file can be one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file to write")


def _score_video(
    path: Path, args: argparse.Namespace, candidates: tuple[Candidate, ...], backbone: nn.Module
) -> Record:
    """Return the figures of a video without truth."""
    if not isinstance(backbone, BlazePose):
        raise ValueError("--video needs networks on BlazePose, which finds the keypoints too")
    nets = [backbone, open_landmark_net()] if backbone.is_tuned else [backbone]
    people = EstimatorConfig().max_people
    # A fine-tuned landmark net is compared with the original, which follows people by itself.
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
    told = {"video": path.name, "frames": tracks[0].frames, "found": len(tracks[0].numbers)}
    figures = [video_figures(track, name) for track in tracks for name in track.joints]
    return {**told, "results": figures}


def _frames(path: Path) -> Iterator[Image]:
    """Read a video, with a bar."""
    for _, image in tqdm(read_video(path), desc=path.name, unit="frame"):
        yield image


def _named(weights: list[str]) -> list[tuple[str, Path]]:
    """Return names and files; without NAME=, the file's stem, with its folder if not unique."""
    # Folders may be called "lr=1e-3", too.
    has_name = ["=" in text and not Path(text).is_file() for text in weights]
    pairs = [
        text.partition("=")[::2] if has else ("", text)
        for text, has in zip(weights, has_name, strict=True)
    ]
    paths = [find_weights(path) for _, path in pairs]
    stems = [path.stem for path in paths]
    names = [
        path.stem if stems.count(path.stem) == 1 else f"{path.resolve().parent.name}/{path.stem}"
        for path in paths
    ]
    return [
        (given or name, path) for (given, _), name, path in zip(pairs, names, paths, strict=True)
    ]


def _command(args: argparse.Namespace) -> str:
    """Return the command that reproduces these numbers."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["pandapose", "evaluate"]
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if action.dest in _WITHOUT_EFFECT or value == action.default or value is False:
            continue
        words.append(action.option_strings[0])
        if value is not True:
            words += [str(v) for v in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _print_tables(record: Record) -> None:
    """Print the main numbers."""
    for title, table in overview(record):
        print(f"\n{title}\n")
        for row in table:
            print("".join(f"{cell:>13}" if i else f"{cell:42}" for i, cell in enumerate(row)))
