"""The estimator's input: an image of one camera with what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.camera.lens import Distortion

Array = NDArray[np.floating]

# Seconds, 30,000 years: added to more, 1/30 s would be rounded away.
_LATEST = 1e12


@dataclass(frozen=True, eq=False)
class CameraImage:
    """Hold an image of one camera.

    Attributes:
        image: RGB uint8 [H, W, 3], [0, 255]; read only, any strides.
        K: Intrinsics [3, 3] of this image, pixels, or None.
        distortion: Of the lens, with K; an array holds OpenCV's (k1, k2, p1, p2[, k3[, ...]]).
        depth: [H, W], metres, registered to the image; 0 or not finite where unknown. With K only.
        stamp: Time of the image, seconds; None: 1/30 s after the camera's previous one.
        camera: Name of the camera; each camera has its own people.
        boxes: [P, 4], xyxy, pixels: people found by another detector, the most certain first. The
            built-in detectors do not run then. None: they do.
    """

    image: NDArray[np.uint8]
    K: Array | None = None
    distortion: Distortion | Array | None = None
    depth: Array | None = None
    stamp: float | None = None
    camera: str = ""
    boxes: Array | None = None


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `image` is a non-empty uint8 array [H, W, 3]."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image as a uint8 array, got {_describe(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected an RGB image of shape [H, W, 3], got {list(image.shape)}")


def check_stamp(stamp: float | None) -> None:
    """Raise ValueError unless `stamp` is None or a time in seconds."""
    if stamp is not None and not abs(stamp) < _LATEST:
        raise ValueError(
            f"expected a stamp in seconds, got {stamp}: divide nanoseconds by 1e9; None if unknown"
        )


def check_cameras(images: Sequence[CameraImage]) -> None:
    """Raise ValueError if two images are of the same camera."""
    names = [item.camera for item in images]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"two images of the camera '{name}' at once: give each camera a name of its own, "
                "and images one after the other to a call each"
            )


def _describe(value: object) -> str:
    """Name a value's type, and its dtype if it has one."""
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + (f" of {dtype}" if dtype is not None else "")
