"""Estimate skeletons in pictures or a video without ROS; writes annotated pictures and JSON."""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.drawing import compose_picture, limit_width, view_of
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.pose import Pose

FRAME_DIGITS = 5  # in the name of a video's frame
_VIDEO = "annotated.mp4"
_ALL_TILES = 100
_WIDEST_VIDEO, _WIDEST_PICTURE = 8190, 65500  # pixels that MPEG-4 and JPEG can have
_VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = EstimatorConfig()
    parser.add_argument("input", type=Path, nargs="+", help="pictures, or one video")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and JSON")
    parser.add_argument("--weights", default=defaults.weights,
                        help="default, accurate or a weights file (.safetensors)")  # fmt: skip
    parser.add_argument("--device", default=defaults.device, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tiles", type=int, choices=range(_ALL_TILES + 1), metavar="N",
                        help="image tiles that the detector also scans, for people who are small "
                        "or close to others (pictures: all; a video: "
                        f"{defaults.detection_tiles})")  # fmt: skip
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
    args.out.mkdir(parents=True, exist_ok=True)
    config = EstimatorConfig(weights=args.weights, device=args.device, tracking=is_video)
    if args.tiles is not None or not is_video:  # a picture has no later images to search
        config = replace(config, detection_tiles=_ALL_TILES if args.tiles is None else args.tiles)
    estimator = PoseEstimator(config)
    rate = video_rate(args.input[0]) if is_video else None
    unreadable: list[Path] = []
    frames = _frames(args.input, is_video, unreadable)
    names, poses, seconds = _estimate_frames(estimator, frames, args.out, rate, args.fov)
    if not names:
        raise ValueError(f"cannot read {', '.join(map(str, args.input))}: is it damaged?")
    # Before the drawing, which may fail: what has taken the time is not to be lost.
    count = write_poses(names, poses, args.out)
    # The frames are read again: a long video does not fit into memory.
    readable = [path for path in args.input if path not in unreadable]
    write_pictures(_frames(readable, is_video, []), poses, args.out, rate)
    print(
        f"{len(names)} frames, {count} skeletons, "
        f"{1e3 * float(np.median(seconds)):.0f} ms a frame (median), written to {args.out}"
    )
    if unreadable:
        listing = ", ".join(map(str, unreadable))
        print(f"{len(unreadable)} pictures cannot be read: {listing}", file=sys.stderr)
    return int(bool(unreadable))


def _estimate_frames(
    estimator: PoseEstimator,
    frames: Iterable[tuple[str, NDArray[np.uint8]]],
    out: Path,
    rate: float | None,
    fov: float | None,
) -> tuple[list[str], list[list[Pose]], list[float]]:
    """Return of each frame its name, its people and the time it took, seconds."""
    names: list[str] = []
    poses: list[list[Pose]] = []
    seconds: list[float] = []
    try:
        for name, image in tqdm(frames, desc="estimate", unit="frame"):
            height, width = image.shape[:2]
            K = intrinsics_from_field_of_view(fov, width, height) if fov else None
            start = time.perf_counter()
            people = estimator.estimate(image, K, stamp=len(names) / rate if rate else None)
            seconds.append(time.perf_counter() - start)
            poses.append([without_spare(pose) for pose in people])
            names.append(name)
    except KeyboardInterrupt:  # what has taken the time is not to be lost
        if names:  # else what an earlier run wrote is worth more
            write_poses(names, poses[: len(names)], out)
            print(f"interrupted: {out / 'poses.json'} has {len(names)} frames", file=sys.stderr)
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
    names = [_VIDEO] if is_video else [f"{path.stem}.jpg" for path in paths]
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


def frame_name(number: int) -> str:
    """Name a video's frame."""
    return f"{number:0{FRAME_DIGITS}d}"


def _frames(
    paths: list[Path], is_video: bool, unreadable: list[Path]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (name, RGB image) of the video or of each picture."""
    return read_video(paths[0]) if is_video else read_pictures(paths, unreadable)


def read_pictures(
    paths: Sequence[Path], unreadable: list[Path]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (name, RGB image) of each picture.

    Args:
        paths: Of the pictures.
        unreadable: Gets those that are left out because they cannot be read.
    """
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            unreadable.append(path)
            continue
        yield path.stem, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_video(path: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (number, RGB image) of each frame."""
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(f"cannot open the video {path}")
    for number in itertools.count():
        ok, image = capture.read()
        if not ok:
            break
        yield frame_name(number), np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    capture.release()


def video_rate(path: Path) -> float:
    """Return the frames per second that a video declares; 30 where it declares none."""
    return cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) or 30.0


def write_pictures(
    frames: Iterable[tuple[str, NDArray[np.uint8]]],
    poses: Sequence[Sequence[Pose]],
    out: Path,
    rate: float | None,
) -> None:
    """Draw the overlay beside the 3D view.

    Args:
        frames: (name, RGB image) of each frame.
        poses: The people of each frame.
        out: Folder to write into.
        rate: Frames per second of `annotated.mp4`, beside which every tenth frame is written as a
            picture; None: every frame is a picture, with its own view.

    Raises:
        OSError: If something cannot be written; the message names the file.
    """
    shared_view = view_of([pose for people in poses for pose in people])
    video = _Video(out / _VIDEO, rate) if rate else None
    pairs = zip(frames, poses, strict=True)
    for number, ((name, image), people) in enumerate(
        tqdm(pairs, desc="draw", unit="frame", total=len(poses))
    ):
        view = shared_view if rate else view_of(people)
        picture = cv2.cvtColor(compose_picture(image, people, view), cv2.COLOR_RGB2BGR)
        picture = limit_width(np.asarray(picture, np.uint8), _WIDEST_PICTURE)
        if video is not None:
            video.write(picture)
        if not rate or number % 10 == 0:
            _, encoded = cv2.imencode(".jpg", picture)
            write_whole(out / f"{name}.jpg", encoded.tobytes())
    if video is not None:
        video.close()


class _Video:
    """Writes a video, and notices if that fails, which OpenCV does not tell."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0

    def write(self, picture: NDArray[np.uint8]) -> None:
        picture = limit_width(picture, _WIDEST_VIDEO)
        if self._writer is None:
            size = (picture.shape[1], picture.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise OSError(
                    f"cannot write {self._path} of {size[0]}x{size[1]} pixels at {self._rate:g} "
                    "Hz: may the file be written?"
                )
        self._writer.write(picture)
        self._frames += 1

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        written = cv2.VideoCapture(str(self._path)).get(cv2.CAP_PROP_FRAME_COUNT)
        if written < self._frames:
            there = f"{max(int(written), 0)} of {self._frames}"
            raise OSError(f"{self._path} lacks frames ({there} are there): is the disk full?")


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
    write_whole(out / "poses.json", json.dumps(records, indent=1).encode())
    return sum(len(record["people"]) for record in records)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; OSError with its name if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
