"""Render rooms full of furniture without people, as negatives for `train-landmarks --pictures`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pandapose_ros.config import RenderConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.synthetic.furnished import render_furnished
from pandapose_ros.synthetic.furniture import MOST_FACES, Thing, read_library
from pandapose_ros.tools.rendered_folder import encode_jpeg, keep_options
from pandapose_ros.whole_files import replace_file

_JPEG_QUALITY = (70, 95)  # minimum and maximum, as in libjpeg
_SMALLEST_PX = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tool's arguments."""
    parser.add_argument(
        "libraries",
        type=Path,
        nargs="+",
        metavar="library",
        help="furniture library of Sweet Home 3D (.sh3f)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for SEED_NUMBER.jpg; those there are kept"
    )
    parser.add_argument("--count", type=int, default=1000, help="number of pictures")
    parser.add_argument(
        "--size", type=int, default=RenderConfig().size, help="width and height in pixels"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed; several can share OUT")


def run(args: argparse.Namespace) -> int:
    """Render the pictures that are missing; return the exit code 0."""
    if args.size < _SMALLEST_PX:
        raise ValueError(f"expected --size of at least {_SMALLEST_PX} pixels, got {args.size}")
    options = {"size": args.size, "libraries_sha256": file_sha256(*args.libraries)}
    paths = [args.out / f"{args.seed}_{number:05d}.jpg" for number in range(args.count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    things = _read(args.libraries) if missing else []
    keep_options(args.out, options)
    initial = len(paths) - len(missing)
    for number in tqdm(missing, "furnish", len(paths), unit="picture", initial=initial):
        # A picture depends on seed and number only, so an interrupted run goes on to the same end.
        rng = np.random.default_rng((args.seed, number))
        picture = render_furnished(things, args.size, rng).numpy()
        quality = int(rng.integers(*_JPEG_QUALITY, endpoint=True))
        replace_file(paths[number], encode_jpeg(picture, quality).tobytes())
    return 0


def _read(paths: Sequence[Path]) -> list[Thing]:
    """Read libraries, and say how much was left out."""
    libraries = [read_library(path) for path in tqdm(paths, "read", unit="library")]
    things = [thing for library in libraries for thing in library.things]
    people = sum(library.people for library in libraries)
    too_fine = sum(library.too_fine for library in libraries)
    told = (
        f"{len(things)} things; left out {people} people and their likenesses, and {too_fine} "
        f"things with more than {MOST_FACES} faces"
    )
    if not things:
        raise ValueError(f"expected furniture in {', '.join(map(str, paths))}, got {told}")
    print(told)
    return things
