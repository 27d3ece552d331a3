"""Arrays of npz files; errors name the file."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

# What numpy raises for files of other kinds and for such as were cut off.
_ERRORS = (AttributeError, BadZipFile, EOFError, OSError, TypeError, ValueError, zlib.error)


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray]:
    """Read arrays of an npz file.

    Args:
        path: The file, which is there.
        names: Of those wanted; None: all.

    Returns:
        Those wanted that the file has, by name, sorted.

    Raises:
        ValueError: If it is not an npz file, was cut off, or holds anything but numbers and texts.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {
                name: file[name] for name in sorted(file.files) if names is None or name in names
            }
    except _ERRORS as error:
        raise ValueError(
            f"{path} is not an npz file of plain arrays, or was cut off: {error}"
        ) from error
