"""The colours of people's clothes, which distinguish people who pass each other."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# At a hidden joint, the image shows somebody else's clothes.
_VISIBLE = 0.5
# With fewer sample points in the image, the colour is unknown.
_FEW = 6
# Light changes sooner than hue.
_LIGHTNESS_WEIGHT = 0.5


def colours_of_clothes(image: NDArray[np.uint8], keypoints: Array, scores: Array) -> Array:
    """Return the median colours of a person's torso and thighs.

    Args:
        image: [H, W, 3], RGB uint8.
        keypoints: [17, 2], pixels of the image.
        scores: [17], how surely each joint is visible, [0, 1].

    Returns:
        [2, 3], CIELAB (L in [0, 100]), the torso first; NaN where it is hidden or outside.

    Source:
        Our choice: the paper is about single images.
    """
    size = (image.shape[1], image.shape[0])
    colours = np.full((2, 3), np.nan)
    for row, (joints, weights) in enumerate((_TORSO, _THIGHS)):
        places = np.round(weights @ keypoints[joints])
        inside = ((places >= 0) & (places < size)).all(axis=1)  # nor NaN
        if scores[joints].min() < _VISIBLE or inside.sum() < _FEW:
            continue
        u, v = places[inside].astype(np.int64).T
        rgb = image[v, u][None].astype(np.float32) / np.float32(255)
        colours[row] = np.median(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0], axis=0)
    return colours


def difference_of_clothes(one: Array, other: Array) -> float:
    """Return how far apart two people's colours are, in CIELAB's unit.

    Args:
        one: [2, 3], as of `colours_of_clothes`.
        other: The same of another, or the same person.

    Returns:
        The mean over torso and thighs, as far as known of both; NaN if nothing is.
    """
    difference = (one - other) * (_LIGHTNESS_WEIGHT, 1.0, 1.0)
    distances = np.linalg.norm(difference, axis=1)
    known = np.isfinite(distances)
    return float(distances[known].mean()) if known.any() else np.nan


def _places(
    corners: tuple[str, str, str, str], across: Array, down: Array
) -> tuple[list[int], Array]:
    """Return four joints and the weights [N, 4] by which they give places between them.

    Args:
        corners: Left and right above, left and right below.
        across: Shares of the way from left to right.
        down: Shares of the way from above to below.
    """
    a, d = (grid.ravel() for grid in np.meshgrid(across, down))
    weights = np.stack(((1 - a) * (1 - d), a * (1 - d), (1 - a) * d, a * d), axis=1)
    return [H36M_17.joint_names.index(name) for name in corners], weights


# Away from the outline, beyond which the background is.
_TORSO = _places(
    ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    np.linspace(0.2, 0.8, 8),
    np.linspace(0.1, 0.9, 8),
)
_THIGHS = _places(
    ("left_hip", "right_hip", "left_knee", "right_knee"),
    np.array([0.0, 1.0]),
    np.linspace(0.1, 0.8, 16),
)
