"""Lens distortion: images and pixels to an ideal pinhole camera and back."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros import geometry

Array = NDArray[np.floating]
Image = NDArray[np.uint8]


def check_distortion(distortion: Array | None) -> Array | None:
    """Return plumb_bob coefficients as float64 [5], or None if there is no distortion.

    Args:
        distortion: (k1, k2, p1, p2) or (k1, k2, p1, p2, k3), or None.

    Raises:
        ValueError: If there is another number of coefficients or one is not finite.
    """
    if distortion is None:
        return None
    coefficients = np.asarray(distortion, np.float64).ravel()
    if len(coefficients) not in (4, 5):
        raise ValueError(f"expected 4 or 5 plumb_bob coefficients, got {len(coefficients)}")
    if not np.isfinite(coefficients).all():
        raise ValueError(f"distortion coefficients are not finite: {coefficients.tolist()}")
    return np.append(coefficients, 0.0)[:5] if coefficients.any() else None


class ImageUndistorter:
    """Show images as an ideal pinhole with the same K would; keeps the maps of the last camera."""

    def __init__(self) -> None:
        self._camera = b""
        self._maps: tuple[NDArray[Any], NDArray[Any]] | None = None

    def undistort(self, image: Image, K: Array, distortion: Array) -> Image:
        """Return the ideal image, of the same size, black where the camera saw nothing.

        Args:
            image: [H, W, 3], uint8.
            K: Intrinsics [3, 3], pixels.
            distortion: plumb_bob coefficients [5].
        """
        size = (image.shape[1], image.shape[0])
        camera = np.concatenate((K.ravel(), distortion, size)).tobytes()
        if camera != self._camera or self._maps is None:
            maps = cv2.initUndistortRectifyMap(K, distortion, np.eye(3), K, size, cv2.CV_16SC2)
            self._camera, self._maps = camera, (maps[0], maps[1])
        whole, fraction = self._maps
        ideal = cv2.remap(np.ascontiguousarray(image), whole, fraction, cv2.INTER_LINEAR)
        return np.asarray(ideal, np.uint8)


def distort_pixels(pixels: Array, K: Array, distortion: Array) -> Array:
    """Move pixels of the ideal pinhole to where the real lens shows them.

    Args:
        pixels: [..., 2], of the ideal pinhole K.
        K: Intrinsics [3, 3], pixels.
        distortion: plumb_bob coefficients [5].

    Returns:
        [..., 2], pixels of the real image.
    """
    rays = geometry.back_project(pixels, np.ones(pixels.shape[:-1]), K)
    return geometry.project(rays, K, distortion)


def distort_box(
    box_xyxy: Array, K: Array, distortion: Array, image_size: tuple[int, int]
) -> Array:
    """Return the box round a distorted box, clipped to the image.

    Args:
        box_xyxy: [4], pixels of the ideal pinhole K.
        K: Intrinsics [3, 3], pixels.
        distortion: plumb_bob coefficients [5].
        image_size: (width, height), pixels.
    """
    left, top, right, bottom = box_xyxy
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    real = distort_pixels(corners, K, distortion)
    limit = np.asarray(image_size) - 1
    return np.concatenate((np.clip(real.min(0), 0, limit), np.clip(real.max(0), 0, limit)))
