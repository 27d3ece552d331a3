"""Lens distortion: images and pixels to an ideal pinhole camera and back."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.camera.lens_reach import lens_reach

Array = NDArray[np.floating]
Image = NDArray[np.uint8]


# Coefficients of OpenCV's model: k1 k2 p1 p2, k3, rational k4 k5 k6, thin prism, tilted sensor.
_PINHOLE_COUNTS = (4, 5, 8, 12, 14)
_FISHEYE_COUNT = 4
# Share of a half of the image, from the centre to an edge, that an ideal image may lack.
_MILD_LOSS = 0.1
# Focal lengths of an ideal image to try, against that of the lens.
_SCALES = np.linspace(0.99, 0.7, 30)
# Steps of the search for the inverse of a lens's model; how near it has to come, and where it
# may end [px].
_INVERSE_STEPS, _GREATEST_ERROR, _SMALL_ERROR = 50, 1.0, 1e-4


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
    """Convert images to those of an ideal pinhole; caches its maps for the last camera."""

    def __init__(self) -> None:
        self._camera = b""
        self._maps: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._lens = b""
        self._ideal = np.eye(3)

    def show(self, image: Image, K: Array, distortion: Distortion) -> tuple[Image, Array]:
        """Return the ideal image, of the same size, and its own intrinsics.

        Args:
            image: [H, W, 3], uint8.
            K: Intrinsics [3, 3] of the lens, pixels.
            distortion: Of the lens.

        Returns:
            The image, black where the camera saw nothing, and K [3, 3] of `ideal_intrinsics`.
        """
        size = (image.shape[1], image.shape[0])
        lens = _key(K, distortion, size)
        if lens != self._lens:
            self._ideal, self._lens = ideal_intrinsics(K, distortion, size), lens
        return self.undistort(image, K, distortion, self._ideal), self._ideal

    def undistort(
        self, image: Image, K: Array, distortion: Distortion, K_ideal: Array | None = None
    ) -> Image:
        """Return the ideal image, of the same size, black where the camera saw nothing.

        What lies further from the axis than the ideal image can show, such as 58 degrees of a
        lens of 180, is cut off.

        Args:
            image: [H, W, 3], uint8.
            K: Intrinsics [3, 3] of the lens, pixels.
            distortion: Of the lens.
            K_ideal: Intrinsics [3, 3] of the ideal image, pixels; None: K.
        """
        size = (image.shape[1], image.shape[0])
        K_ideal = K if K_ideal is None else K_ideal
        camera = _key(K, distortion, size) + K_ideal.tobytes()
        if camera != self._camera or self._maps is None:
            make = (
                cv2.fisheye.initUndistortRectifyMap
                if distortion.is_fisheye
                else cv2.initUndistortRectifyMap
            )
            maps = make(K, distortion.coefficients, np.eye(3), K_ideal, size, cv2.CV_16SC2)
            self._camera, self._maps = camera, (maps[0], maps[1])
        whole, fraction = self._maps
        ideal = cv2.remap(np.ascontiguousarray(image), whole, fraction, cv2.INTER_LINEAR)
        return np.asarray(ideal, np.uint8)


def _key(K: Array, distortion: Distortion, size: tuple[int, int]) -> bytes:
    """Return a key that differs between cameras."""
    parts = (K.ravel(), distortion.coefficients, size, (distortion.is_fisheye,))
    return np.concatenate(parts).tobytes()


def ideal_intrinsics(K: Array, distortion: Distortion, size: tuple[int, int]) -> Array:
    """Return the intrinsics of an ideal image that shows all between the real one's edges.

    With the same K it would lack the outer columns of a wide barrel lens: a fifth of either half
    at 85 degrees. The focal length is shortened as far as they require, but by 30 % at most, since
    people shrink with it. It stays the same if no half loses more than 10 % of its width, and for
    fisheye lenses, whose edges no pinhole shows.

    Args:
        K: Intrinsics [3, 3] of the lens, pixels.
        distortion: Of the lens.
        size: (width, height) of the image, pixels.

    Returns:
        K [3, 3], pixels: the same, or one with the same centre and a shorter focal length.
    """
    # The centre of an image that was cut may lie outside.
    is_inside = ((K[:2, 2] > 0) & (K[:2, 2] < np.array(size) - 1)).all()
    if distortion.is_fisheye or not is_inside or _lost(K, K, distortion, size) <= _MILD_LOSS:
        return K
    chosen = K
    for scale in _SCALES:
        ideal = K.copy()
        ideal[:2, :2] *= scale
        if _turns_back(K, ideal, distortion, size):
            return chosen
        chosen = ideal
        if _lost(K, ideal, distortion, size) <= 0:
            return chosen
    return chosen


def _lost(K: Array, K_ideal: Array, distortion: Distortion, size: tuple[int, int]) -> float:
    """Return what the ideal image lacks before the middles of the real one's edges, in halves."""
    edges, centre = _border(K, size)[:4], K[:2, 2]
    shown = distort_pixels(edges, K_ideal, distortion, K)
    shares = np.linalg.norm(shown - centre, axis=1) / np.linalg.norm(edges - centre, axis=1)
    return 1 - float(shares.min())


def _turns_back(K: Array, K_ideal: Array, distortion: Distortion, size: tuple[int, int]) -> bool:
    """Return whether the lens's polynomial turns back in the image, which shows people twice."""
    rays = geometry.pixel_rays(_border(K, size), K_ideal)
    return bool((_shares_of_reach(rays, distortion) >= 1).any())


def _border(K: Array, size: tuple[int, int]) -> Array:
    """Return the points of an image's four edges beside the centre, then the corners: [8, 2]."""
    (u, v), right, bottom = K[:2, 2], size[0] - 1, size[1] - 1
    edges = [(0, v), (right, v), (u, 0), (u, bottom)]
    return np.array([*edges, (0, 0), (right, 0), (0, bottom), (right, bottom)], np.float64)


def distort_pixels(
    pixels: Array, K: Array, distortion: Distortion, K_lens: Array | None = None
) -> Array:
    """Move pixels of the ideal pinhole to where the real lens shows them.

    Beyond the radius up to which the lens's polynomial is valid, where it would lead back into the
    image, they continue outwards at the average rate up to there.

    Args:
        pixels: [..., 2], of the ideal pinhole K.
        K: Intrinsics [3, 3] of the ideal pinhole, pixels.
        distortion: Of the lens.
        K_lens: Intrinsics [3, 3] of the lens, pixels; None: K.

    Returns:
        [..., 2], pixels of the real image.
    """
    K_lens = K if K_lens is None else K_lens
    rays = geometry.pixel_rays(pixels, K)
    beyond = np.maximum(_shares_of_reach(rays, distortion), 1)[..., None]
    rays[..., :2] /= beyond
    if distortion.is_fisheye:
        flat = np.ascontiguousarray(rays[..., :2]).reshape(-1, 1, 2)
        found = cv2.fisheye.distortPoints(flat, K_lens, distortion.coefficients)
        real = np.asarray(found, np.float64).reshape(pixels.shape)
    else:
        real = geometry.project(rays, K_lens, distortion.coefficients)
    centre = K_lens[:2, 2]
    return np.where(beyond > 1, centre + beyond * (real - centre), real)


def _shares_of_reach(rays: Array, distortion: Distortion) -> Array:
    """Return how far rays [..., 3] with z = 1 are from the axis: [...], 1 at the lens's reach."""
    reach = lens_reach(distortion.coefficients, is_fisheye=distortion.is_fisheye)
    return np.linalg.norm(rays[..., :2], axis=-1) / reach


def undistort_pixels(
    pixels: Array, K: Array, distortion: Distortion, K_ideal: Array | None = None
) -> Array:
    """Move pixels of the real lens to where an ideal pinhole shows them.

    Args:
        pixels: [N, 2], of the real image.
        K: Intrinsics [3, 3] of the lens, pixels.
        distortion: Of the lens.
        K_ideal: Intrinsics [3, 3] of the ideal pinhole, pixels; None: K.

    Returns:
        [N, 2]; NaN where no pinhole shows them, or the lens's model has no inverse.
    """
    K_ideal = K if K_ideal is None else K_ideal
    pixels = np.asarray(pixels, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if distortion.is_fisheye:
            flat = np.ascontiguousarray(pixels).reshape(-1, 1, 2)
            found = cv2.fisheye.undistortPoints(
                flat, K, distortion.coefficients, R=np.eye(3), P=K_ideal
            )
            ideal = np.asarray(found, np.float64).reshape(-1, 2)
        else:
            # OpenCV's own search ends after five steps, too early for wide lenses.
            ideal = pixels.copy()
            for _ in range(_INVERSE_STEPS):
                error = pixels - distort_pixels(ideal, K, distortion)
                if not (np.abs(error) > _SMALL_ERROR).any():  # nor NaN: they stay
                    break
                ideal += error
            ideal = geometry.project(geometry.pixel_rays(ideal, K), K_ideal)
        # Not every search comes to an end.
        back = distort_pixels(ideal, K_ideal, distortion, K)
        is_found = np.linalg.norm(back - pixels, axis=-1) < _GREATEST_ERROR
        is_found &= _shares_of_reach(geometry.pixel_rays(ideal, K_ideal), distortion) <= 1
    return np.where(is_found[:, None], ideal, np.nan)
