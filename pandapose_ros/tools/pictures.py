"""Pictures and videos as files: read, drawn upon, written whole or not at all."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pandapose_ros.data.image_files import load_image, rgb_from_bgr
from pandapose_ros.drawing import compose_picture, limit_width, view_of
from pandapose_ros.pose import Pose

ANNOTATED_VIDEO = "annotated.mp4"
_PICTURE_EVERY = 10  # frame of a video
FRAME_DIGITS = 5  # in the name of a video's frame
_FRAME_LINE = '  "frame": "'  # how a line of poses.json begins that names a frame
_DEFAULT_RATE = 30.0  # Hz
_READ_SHARE = 0.95  # of a video's time; containers do not tell it exactly
_WIDEST_VIDEO, _WIDEST_PICTURE = 8190, 65500  # pixels that MPEG-4 and JPEG can have


def frame_name(number: int) -> str:
    """Name a video's frame."""
    return f"{number:0{FRAME_DIGITS}d}"


def read_pictures(
    paths: Sequence[Path], unreadable: list[Path]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (name, RGB image) of each picture.

    Args:
        paths: Of the pictures.
        unreadable: Gets those that are left out because they cannot be read.
    """
    for path in paths:
        image = load_image(path)
        if image is None:
            unreadable.append(path)
            continue
        yield path.stem, image


def open_video(path: Path) -> cv2.VideoCapture:
    """Open a video; raise ValueError if that fails."""
    # FFmpeg would take the beginning of 12:30.mp4 for a protocol.
    capture = cv2.VideoCapture(str(path.absolute()))
    if not capture.isOpened():
        raise ValueError(f"cannot open the video {path}: not a video, or not there")
    return capture


def read_video(
    path: Path, times: list[float] | None = None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (number, RGB image) of each frame.

    Args:
        path: Of the video.
        times: Gets the time of each frame, seconds, just before it is yielded.
    """
    capture = open_video(path)
    for number in itertools.count():
        ok, image = capture.read()
        if not ok:
            break
        if times is not None:
            times.append(_time(capture, times))
        yield frame_name(number), rgb_from_bgr(np.asarray(image, np.uint8))
    capture.release()


def _time(capture: cv2.VideoCapture, before: Sequence[float]) -> float:
    """Return the time of the frame read last, seconds, given those of the frames before it."""
    told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    if not before or told > before[-1]:
        return max(told, 0.0)
    # Some files do not tell it of all frames. Others declare 1000 Hz, as browsers record, so that
    # the rate alone would not do.
    return before[-1] + 1 / (capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_RATE)


def mean_rate(times: Sequence[float]) -> float:
    """Return the frames per second of a video; 30 of one with a single frame."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else _DEFAULT_RATE


def unread_part(path: Path, times: Sequence[float]) -> str:
    """Return how much of a video could not be read, as of an incomplete download; empty if none.

    Args:
        path: Of the video.
        times: Of the frames that were read, at least one.
    """
    capture = open_video(path)
    rate = capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_RATE
    whole = capture.get(cv2.CAP_PROP_FRAME_COUNT) / rate
    if times[-1] + 2 / mean_rate(times) > _READ_SHARE * whole:
        return ""
    return f"{path} could be read up to {times[-1]:.1f} of {whole:.1f} s: is it damaged?"


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
    video = _Video(out / ANNOTATED_VIDEO, rate) if rate else None
    pairs = zip(frames, poses, strict=True)
    for number, ((name, image), people) in enumerate(
        tqdm(pairs, desc="draw", unit="frame", total=len(poses))
    ):
        view = shared_view if rate else view_of(people)
        picture = cv2.cvtColor(compose_picture(image, people, view), cv2.COLOR_RGB2BGR)
        picture = limit_width(np.asarray(picture, np.uint8), _WIDEST_PICTURE)
        if video is not None:
            video.write(picture)
        if not rate or number % _PICTURE_EVERY == 0:
            _, encoded = cv2.imencode(".jpg", picture)
            write_whole(out / f"{name}.jpg", encoded.tobytes())
    if video is not None:
        video.close()


def pictures_of_video(poses: Path) -> set[str]:
    """Return the names of the pictures that an earlier run has written of a video, as it says.

    Args:
        poses: The `poses.json` of that run; may be missing, or of something else.
    """
    # Line by line: of an hour's video it has hundreds of MB.
    try:
        with poses.open(encoding="utf-8") as file:
            lines = [line for line in file if line.startswith(_FRAME_LINE)]
    except (OSError, UnicodeError):
        return set()
    # Pictures have the names of their files; a folder may collect those of several runs.
    found = [line.removeprefix(_FRAME_LINE).rstrip('",\n') for line in lines]
    is_video = found == [frame_name(number) for number in range(len(found))]
    return set(found[::_PICTURE_EVERY]) if is_video else set()


class _Video:
    """Writes a video, and notices if that fails, which OpenCV does not tell."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path.absolute()  # see `open_video`
        self._rate = float(f"{rate:.4g}")  # MPEG-4 cannot have 119.881 Hz, as of phones
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
