"""Images of data sets on disk: whether they are there, before hours of work."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_FOLDERS_KEPT = 256  # more than the cameras between which the samples of a data set take turns


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


def _names(folder: Path) -> frozenset[str]:
    """Return the names of what is in a folder; none if there is no such folder."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()
