"""Bake random dressed bodies into one file that needs only torch (needs the package anny)."""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.synthetic.outfit import (
    bodies_held_out,
    dressed_bodies,
    random_bodies,
    read_wardrobe,
    split_wardrobe,
)
from pandapose_ros.whole_files import prepare_replacement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tool's arguments."""
    parser.add_argument(
        "assets", type=Path, help="MakeHuman's `base` folder of CC0 assets (clothes/, hair/)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bodies.safetensors"), help="file to write"
    )
    parser.add_argument("--count", type=int, default=40, help="number of bodies")
    parser.add_argument(
        "--test-bodies",
        type=int,
        default=8,
        help="number of held-out bodies for testing, in garments that no other body wears",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="random seed, which also selects the garments of the test bodies: training bodies "
        "of another seed may wear them, so use one seed for both",
    )


def run(args: argparse.Namespace) -> int:
    """Bake the bodies; return the exit code."""
    prepare_replacement(args.out)  # before all the work, not after it
    rng = np.random.default_rng(args.seed)
    held_out = bodies_held_out(args.count, args.test_bodies)
    wardrobe = read_wardrobe(args.assets)
    split = split_wardrobe(wardrobe, rng) if held_out.any() else (wardrobe, wardrobe)
    rig, base = random_bodies(args.count, rng)
    dressed = dressed_bodies(rig, base, split, held_out, rng)
    bodies = list(tqdm(dressed, total=args.count, unit="body", desc="bake"))
    save_bodies(args.out, rig, bodies)
    print(
        f"wrote {len(bodies)} bodies, {held_out.sum()} of them to test on, to {args.out} "
        f"({args.out.stat().st_size / 1e6:.1f} MB)"
    )
    return 0
