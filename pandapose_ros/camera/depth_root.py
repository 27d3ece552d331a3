"""Position of the pelvis from a depth image: the surface of the torso, and its thickness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.camera.lens import Distortion, distort_pixels
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

_HIPS = [H36M_17.joint_names.index(f"{side}_hip") for side in ("left", "right")]
_SHOULDERS = [H36M_17.joint_names.index(f"{side}_shoulder") for side in ("left", "right")]
# Samples across and along the torso, away from its edges, where depth images mix near and far.
_ACROSS, _ALONG = np.linspace(0.2, 0.8, 11), np.linspace(0.1, 0.85, 21)
# Score of a hip or shoulder that the depth image can show: those that something in front hides are
# guessed, with up to 0.68 on the demo's clip.
_SEEN = 0.7
_LEAST_SHARE = 0.3  # of the samples that have to have a depth and to agree
# How far the depth of the pelvis may be from that by the body's size, whose standard deviation is
# about a tenth, as a share of it. More is somebody else, something in front, or the wall.
_NEAR = 0.3
_SMALLEST, _WHOLE_SHARE = 0.4, 0.8  # likewise of a child, and the samples that have to agree on it
_HALF_BREADTH, _HALF_THICKNESS = 0.17, 0.11  # of a torso with clothes, m
# m: folds and breasts are no outliers; what stands before or behind is, though it be the half.
_LEAST_SPREAD, _GREATEST_SPREAD = 0.03, 0.1
# Standard deviations, m: of the pelvis against the other joints, of the torso's shape.
_POSE_ERROR, _SHAPE_ERROR = 0.035, 0.035
_SENSOR_ERROR = 0.002  # m at 1 m, grows with the square of the distance


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Hold depths seen from the same place as the image, registered to it.

    Attributes:
        depth: [H, W], z along the camera's axis, metres; 0, negative or not finite where unknown.
            Of the image's size or a fraction of it.
        image_size: (width, height) of the image, pixels.
    """

    depth: Array
    image_size: tuple[int, int]

    def at(self, pixels: Array) -> Array:
        """Look depths up.

        Args:
            pixels: [..., 2], of the image as the lens shows it.

        Returns:
            [...], metres; NaN where unknown or outside.
        """
        height, width = self.depth.shape
        scale = np.array([width, height]) / self.image_size
        inside = np.asarray(np.isfinite(pixels).all(-1))
        places = np.where(inside[..., None], pixels, -1.0)
        columns, rows = np.moveaxis(np.rint((places + 0.5) * scale - 0.5), -1, 0)
        inside &= (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        found = self.depth[
            np.where(inside, rows, 0).astype(int), np.where(inside, columns, 0).astype(int)
        ].astype(np.float64)
        return np.where(inside & np.isfinite(found) & (found > 0), found, np.nan)


def check_depth(depth: Array, image_size: tuple[int, int]) -> DepthImage:
    """Return depths with the size of the image they belong to.

    Args:
        depth: [H, W], metres.
        image_size: (width, height) of the image, pixels.

    Raises:
        ValueError: If they have another shape than the image, and thus are not registered to it,
            or are whole numbers, and thus not metres.
    """
    depth = np.asarray(depth)
    if not np.issubdtype(depth.dtype, np.floating):
        raise ValueError(
            f"expected metres as floats, got depths of {depth.dtype}: if they are millimetres, "
            "give depth / 1000"
        )
    if depth.ndim != 2 or 0 in depth.shape:
        raise ValueError(f"expected depths of shape [H, W], got {list(depth.shape)}")
    height, width = depth.shape
    if abs(width * image_size[1] - height * image_size[0]) > 0.01 * width * image_size[1]:
        raise ValueError(
            f"depth image of {width}x{height} is not registered to the image of {image_size[0]}x"
            f"{image_size[1]}: take the depth that is aligned to the colours"
        )
    return DepthImage(depth, image_size)


def root_from_depth(
    joints: Array,
    keypoints: Array,
    scores: Array,
    K: Array,
    image: DepthImage,
    distortion: Distortion | None = None,
    K_lens: Array | None = None,
) -> tuple[Array, Array] | tuple[None, None]:
    """Find where the pelvis stands from the depth of the torso's surface.

    Where hips and shoulders are seen, each sample between them tells the pelvis's depth: less the
    depth of the torso's middle there relative to the pelvis, more the way from the surface to the
    middle, for which the torso is an ellipse. `_torso_depth` chooses among them. Then the joints
    have to project onto the keypoints, as in `geometry.place_root`.

    Args:
        joints: [J, 3], root-relative, the image camera's axes, metres.
        keypoints: [J, 2], pixels of the ideal pinhole K.
        scores: [J], [0, 1].
        K: Intrinsics [3, 3], pixels.
        image: Depths, of the same moment.
        distortion: Of the lens, if any: the depths are where the lens shows them.
        K_lens: Intrinsics [3, 3] of the lens, pixels; None: K.

    Returns:
        The root [3] in the camera frame, metres, and its covariance [3, 3], m^2. Both None if too
        few samples agree, or they disagree with the size of the body.

    Source:
        Our choice. The torso's measures are those at which the error on rendered people is least.
    """
    fit = geometry.place_root(joints, keypoints, scores, K)
    rows = _seen_rows(scores)
    if fit is None or not rows.any():
        return None, None
    pixels = _on_torso(keypoints, rows)
    if not np.isfinite(pixels).all():
        return None, None
    seen = pixels if distortion is None else distort_pixels(pixels, K, distortion, K_lens)
    depths = image.at(seen) - _on_torso(joints, rows)[:, 2] + _surface_to_middle(joints, pixels, K)
    z, variance = _torso_depth(depths, float(fit[2]), is_whole=bool(rows.all()))
    if z is None:
        return None, None
    return _slide(joints, keypoints, scores, K, z, variance)


def _seen_rows(scores: Array) -> NDArray[np.bool_]:
    """Return which of the rows of samples from hips to shoulders are likely to be seen."""
    # One of a pair is enough: from the side the body itself hides the other.
    hips, shoulders = (scores[pair].max() >= _SEEN for pair in (_HIPS, _SHOULDERS))
    return (hips & (_ALONG <= 0.5)) | (shoulders & (_ALONG >= 0.5))


def _on_torso(corners: Array, rows: NDArray[np.bool_]) -> Array:
    """Interpolate between hips and shoulders: [J, C] to [N, C]."""
    hips, shoulders = corners[_HIPS], corners[_SHOULDERS]
    across = _ACROSS[:, None]
    low = hips[0] + across * (hips[1] - hips[0])
    high = shoulders[0] + across * (shoulders[1] - shoulders[0])
    along = _ALONG[rows, None, None]
    return (low + along * (high - low)).reshape(-1, corners.shape[-1])


def _surface_to_middle(joints: Array, pixels: Array, K: Array) -> Array:
    """Return how much deeper the torso's middle is than its surface, along z, for each pixel."""
    hips, shoulders = joints[_HIPS], joints[_SHOULDERS]
    across = (hips[1] - hips[0]) + (shoulders[1] - shoulders[0])
    up = shoulders.mean(0) - hips.mean(0)
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    across = across - (across @ up) * up
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    rays = geometry.pixel_rays(pixels, K)
    sideways, level = rays @ across, rays @ np.cross(across, up)
    # The ray meets an elliptic cylinder round the spine; along the spine there is no end to it.
    reach = 1 / np.sqrt((sideways / _HALF_BREADTH) ** 2 + (level / _HALF_THICKNESS) ** 2 + 1e-9)
    return np.minimum(reach, 2 * _HALF_BREADTH)


def _torso_depth(depths: Array, fitted: float, *, is_whole: bool) -> tuple[float | None, float]:
    """Choose the pelvis's depth among those that the samples tell.

    What is far from where the body's size puts the pelvis is somebody else, something in front, or
    the wall. Of the others the median counts, without outliers (an arm). The fewer agree with it,
    the more adds to the variance of the square of how far it is from that by the body's size: all
    of it if no more than a half agrees.

    A child is smaller than it is taken for, and nearer by so much: where nearly all of a torso
    that is seen as a whole agrees on it, that counts, with both places within two sigmas.

    Args:
        depths: [N], metres; NaN where unknown.
        fitted: By the body's size, metres.
        is_whole: Whether hips and shoulders are seen.

    Returns:
        z in metres, None if the samples do not tell, and what adds to its variance, m^2.
    """
    known = depths[np.isfinite(depths)]
    z, count = _middle(known[np.abs(known - fitted) < _NEAR * fitted])
    if count and count >= _LEAST_SHARE * len(depths):
        others = 1 - count / len(depths)
        return z, min(2 * others, 1.0) * (z - fitted) ** 2
    z, count = _middle(known)
    if is_whole and count >= _WHOLE_SHARE * len(depths) and _SMALLEST * fitted < z < fitted:
        return z, ((z - fitted) / 2) ** 2
    return None, 0.0


def _middle(known: Array) -> tuple[float, int]:
    """Return the median without outliers, and how many agree with it."""
    if not len(known):
        return np.nan, 0
    # One of them: between two halves that are apart there is nobody.
    distances = np.abs(known - np.sort(known)[len(known) // 2])
    spread = np.clip(1.48 * float(np.median(distances)), _LEAST_SPREAD, _GREATEST_SPREAD)
    agreeing = known[distances <= 3 * spread]
    return float(np.median(agreeing)), len(agreeing)


def _slide(
    joints: Array, keypoints: Array, scores: Array, K: Array, z: float, variance: float
) -> tuple[Array, Array]:
    """Move a pelvis of known depth so that the joints project onto the keypoints."""
    usable = np.isfinite(joints).all(-1) & np.isfinite(keypoints).all(-1) & (scores > 0)
    rays = geometry.pixel_rays(keypoints[usable], K)
    points, weights = joints[usable], scores[usable, None]
    places = rays * (points[:, 2:] + z) - points
    root = (weights * places).sum(0) / weights.sum()
    along_ray = _SHAPE_ERROR**2 + (_SENSOR_ERROR * z**2) ** 2 + variance
    ray = root / z
    return root, _POSE_ERROR**2 * np.eye(3) + along_ray * np.outer(ray, ray)
