"""Images of data sets on disk: whether they are there, and of the size that labels are for."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

_FOLDERS_KEPT = 256  # more than the cameras between which the samples of a data set take turns
_TOLERANCE_PX = 4  # the cameras of Human3.6M differ by 2


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
