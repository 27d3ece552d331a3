"""Boxes in images of lenses with distortion, to an ideal pinhole's images and back."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.camera.lens import Distortion, distort_pixels, undistort_pixels

Array = NDArray[np.floating]


def distort_box(
    box_xyxy: Array,
    K: Array,
    distortion: Distortion,
    image_size: tuple[int, int],
    K_lens: Array | None = None,
) -> Array:
    """Return the box round a distorted box, clipped to the image.

    Args:
        box_xyxy: [4], pixels of the ideal pinhole K.
        K: Intrinsics [3, 3] of the ideal pinhole, pixels.
        distortion: Of the lens.
        image_size: (width, height), pixels.
        K_lens: Intrinsics [3, 3] of the lens, pixels; None: K.
    """
    real = distort_pixels(_grid(*box_xyxy), K, distortion, K_lens)
    limit = np.asarray(image_size) - 1
    return np.concatenate((np.clip(real.min(0), 0, limit), np.clip(real.max(0), 0, limit)))


def undistort_boxes(
    boxes: Array,
    K: Array,
    distortion: Distortion,
    image_size: tuple[int, int],
    K_ideal: Array | None = None,
) -> Array:
    """Return the boxes round boxes as an ideal pinhole shows them, clipped to its image.

    Args:
        boxes: [P, 4], xyxy, pixels of the real image.
        K: Intrinsics [3, 3] of the lens, pixels.
        distortion: Of the lens.
        image_size: (width, height) of the ideal image, pixels.
        K_ideal: Intrinsics [3, 3] of the ideal pinhole, pixels; None: K.

    Returns:
        [N, 4], in their order, without those of which the ideal image shows less than a pixel.
    """
    if not len(boxes):
        return boxes
    limit = np.asarray(image_size) - 0.5
    grids = np.stack([_grid(*box) for box in boxes])
    # All at once: the search takes little longer for many pixels than for one.
    pixels = undistort_pixels(grids.reshape(-1, 2), K, distortion, K_ideal)
    ideal_boxes = []
    for points in pixels.reshape(grids.shape):
        ideal = points[np.isfinite(points).all(axis=-1)].clip(-0.5, limit)
        if len(ideal) and (np.ptp(ideal, axis=0) >= 1).all():
            ideal_boxes.append(np.concatenate((ideal.min(axis=0), ideal.max(axis=0))))
    return np.reshape(ideal_boxes, (-1, 4))


def _grid(left: float, top: float, right: float, bottom: float) -> Array:
    """Return 25 points [25, 2] of a box, as lenses bend the edges between its corners."""
    columns, rows = np.meshgrid(np.linspace(left, right, 5), np.linspace(top, bottom, 5))
    return np.stack((columns, rows), axis=-1).reshape(-1, 2)
