"""Lens distortion: images and pixels to an ideal pinhole camera and back."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros import geometry

Array = NDArray[np.floating]
Image = NDArray[np.uint8]


# Coefficients of OpenCV's model: k1 k2 p1 p2, k3, rational k4 k5 k6, thin prism, tilted sensor.
_PINHOLE_COUNTS = (4, 5, 8, 12, 14)
_FISHEYE_COUNT = 4


@dataclass(frozen=True, eq=False)
class Distortion:
    """Say how a lens differs from a pinhole.

    Attributes:
        coefficients: Of OpenCV's model (k1, k2, p1, p2[, k3[, k4, k5, k6[, ...]]]): plumb_bob and
            rational_polynomial; or of its fisheye model (k1, k2, k3, k4): equidistant.
        is_fisheye: Whether they are those of the fisheye model, in which zeros are a lens too.
    """

    coefficients: Array
    is_fisheye: bool = False


def check_distortion(distortion: Distortion | Array | None) -> Distortion | None:
    """Return the distortion in float64 with at least 5 coefficients, or None if there is none.

    Args:
        distortion: Of a lens; an array is taken as coefficients of OpenCV's model.

    Raises:
        ValueError: If no model has this number of coefficients or one is not finite.
    """
    if distortion is None:
        return None
    if not isinstance(distortion, Distortion):
        distortion = Distortion(distortion)
    coefficients = np.asarray(distortion.coefficients, np.float64).ravel()
    if not np.isfinite(coefficients).all():
        raise ValueError(f"distortion coefficients are not finite: {coefficients.tolist()}")
    if distortion.is_fisheye:
        if len(coefficients) != _FISHEYE_COUNT:
            raise ValueError(f"expected 4 fisheye coefficients, got {len(coefficients)}")
        return Distortion(coefficients, is_fisheye=True)
    if len(coefficients) not in _PINHOLE_COUNTS:
        counts = ", ".join(map(str, _PINHOLE_COUNTS))
        raise ValueError(
            f"expected {counts} coefficients of OpenCV's model, got {len(coefficients)}"
        )
    if not coefficients.any():
        return None
    return Distortion(np.append(coefficients, 0.0) if len(coefficients) == 4 else coefficients)


class ImageUndistorter:
    """Show images as an ideal pinhole with the same K would; keeps the maps of the last camera."""

    def __init__(self) -> None:
        self._camera = b""
        self._maps: tuple[NDArray[Any], NDArray[Any]] | None = None

    def undistort(self, image: Image, K: Array, distortion: Distortion) -> Image:
        """Return the ideal image, of the same size, black where the camera saw nothing.

        Of a fisheye lens it is the middle: what lies further from the axis than the same K can
        show, such as 58 degrees of a lens of 180, is cut off.

        Args:
            image: [H, W, 3], uint8.
            K: Intrinsics [3, 3], pixels.
            distortion: Of the lens.
        """
        size = (image.shape[1], image.shape[0])
        coefficients, is_fisheye = distortion.coefficients, distortion.is_fisheye
        camera = np.concatenate((K.ravel(), coefficients, size, (is_fisheye,))).tobytes()
        if camera != self._camera or self._maps is None:
            make = (
                cv2.fisheye.initUndistortRectifyMap if is_fisheye else cv2.initUndistortRectifyMap
            )
            maps = make(K, coefficients, np.eye(3), K, size, cv2.CV_16SC2)
            self._camera, self._maps = camera, (maps[0], maps[1])
        whole, fraction = self._maps
        ideal = cv2.remap(np.ascontiguousarray(image), whole, fraction, cv2.INTER_LINEAR)
        return np.asarray(ideal, np.uint8)


def distort_pixels(pixels: Array, K: Array, distortion: Distortion) -> Array:
    """Move pixels of the ideal pinhole to where the real lens shows them.

    Args:
        pixels: [..., 2], of the ideal pinhole K.
        K: Intrinsics [3, 3], pixels.
        distortion: Of the lens.

    Returns:
        [..., 2], pixels of the real image.
    """
    rays = geometry.back_project(pixels, np.ones(pixels.shape[:-1]), K)
    if not distortion.is_fisheye:
        return geometry.project(rays, K, distortion.coefficients)
    flat = np.ascontiguousarray(rays[..., :2]).reshape(-1, 1, 2)
    real = cv2.fisheye.distortPoints(flat, K, distortion.coefficients)
    return np.asarray(real, np.float64).reshape(pixels.shape)


def distort_box(
    box_xyxy: Array, K: Array, distortion: Distortion, image_size: tuple[int, int]
) -> Array:
    """Return the box round a distorted box, clipped to the image.

    Args:
        box_xyxy: [4], pixels of the ideal pinhole K.
        K: Intrinsics [3, 3], pixels.
        distortion: Of the lens.
        image_size: (width, height), pixels.
    """
    left, top, right, bottom = box_xyxy
    # Not the corners alone: a barrel lens bends the edges outwards between them.
    columns, rows = np.meshgrid(np.linspace(left, right, 5), np.linspace(top, bottom, 5))
    points = np.stack((columns, rows), axis=-1).reshape(-1, 2)
    real = distort_pixels(points, K, distortion)
    limit = np.asarray(image_size) - 1
    return np.concatenate((np.clip(real.min(0), 0, limit), np.clip(real.max(0), 0, limit)))
