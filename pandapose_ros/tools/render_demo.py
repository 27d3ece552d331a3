"""Render the demo clip: a synthetic person walks and waves; with its exact joints."""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pandapose_ros.synthetic.body import load_bodies
from pandapose_ros.synthetic.clip import (
    FRAMES_PER_SECOND,
    demo_intrinsics,
    frame_count,
    render_walk,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tool's arguments."""
    parser.add_argument("bodies", type=Path, help="file made by `pandapose bake`")
    parser.add_argument("--out", type=Path, default=Path("config/demo"), help="folder to write to")
    parser.add_argument("--body", type=int, default=22, help="index of the body in the file")


def run(args: argparse.Namespace) -> int:
    """Write walk.mp4 and walk.npz; return the exit code."""
    rig, bodies = load_bodies(args.bodies)
    if args.body not in range(len(bodies)):
        raise ValueError(f"no body {args.body} of {len(bodies)} in {args.bodies}; see --body")
    body = bodies[args.body]
    args.out.mkdir(parents=True, exist_ok=True)
    joints, writer = [], None
    for frame in tqdm(render_walk(rig, body), total=frame_count(), unit="frame", desc="render"):
        if writer is None:
            height, width = frame.image.shape[:2]
            writer = cv2.VideoWriter(
                str(args.out.absolute() / "walk.mp4"),  # see `pictures.open_video`
                cv2.VideoWriter.fourcc(*"mp4v"),
                FRAMES_PER_SECOND,
                (width, height),
            )
        writer.write(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        joints.append(frame.joints)
    if writer is not None:
        writer.release()
    np.savez_compressed(
        args.out / "walk.npz",
        joints=np.stack(joints),
        K=demo_intrinsics(),
        fps=np.float32(FRAMES_PER_SECOND),
    )
    size = sum((args.out / name).stat().st_size for name in ("walk.mp4", "walk.npz"))
    print(f"wrote {len(joints)} frames of {body.description} to {args.out} ({size / 1e3:.0f} kB)")
    return 0
