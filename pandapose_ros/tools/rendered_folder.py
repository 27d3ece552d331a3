"""What the tools that render into a folder share: its options, and JPEGs."""

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.rendered_images import OPTIONS_FILE, read_options
from pandapose_ros.whole_files import write_shared


def keep_options(folder: Path, options: dict[str, int | float | str | bool | None]) -> None:
    """Make the folder and write the options into it.

    Raises:
        ValueError: If it holds images rendered with other options.
    """
    path = folder / OPTIONS_FILE
    if path.exists():
        there = read_options(folder)
        if others := [name for name in options if options[name] != there.get(name)]:
            raise ValueError(
                f"{folder} was rendered with other options ({', '.join(others)}; see {path}): "
                "give another --out"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_shared(path, (json.dumps(options, indent=1) + "\n").encode())


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress an RGB image [H, W, 3] to the bytes of a JPEG file.

    Args:
        image: RGB.
        quality: As in libjpeg, 0 to 100.
    """
    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} as JPEG")
    return jpeg
