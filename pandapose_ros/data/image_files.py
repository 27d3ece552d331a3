"""Images on disk: decoded; and whether those of a data set are there, with their labels' size."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_FOLDERS_KEPT = 256  # more than the cameras between which the samples of a data set take turns
_TOLERANCE_PX = 4  # the cameras of Human3.6M differ by 2


def load_image(path: Path) -> Image | None:
    """Return the image in a file, RGB uint8 [H, W, 3]; None if it is missing or no image."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else rgb_from_bgr(np.asarray(image, np.uint8))


def decode_image(content: NDArray[np.uint8]) -> Image:
    """Return the image in the bytes of a JPEG or PNG file, RGB uint8 [H, W, 3]."""
    return rgb_from_bgr(np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8))


def rgb_from_bgr(image: Image) -> Image:
    """Return an image [H, W, 3] of OpenCV's channel order in RGB."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def check_images(name: str, images: Sequence[Path]) -> None:
    """See that all images are there, by their names: a million takes some seconds.

    Args:
        name: Of the data set.
        images: Its files.

    Raises:
        FileNotFoundError: If any is missing; names the first, and tells how many there are.
    """
    names = lru_cache(_FOLDERS_KEPT)(_names)
    missing = [image for image in images if image.name not in names(image.parent)]
    if missing:
        raise FileNotFoundError(
            f"no image {missing[0]}; {len(missing)} of the {len(images)} of {name} are missing: "
            "complete them, or take these samples out of the label file"
        )


def check_size(path: Path, image: NDArray[Any], size: tuple[int, int]) -> None:
    """Refuse an image in which keypoints and crops would lie elsewhere.

    Args:
        path: For the message.
        image: [H, W, 3].
        size: (width, height) that the labels are for, pixels, to within a few.

    Raises:
        ValueError: If it is of another size.
    """
    height, width = image.shape[:2]
    if max(abs(width - size[0]), abs(height - size[1])) > _TOLERANCE_PX:
        raise ValueError(
            f"{path}: expected an image of {size[0]} x {size[1]} pixels, as its labels are for, "
            f"got {width} x {height}"
        )


def _names(folder: Path) -> frozenset[str]:
    """Return the names of what is in a folder; none if there is no such folder."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()
