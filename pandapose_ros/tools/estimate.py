"""Estimate skeletons in pictures or a video without ROS; writes annotated pictures and JSON."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pandapose_ros.config import MOST_CROPS, EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.packaged_weights import WEIGHTS_CHOICE
from pandapose_ros.pose import Pose
from pandapose_ros.tools.pictures import (
    ANNOTATED_VIDEO,
    mean_rate,
    pictures_of_video,
    read_pictures,
    read_video,
    unread_part,
    write_pictures,
    write_whole,
)
from pandapose_ros.whole_files import prepare_file

_ALL_TILES = 100
_POSES = "poses.json"
_VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = EstimatorConfig()
    parser.add_argument("input", type=Path, nargs="+", help="pictures, or one video")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and JSON")
    parser.add_argument("--weights", default=defaults.weights,
                        help=WEIGHTS_CHOICE)  # fmt: skip
    parser.add_argument("--device", default=defaults.device, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tiles", type=int, choices=range(_ALL_TILES + 1), metavar="N",
                        help="image tiles that the detector also scans, for people who are small "
                        "or close to others (pictures: all; a video: "
                        f"{defaults.detection_tiles})")  # fmt: skip
    parser.add_argument("--crops-per-person", type=int, choices=range(1, MOST_CROPS + 1),
                        metavar="N", help="see each person in N crops, half of them mirrored, and "
                        "take the medians: less error, in N times the networks' time (pictures: "
                        f"{MOST_CROPS}; a video: {defaults.crops_per_person})")  # fmt: skip
    parser.add_argument("--fov", type=float, help="horizontal field of view of the camera [rad]")


def run(args: argparse.Namespace) -> int:
    """Estimate every frame and write `poses.json`, then the pictures or the video.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 1 if a picture could not be read; the others are written.
    """
    is_video = len(args.input) == 1 and args.input[0].suffix.lower() in _VIDEO_SUFFIXES
    check_input(args.input)
    check_output(args.input, args.out, is_video=is_video)
    prepare_file(args.out / _POSES)  # before all the work, not after it
    config = EstimatorConfig(weights=args.weights, device=args.device, tracking=is_video)
    if not is_video:  # a picture has no later images to search, nor to be in time for
        config = replace(config, detection_tiles=_ALL_TILES, crops_per_person=MOST_CROPS)
    if args.tiles is not None:
        config = replace(config, detection_tiles=args.tiles)
    if args.crops_per_person is not None:
        config = replace(config, crops_per_person=args.crops_per_person)
    estimator = PoseEstimator(config)
    earlier = pictures_of_video(args.out / _POSES) if is_video else set()
    unreadable: list[Path] = []
    times: list[float] = []
    frames = _frames(args.input, is_video, unreadable, times)
    names, poses, seconds = _estimate_frames(estimator, frames, args.out, times, args.fov)
    if not names:
        raise ValueError(f"cannot read {', '.join(map(str, args.input))}: is it damaged?")
    # Before the drawing, which may fail: what has taken the time is not to be lost.
    count = write_poses(names, poses, args.out)
    # The frames are read again: a long video does not fit into memory.
    readable = [path for path in args.input if path not in unreadable]
    rate = mean_rate(times) if is_video else None
    write_pictures(_frames(readable, is_video, [], []), poses, args.out, rate)
    for name in earlier - set(names):  # or they would seem to be of this video
        (args.out / f"{name}.jpg").unlink(missing_ok=True)
    print(
        f"{len(names)} frames, {count} skeletons, "
        f"{1e3 * float(np.median(seconds)):.0f} ms a frame (median), written to {args.out}"
    )
    if is_video and (told := unread_part(args.input[0], times)):
        print(told, file=sys.stderr)
    if unreadable:
        listing = ", ".join(map(str, unreadable))
        print(f"{len(unreadable)} pictures cannot be read: {listing}", file=sys.stderr)
    return int(bool(unreadable))


def _estimate_frames(
    estimator: PoseEstimator,
    frames: Iterable[tuple[str, NDArray[np.uint8]]],
    out: Path,
    times: Sequence[float],
    fov: float | None,
) -> tuple[list[str], list[list[Pose]], list[float]]:
    """Return of each frame its name, its people and the seconds it took; the last time is its own.

    Pictures have no times.
    """
    names: list[str] = []
    poses: list[list[Pose]] = []
    seconds: list[float] = []
    try:
        for name, image in tqdm(frames, desc="estimate", unit="frame"):
            height, width = image.shape[:2]
            K = intrinsics_from_field_of_view(fov, width, height) if fov else None
            start = time.perf_counter()
            people = estimator.estimate(image, K, stamp=times[-1] if times else None)
            seconds.append(time.perf_counter() - start)
            poses.append([without_spare(pose) for pose in people])
            names.append(name)
    except KeyboardInterrupt:  # what has taken the time is not to be lost
        if names:  # else what an earlier run wrote is worth more
            write_poses(names, poses[: len(names)], out)
            print(f"interrupted: {out / _POSES} has {len(names)} frames", file=sys.stderr)
        raise
    return names, poses, seconds


def check_input(paths: Sequence[Path]) -> None:
    """Raise OSError if a file is missing, ValueError if one of several is a video."""
    for path in paths:
        if len(paths) > 1 and path.suffix.lower() in _VIDEO_SUFFIXES:
            raise ValueError(f"{path} is a video: estimate it by itself")
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: name the pictures in it")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")


def check_output(paths: Sequence[Path], out: Path, *, is_video: bool) -> None:
    """Raise ValueError if what is written would overwrite what is read, or itself."""
    names = [ANNOTATED_VIDEO] if is_video else [f"{path.stem}.jpg" for path in paths]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two pictures would be written as {twice}: estimate them one by one")
    written = {(out / name).resolve() for name in names}
    for path in paths:
        if path.resolve() in written:
            raise ValueError(f"{path} would be overwritten by its result: give another --out")


def without_spare(pose: Pose) -> Pose:
    """Return a pose with only what is drawn and written, as all poses of a video are kept.

    A quarter of the bytes: of one person in an hour's video 1.5 GB, not 6.
    """
    shares = pose.anchors.weights.astype(np.float16)
    return replace(pose, depth=None, anchors=replace(pose.anchors, weights=shares))


def _frames(
    paths: list[Path], is_video: bool, unreadable: list[Path], times: list[float]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (name, RGB image) of the video, with the times of its frames, or of each picture."""
    return read_video(paths[0], times) if is_video else read_pictures(paths, unreadable)


def write_poses(names: Sequence[str], poses: Sequence[Sequence[Pose]], out: Path) -> int:
    """Write `poses.json` into a folder; return how many skeletons it holds.

    Args:
        names: Of the frames.
        poses: The people of each frame.
        out: The folder.
    """
    records = [
        {"frame": name, "people": [_record(pose) for pose in people if pose.score > 0]}
        for name, people in zip(names, poses, strict=True)
    ]
    write_whole(out / _POSES, json.dumps(records, indent=1).encode())
    return sum(len(record["people"]) for record in records)


def _record(pose: Pose) -> dict:
    """Turn a pose into JSON: metres, pixels; null for an unknown root."""
    return {
        "id": pose.id,
        "state": pose.state.name,
        "score": round(pose.score, 4),
        "root": None if pose.root is None else pose.root.round(4).tolist(),
        "root_source": pose.root_source.name,
        "joints": pose.joints.round(4).tolist(),
        "joint_scores": pose.joint_scores.round(3).tolist(),
        "keypoints": pose.keypoints.round(2).tolist(),
        "box_xyxy": pose.box_xyxy.round(2).tolist(),
    }
