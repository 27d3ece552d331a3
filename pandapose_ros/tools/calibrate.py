"""Fit the covariances of weights to rendered people with exact joints, and store them there."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from pandapose_ros.checkpoint import add_metadata, load_weights, read_config
from pandapose_ros.config import MOST_CROPS, CovarianceConfig, EstimatorConfig
from pandapose_ros.data.rendered_images import (
    RenderedImage,
    chunk_files,
    most_people,
    read_chunk,
    read_names,
)
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.training.calibration import collect_errors
from pandapose_ros.uncertainty import NORMAL_3D, NORMAL_AXIS, coverage, fit, to_metadata
from pandapose_ros.whole_files import prepare_replacement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose calibrate`."""
    parser.add_argument("--images", required=True, help="rendered images to fit to")
    parser.add_argument(
        "--test",
        default="",
        help="other rendered images, to count the errors within 1 and 2 sigma",
    )
    parser.add_argument("--weights", required=True, help="lifter weights (.safetensors)")
    parser.add_argument("--count", type=int, default=500, help="number of images of each folder")
    parser.add_argument(
        "--crops-per-person",
        type=int,
        choices=range(1, MOST_CROPS + 1),
        metavar="N",
        default=1,
        help="fit to the medians over N crops, for weights that are used so",
    )
    parser.add_argument("--store", action="store_true", help="write the result into the weights")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")


def run(args: argparse.Namespace) -> int:
    """Fit, count, print, and store if asked to.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code 0.

    Raises:
        ValueError: If no image is asked for, or the weights are not on BlazePose.
        OSError: If the weights are to be written and cannot be.
    """
    if args.count < 1:
        raise ValueError(f"--count: expected 1 image or more, got {args.count}")
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    weights = Path(args.weights)
    model = read_config(weights)
    if model.backbone != "blazepose":
        raise ValueError(f"{weights} needs {model.backbone}; give weights on BlazePose")
    if args.store:
        prepare_replacement(weights)  # before all the work, not after it
    landmark_net = open_landmark_net(weights)
    net = PandaPose(model, landmark_net).eval()
    load_weights(weights, net)
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), max(1, args.threads))
    settings = EstimatorConfig(detection_tiles=0, crops_per_person=args.crops_per_person)
    tracker = PeopleTracker(detector, landmark_net, settings)
    config = None
    for folder in filter(None, (args.images, args.test)):
        tracker.config = replace(tracker.config, max_people=most_people(Path(folder)))
        samples = collect_errors(net, tracker, _images(Path(folder), args.count))
        if config is None:
            config = fit(samples, CovarianceConfig())
            print(json.dumps(asdict(config), indent=1))
        print(f"{folder}, {len(samples.errors)} people: share of errors within 1 and 2 sigma")
        for name, shares in coverage(samples, config).items():
            normal = NORMAL_3D if name.endswith("3d") else NORMAL_AXIS
            print(f"  {name:10}{shares[0]:.3f} {shares[1]:.3f}   (normal: {normal})")
    if args.store and config is not None:
        add_metadata(weights, to_metadata(config))
        print(f"stored in {weights}")
    return 0


def _images(folder: Path, count: int) -> Iterator[RenderedImage]:
    """Read some images of a folder, spread over its files, with a progress bar."""
    files = chunk_files(folder)
    sizes = [len(read_names(path).actions) for path in files]
    shares, left = [0] * len(files), count
    # The smallest first: what a file lacks is taken from larger ones.
    for done, i in enumerate(sorted(range(len(files)), key=sizes.__getitem__)):
        shares[i] = min(sizes[i], -(-left // (len(files) - done)))
        left -= shares[i]
    for path, share in zip(tqdm(files, unit="file"), shares, strict=True):
        yield from islice(read_chunk(path), share)
