"""Rendered people with exact joints, as `pandapose synthesize` writes them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.body_circle import body_circle
from pandapose_ros.data.image_files import decode_image, rgb_from_bgr
from pandapose_ros.data.plain_npz import read_npz
from pandapose_ros.data.pose_sampler import Family
from pandapose_ros.geometry import project
from pandapose_ros.people.region import REGION_MARGIN, Region
from pandapose_ros.skeleton import H36M_17, mirror_joints

Array = NDArray[np.floating]

# Beside the files: the options of `pandapose synthesize`.
OPTIONS_FILE = "options.json"
_NUMBER = re.compile(r"[\W_]*\d+$")
_FIELDS = ("jpeg", "offsets", "joints", "K")


@dataclass(frozen=True)
class RenderedImage:
    """Hold one image of one person.

    Attributes:
        image: RGB uint8 [H, W, 3].
        joints: [17, 3], camera frame, metres.
        K: [3, 3], pixels.
    """

    image: NDArray[np.uint8]
    joints: Array
    K: Array


@dataclass(frozen=True)
class ChunkNames:
    """Hold the names of the N images in a file of rendered images.

    Attributes:
        actions: N names of the families of poses; in files without these, of the kinds of motion
            that the poses were made from.
        bodies: N numbers of the bodies; "" if unknown.
    """

    actions: tuple[str, ...]
    bodies: tuple[str, ...]


def mirrored(item: RenderedImage) -> RenderedImage:
    """Return the image in a mirror, with left and right joints exchanged."""
    K = item.K.copy()
    K[0, 2] = item.image.shape[1] - 1 - K[0, 2]
    image = np.asarray(cv2.flip(item.image, 1), np.uint8)
    return RenderedImage(image, mirror_joints(item.joints), K)


def chunk_files(folder: Path) -> list[Path]:
    """Return the files of a folder of rendered images, sorted by name.

    Raises:
        FileNotFoundError: If there are none.
    """
    files = sorted(folder.glob("chunk_*.npz"))
    if not files:
        raise FileNotFoundError(
            f"no chunk_*.npz in {folder}; render some with `pandapose synthesize`"
        )
    return files


def most_people(folder: Path) -> int:
    """Return how many people an image of a folder shows at most: with bystanders two, else one.

    A folder without `options.json` was rendered before there was one, and is taken to be without
    bystanders.
    """
    return 2 if read_options(folder).get("bystanders", 0) > 0 else 1


def read_options(folder: Path) -> dict[str, Any]:
    """Return the options of `pandapose synthesize` for a folder; empty if they are not stored.

    Raises:
        ValueError: If the file with them is broken.
    """
    path = folder / OPTIONS_FILE
    if not path.is_file():
        return {}
    try:
        options = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}; delete it and render again") from error
    if not isinstance(options, dict):
        raise ValueError(f"{path}: expected the options of `synthesize`, got {options!r}")
    return options


def read_chunk(path: Path) -> Iterator[RenderedImage]:
    """Read a file of rendered images, one after the other.

    Args:
        path: npz with jpeg (all files' bytes), offsets [N + 1], joints [N, 17, 3] and K [N, 3, 3].

    Raises:
        ValueError: If it is no such file, or a field is missing, of another shape or NaN.
    """
    file = read_npz(path, _FIELDS)
    missing = [name for name in _FIELDS if name not in file]
    if missing:
        raise ValueError(
            f"{path} lacks {missing}; expected {list(_FIELDS)} as of `pandapose synthesize`"
        )
    jpeg, offsets, joints, K = (file[name] for name in _FIELDS)
    count = len(offsets) - 1
    expected = ((count, len(H36M_17.joint_names), 3), (count, 3, 3))
    if (joints.shape, K.shape) != expected:
        raise ValueError(
            f"{path}: expected joints and K of shapes {expected}, got {joints.shape}, {K.shape}"
        )
    if not (np.isfinite(joints).all() and np.isfinite(K).all()):
        raise ValueError(f"{path}: expected finite joints and K, got NaN or infinity among them")
    for i in range(count):
        yield RenderedImage(decode_image(jpeg[offsets[i] : offsets[i + 1]]), joints[i], K[i])


def read_names(path: Path) -> ChunkNames:
    """Read the names in a file of rendered images, without its images.

    Raises:
        ValueError: If the file is none of `pandapose synthesize`.
    """
    file = read_npz(path, ("offsets", "clip", "body", "family"))
    if "offsets" not in file:
        raise ValueError(f"{path} lacks ['offsets']; expected {list(_FIELDS)}")
    count = len(file["offsets"]) - 1
    clips, bodies = (
        tuple(map(str, file[name])) if name in file else ("",) * count for name in ("clip", "body")
    )
    if "family" in file:
        actions = tuple(Family(int(number)).name.lower() for number in file["family"])
    else:
        actions = tuple(_NUMBER.sub("", clip) or clip or "unknown" for clip in clips)
    return ChunkNames(actions, bodies)


def read_clip_truth(path: Path) -> tuple[Array, Array]:
    """Return the joints [N, 17, 3] and K [3, 3] of a rendered clip, as of `read_clip`.

    Raises:
        FileNotFoundError: If the video or its truth is missing.
        ValueError: If the truth is no npz file, lacks them, or has NaN in them.
    """
    truth = path.with_suffix(".npz")
    if not (path.is_file() and truth.is_file()):
        raise FileNotFoundError(f"expected a clip {path} and its truth {truth}")
    file = read_npz(truth, ("joints", "K"))
    missing = [name for name in ("joints", "K") if name not in file]
    if missing:
        raise ValueError(f"{truth} lacks {missing}; expected joints [N, 17, 3] and K [3, 3]")
    joints, K = file["joints"], file["K"]
    is_whole = joints.shape[1:] == (len(H36M_17.joint_names), 3) and K.shape == (3, 3)
    if not (is_whole and np.isfinite(joints).all() and np.isfinite(K).all()):
        raise ValueError(
            f"{truth}: expected finite joints [N, 17, 3] and K [3, 3], got {joints.shape} and "
            f"{K.shape}, or NaN or infinity in them"
        )
    return joints, K


def read_clip(path: Path) -> Iterator[RenderedImage]:
    """Read a rendered clip, frame after frame.

    Args:
        path: The video; beside it lies an npz of the same name with joints [N, 17, 3] (camera
            frame, metres) and K [3, 3].

    Raises:
        FileNotFoundError: If one of the two is missing.
        ValueError: If they are not of the same length.
    """
    joints, K = read_clip_truth(path)
    video = cv2.VideoCapture(str(path.absolute()))  # else 12:30.mp4 would begin with a protocol
    for i, pose in enumerate(joints):
        read, image = video.read()
        if not read:
            raise ValueError(f"{path} has {i} frames, its truth has {len(joints)} poses")
        yield RenderedImage(rgb_from_bgr(np.asarray(image, np.uint8)), pose, K)
    if video.grab():
        raise ValueError(f"{path} has more frames than its truth, which has {len(joints)} poses")


def region_round_person(joints: Array, K: Array, *, with_hands: bool) -> Region:
    """Place the region that a tracker would use round a person whose joints are known.

    Args:
        joints: [17, 3], camera frame, metres, all before the camera.
        K: [3, 3], pixels.
        with_hands: Whether the region holds the hands in any case.

    Source:
        Our choice, see `body_circle`.
    """
    points = project(joints, K)
    radius, angle = body_circle(points[None], np.array([with_hands]))
    side = float(2 * REGION_MARGIN * radius[0])
    return Region((points[0, 0], points[0, 1]), side, float(angle[0]))
