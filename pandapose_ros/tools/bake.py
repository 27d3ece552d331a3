"""Bake random dressed bodies into one file that needs only torch (needs the package anny)."""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.synthetic.outfit import dressed_bodies, random_bodies, read_wardrobe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tool's arguments."""
    parser.add_argument(
        "assets", type=Path, help="MakeHuman's `base` folder of CC0 assets (clothes/, hair/)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bodies.safetensors"), help="file to write"
    )
    parser.add_argument("--count", type=int, default=24, help="number of bodies")
    parser.add_argument("--seed", type=int, default=0, help="drives every random choice")


def run(args: argparse.Namespace) -> int:
    """Bake the bodies; return the exit code."""
    rng = np.random.default_rng(args.seed)
    try:
        wardrobe = read_wardrobe(args.assets)
        rig, base = random_bodies(args.count, rng)
    except (ImportError, OSError, ValueError) as error:
        print(f"pandapose bake: {error}", file=sys.stderr)
        return 1
    bodies = list(
        tqdm(dressed_bodies(rig, base, wardrobe, rng), total=args.count, unit="body", desc="bake")
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_bodies(args.out, rig, bodies)
    print(f"wrote {len(bodies)} bodies to {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0
