"""Render random dressed people with exact 3D joints into chunks of JPEGs and truth."""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pandapose_ros.config import RenderConfig, TrainConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.picture_crops import picture_files, read_pictures
from pandapose_ros.data.plain_npz import read_npz
from pandapose_ros.estimator import select_device
from pandapose_ros.synthetic.body import load_bodies
from pandapose_ros.synthetic.bystanders import random_bystanders
from pandapose_ros.synthetic.poses import read_pool, sample_targets
from pandapose_ros.synthetic.prints import Prints
from pandapose_ros.synthetic.scene import Samples, render_samples
from pandapose_ros.tools.rendered_folder import encode_jpeg, keep_options
from pandapose_ros.whole_files import replace_file

_LEAST = {"count": 0, "chunk": 1, "batch": 1, "size": 16}
# Saved with the chunks. Count, batch and device may change when a run is continued.
_OPTIONS = ("chunk", "size", "bystanders", "test", "held_out_share", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tool's arguments."""
    defaults = RenderConfig()
    parser.add_argument("bodies", type=Path, help="file made by `pandapose bake`")
    parser.add_argument("motion", type=Path, help="npz of clips, AMC or BVH file, or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for chunk_*.npz")
    parser.add_argument("--count", type=int, default=1000, help="number of images")
    parser.add_argument("--chunk", type=int, default=100, help="images per file")
    parser.add_argument("--batch", type=int, default=1, help="images rendered at once")
    parser.add_argument(
        "--size", type=int, default=defaults.size, help="width and height in pixels"
    )
    parser.add_argument("--bystanders", type=float, default=defaults.bystanders,
                        help="fraction of images with a bystander")  # fmt: skip
    parser.add_argument(
        "--pictures",
        type=Path,
        help="folder of pictures without people, shown behind most people, on some of their "
        "clothes, and on things in front of them",
    )
    parser.add_argument("--test", action="store_true", help="use the held-out bodies and clips")
    parser.add_argument(
        "--held-out-share",
        type=float,
        default=TrainConfig().held_out_share,
        help="fraction of the clips of each kind of motion that is held out",
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0, help="random seed")


def run(args: argparse.Namespace) -> int:
    """Render the chunks that are missing or incomplete; return the exit code 0."""
    _check_options(args)
    device = select_device(args.device)
    rig, bodies = load_bodies(args.bodies)
    pool = read_pool(args.motion, args.held_out_share, test=args.test)
    chosen = [b for b, body in enumerate(bodies) if body.held_out == args.test]
    if not chosen:
        side = "held out" if args.test else "to train on"
        raise ValueError(
            f"expected bodies {side}, got none among {len(bodies)} in {args.bodies}; see "
            "`pandapose bake --test-bodies`"
        )
    prints = _prints(args.pictures)
    _check_folder(args)
    drawable, size = [bodies[index] for index in chosen], (args.size, args.size)
    with tqdm(total=args.count, unit="image", desc="synthesize") as progress:
        for chunk, start in enumerate(range(0, args.count, args.chunk)):
            path = args.out / f"chunk_{chunk:04d}.npz"
            count = min(args.chunk, args.count - start)
            if _is_whole(path, count):
                progress.update(count)
                continue
            # A chunk depends on its own seed only, so an interrupted run goes on to the same end.
            rng = np.random.default_rng((args.seed, int(args.test), chunk))
            body = rng.choice(chosen, count)
            targets, clip, family = sample_targets(pool, count, rng)
            rendered = []
            for low in range(0, count, args.batch):
                some = slice(low, low + args.batch)
                people = [bodies[index] for index in body[some]]
                asked = targets[some].to(device)
                others = random_bystanders(len(people), args.bystanders, drawable, pool, rng)
                rendered.append(render_samples(rig, people, asked, size, rng, others, prints))
                progress.update(len(people))
            names = np.array(pool.names)[clip]
            _save_chunk(path, rendered, {"body": body, "clip": names, "family": family}, rng)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Raise ValueError if a number is out of its bounds."""
    for name, least in _LEAST.items():
        if getattr(args, name) < least:
            raise ValueError(f"expected --{name} of at least {least}, got {getattr(args, name)}")
    if not 0 <= args.bystanders <= 1:
        raise ValueError(f"--bystanders is a fraction, from 0 to 1; got {args.bystanders}")


def _check_folder(args: argparse.Namespace) -> None:
    """Make the folder; raise ValueError if it has images rendered with other options."""
    options = {name: getattr(args, name) for name in _OPTIONS}
    options["bodies_sha256"] = file_sha256(args.bodies)
    options["motion_sha256"] = file_sha256(*motion_files(args.motion))
    pictures = picture_files(args.pictures) if args.pictures else []
    options["pictures_sha256"] = file_sha256(*pictures) if pictures else None
    keep_options(args.out, options)


def _prints(folder: Path | None) -> Prints | None:
    """Read the pictures of a folder, if one is given."""
    return Prints([picture.image for picture in read_pictures(folder)]) if folder else None


def _is_whole(path: Path, count: int) -> bool:
    """Return whether a chunk is complete; the last one of a shorter run is not, nor a damaged."""
    if not path.exists():
        return False
    try:
        return len(read_npz(path, ("offsets",))["offsets"]) > count
    except (ValueError, KeyError):  # cut off, as by a power failure
        return False


def _save_chunk(
    path: Path,
    rendered: list[Samples],
    told: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    """Write one chunk; the file appears whole or not at all."""
    images = np.concatenate([samples.images.cpu().numpy() for samples in rendered])
    low, high = RenderConfig().jpeg_quality
    qualities = rng.integers(low, high, len(images), endpoint=True).tolist()
    encoded = [encode_jpeg(*pair) for pair in zip(images, qualities, strict=True)]
    content = io.BytesIO()
    np.savez(
        content,
        jpeg=np.concatenate(encoded),
        offsets=np.cumsum([0, *(len(jpeg) for jpeg in encoded)]),
        joints=np.concatenate([samples.joints.cpu().numpy() for samples in rendered]),
        K=np.concatenate([samples.K.cpu().numpy() for samples in rendered]),
        **told,
    )
    replace_file(path, content.getvalue())
