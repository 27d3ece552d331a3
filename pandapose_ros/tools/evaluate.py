"""Measure the lifter's error on rendered images and on motion capture held apart."""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pandapose_ros.checkpoint import load_weights
from pandapose_ros.config import EstimatorConfig, ModelConfig, SkeletonSampleConfig, TrainConfig
from pandapose_ros.data.motion import read_motion, split_clips, take_apart
from pandapose_ros.data.rendered_images import RenderedImage, chunk_files, read_chunk, read_clip
from pandapose_ros.data.skeleton_samples import SkeletonSampler
from pandapose_ros.detector import PersonDetector
from pandapose_ros.estimator import PACKAGED_WEIGHTS
from pandapose_ros.evaluation import estimate_on_images, score_skeletons, summarise
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.pandapose import LANDMARK_FILE, PandaPose
from pandapose_ros.model_files import find_model_file
from pandapose_ros.people import PeopleTracker

_SKELETON_SAMPLES = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose evaluate`."""
    parser.add_argument("--images", default="", help="folder that `pandapose synthesize` filled")
    parser.add_argument("--clip", default="", help="rendered video; its truth lies beside it")
    parser.add_argument("--motion", default="", help="npz of clips; those held apart are scored")
    parser.add_argument(
        "--held-out-share",
        type=float,
        default=TrainConfig().held_out_share,
        help="share of each kind of motion that is scored",
    )
    parser.add_argument("--weights", default=str(PACKAGED_WEIGHTS), help="default: the package's")
    parser.add_argument("--out", required=True, help="JSON file to write")
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
    if not (args.images or args.clip or args.motion):
        raise ValueError("nothing to score on; give --images, --clip or --motion")
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    weights = Path(args.weights)
    landmark_net = BlazePose(find_model_file(LANDMARK_FILE).read_bytes())
    net = PandaPose(ModelConfig(), landmark_net).eval()
    load_weights(weights, net)
    result: dict[str, object] = {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()
    }
    if args.motion:
        result["skeletons"] = _skeletons(net, Path(args.motion), args.held_out_share)
    if args.images or args.clip:
        detector = PersonDetector(find_model_file("pose_detection.tflite"), max(1, args.threads))
        tracker = PeopleTracker(detector, landmark_net, EstimatorConfig(max_people=1))
        if args.images:
            images = _images(Path(args.images))
            result["images"] = summarise(estimate_on_images(net, tracker, images))
        if args.clip:
            tracker.reset()
            frames = read_clip(Path(args.clip))
            result["clip"] = summarise(estimate_on_images(net, tracker, frames, successive=True))
    _print_table(result)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _skeletons(net: PandaPose, motion: Path, held_out: float) -> dict[str, dict[str, float]]:
    """Score clips held apart: their own poses and mixed ones, with true and noisy keypoints."""
    _, clips = split_clips(read_motion(motion), held_out)
    bank = take_apart(np.concatenate(list(clips.values())))
    scores = {}
    for keypoints, noise in (("true", 0.0), ("noisy", SkeletonSampleConfig().noise)):
        config = replace(SkeletonSampleConfig(), noise=noise)
        for poses, mixed in (("captured", False), ("mixed", True)):
            sampler = SkeletonSampler(bank, config, mixed=mixed)
            drawn = sampler.sample(_SKELETON_SAMPLES, np.random.default_rng(0))
            name = f"{poses} poses, {keypoints} keypoints"
            scores[name] = score_skeletons(net, drawn.keypoints, drawn.joints)
    return scores


def _images(folder: Path) -> Iterator[RenderedImage]:
    """Read all images of a folder, with a bar."""
    for path in tqdm(chunk_files(folder), unit="file"):
        yield from read_chunk(path)


def _print_table(result: dict) -> None:
    """Print the main numbers."""
    print(f"{'':48}MPJPE  PA-MPJPE  PCK@150")
    rows = dict(result.get("skeletons", {}))
    for source in ("images", "clip"):
        for subset in ("all", "challenging", "rest"):
            for method in ("pandapose", "blazepose_world"):
                scores = result.get(source, {}).get(subset, {}).get(method, {})
                rows[f"{source}, {subset}, {method}"] = scores
    for name, scores in rows.items():
        if scores:
            print(
                f"{name:48}{scores['mpjpe_mm']:5.1f}  {scores['pa_mpjpe_mm']:8.1f}  "
                f"{scores['pck_150mm']:7.3f}"
            )
    for source in ("images", "clip"):
        if source in result:
            found, count = result[source]["found"], result[source]["images"]
            print(f"{source}: found {found} of {count} people")
