"""Cameras, crops, pixel grids, alignment and root placement.

Frames: `image` and `crop` in pixels, the centre of the top-left pixel at (0, 0), points are
(u, v); `grid` in [-1, 1] from edge to edge; `camera` x right, y down, z forward, metres; `root`
the camera's axes with the origin at the pelvis. Arrays are float numpy arrays unless said.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

# Only for annotations: importing PyTorch would cost a camera's process 190 MB and a second.
if TYPE_CHECKING:
    import torch

Array = NDArray[np.floating]

KEPT_HEIGHT = 0.4  # where a region's circle point lies above a crop's centre, of its height
_GREATEST_REACH = 0.8  # of a crop's corners towards the camera's plane; 1 is on it
_FAR_OFF = 1.2  # tangent of the angle from the axis: no camera of 100 degrees sees so far

AnyArray = TypeVar("AnyArray", NDArray[Any], "torch.Tensor")


def invert_affine(affine: Array) -> Array:
    """Invert a 2D affine transform [2, 3], for example `image_from_crop` of `crop_from_image`."""
    return np.asarray(cv2.invertAffineTransform(np.asarray(affine, np.float64)), np.float64)


def transform_points(affine: Array, points: Array) -> Array:
    """Apply a 2D affine transform.

    Args:
        affine: [2, 3], maps source pixels to target pixels.
        points: [..., 2], source pixels.

    Returns:
        [..., 2], target pixels.
    """
    return points @ affine[:, :2].T + affine[:, 2]


def pixel_to_grid(points: AnyArray, width: int, height: int) -> AnyArray:
    """Convert pixels to the grid: 2 (u + 0.5) / W - 1, as `grid_sample` with align_corners=False.

    Args:
        points: [..., 2], pixels of a map of `width` x `height`; array or tensor.
        width: Columns of the map.
        height: Rows of the map.

    Returns:
        [..., 2], [-1, 1] inside the map.
    """
    return (points + 0.5) * (2.0 / _size_like(points, width, height)) - 1.0


def grid_to_pixel(grid: AnyArray, width: int, height: int) -> AnyArray:
    """Convert the grid to pixels: the inverse of `pixel_to_grid`."""
    return (grid + 1.0) * (_size_like(grid, width, height) / 2.0) - 0.5


def _size_like(points: AnyArray, width: int, height: int) -> AnyArray:
    """Return (width, height) as an array or tensor of the same kind as `points`."""
    if isinstance(points, np.ndarray):
        return np.asarray((width, height), points.dtype)
    import torch

    # Not new_tensor, whose copy from the host cannot be part of a CUDA graph.
    return torch.cat((points.new_full((1,), width), points.new_full((1,), height)))


def intrinsics_from_field_of_view(field_of_view: float, width: int, height: int) -> Array:
    """Build the intrinsics of a camera with square pixels and a centred axis.

    Args:
        field_of_view: Horizontal, radians, in (0, pi).
        width: Columns of the image.
        height: Rows of the image.

    Returns:
        K [3, 3], pixels.

    Raises:
        ValueError: If the field of view is out of range.
    """
    if not 0 < field_of_view < np.pi:
        raise ValueError(f"expected a field of view in (0, pi) rad, got {field_of_view}")
    focal_px = width / 2 / np.tan(field_of_view / 2)
    return np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])


def check_intrinsics(K: Array) -> Array:
    """Return K as float64 [3, 3].

    Args:
        K: Intrinsics [3, 3], pixels.

    Raises:
        ValueError: If K has another shape, is not finite, has no focal length (an uncalibrated
            driver sends zeros), or has a last row other than (0, 0, 1).
    """
    K = np.asarray(K, np.float64)
    if K.shape != (3, 3):
        raise ValueError(f"expected K of shape (3, 3), got {K.shape}")
    if not np.isfinite(K).all():
        raise ValueError(f"K is not finite; calibrate the camera (K = {K.ravel().tolist()})")
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise ValueError(f"K has no focal length (fx = {K[0, 0]}, fy = {K[1, 1]}); calibrate it")
    if not np.array_equal(K[2], (0.0, 0.0, 1.0)):
        raise ValueError(f"the last row of K must be (0, 0, 1), got {K[2].tolist()}")
    return K


def project(joints: Array, K: Array, distortion: Array | None = None) -> Array:
    """Project camera-frame points to pixels.

    Args:
        joints: [..., 3], camera frame, metres.
        K: Intrinsics [3, 3], pixels.
        distortion: plumb_bob coefficients (k1, k2, p1, p2, k3), or None for an ideal pinhole.

    Returns:
        [..., 2], pixels; NaN for points on or behind the camera's plane.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.where(joints[..., 2:] > 0, joints[..., :2] / joints[..., 2:], np.nan)
    if distortion is not None and np.any(distortion) and normalised.size:
        rays = np.concatenate((normalised, np.ones_like(normalised[..., :1])), axis=-1)
        coefficients, still = np.asarray(distortion, np.float64), np.zeros(3)
        pixels, _ = cv2.projectPoints(rays.reshape(-1, 1, 3), still, still, K, coefficients)
        return np.asarray(pixels, np.float64).reshape(normalised.shape)
    return normalised @ K[:2, :2].T + K[:2, 2]


def back_project(pixels: Array, depth: Array, K: Array) -> Array:
    """Lift undistorted pixels to the camera frame at known depths.

    Args:
        pixels: [..., 2], of the ideal pinhole K.
        depth: [...], z in metres.
        K: Intrinsics [3, 3], pixels.

    Returns:
        [..., 3], camera frame, metres.
    """
    homogeneous = np.concatenate((pixels, np.ones_like(pixels[..., :1])), axis=-1)
    return homogeneous @ np.linalg.inv(K).T * np.asarray(depth)[..., None]


def pixel_rays(pixels: Array, K: Array) -> Array:
    """Return the rays [..., 3] through undistorted pixels [..., 2]: camera axes, z = 1."""
    return back_project(pixels, np.ones(pixels.shape[:-1]), K)


def perspective_crop(
    crop_from_image: Array, crop_size: tuple[int, int], K: Array
) -> tuple[Array, Array]:
    """Turn an affine crop into what the crop's own camera would see, unstretched.

    The crop's camera is a pinhole at the position of the image's camera; its z axis goes through
    the centre of the crop, and its y axis runs along the crop's v. A person looks the same to it
    wherever the crop lies in the image. Its focal length leaves the circle point of a region
    where the affine crop has it, so that a region found in the crop gives the same crop again;
    with the scale kept at the centre instead, regions would grow from image to image.

    Args:
        crop_from_image: [2, 3], image pixels to crop pixels.
        crop_size: (width, height) of the crop in pixels.
        K: Intrinsics of the image [3, 3], pixels.

    Returns:
        The homography [3, 3] from (undistorted) image pixels to crop pixels, and the rotation
        `image_from_crop_rotation` [3, 3]: its columns are the axes of the crop's camera in the
        image camera's frame, so that `joints_camera = joints_crop @ rotation.T`. Where the crop
        extends beyond what the camera can see, as with near people whose hips are below the image,
        the homography is the affine crop. But if its centre is far off the axis, as only very wide
        cameras see it, the crop is narrowed to what is in front of the camera, because the affine
        crop would stretch people by a factor of two and more.

    Source:
        Our choice: the paper's crops are metric because they use the true depth, which a robot
        does not have.
    """
    width, height = crop_size
    centre = (np.asarray(crop_size, np.float64) - 1) / 2
    kept = np.stack((centre, centre - (0.0, KEPT_HEIGHT * height)))
    rays = pixel_rays(transform_points(invert_affine(crop_from_image), kept), K)
    z, above = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    y = (above @ z) * z - above
    y /= np.linalg.norm(y)
    R = np.stack((np.cross(y, z), y, z), axis=1)
    focal_px = KEPT_HEIGHT * height * (above @ z) / -(above @ y)
    # By how much the depth of rays in the image's camera may change from the centre to a corner.
    reach = (np.abs(R[2, 0]) * width + np.abs(R[2, 1]) * height) / 2
    if focal_px <= 0 or reach > _GREATEST_REACH * focal_px * R[2, 2]:
        if not _is_seen_far_off(rays[0, :2], K):
            return np.vstack((crop_from_image, (0.0, 0.0, 1.0))), R
        focal_px = reach / (_GREATEST_REACH * R[2, 2])
    K_crop = np.array([[focal_px, 0, centre[0]], [0, focal_px, centre[1]], [0, 0, 1]])
    return K_crop @ R.T @ np.linalg.inv(K), R


def _is_seen_far_off(slopes: Array, K: Array) -> bool:
    """Return whether a ray (x/z, y/z) [2] is far off the axis and in an image centred on that."""
    edges = K[:2, 2] / np.diag(K)[:2]
    return bool(np.abs(slopes).max() > _FAR_OFF and (np.abs(slopes) <= edges).all())


def transform_pixels(homography: Array, pixels: Array) -> Array:
    """Apply a homography [3, 3] to pixels [..., 2]."""
    homogeneous = pixels @ homography[:, :2].T + homography[:, 2]
    return homogeneous[..., :2] / homogeneous[..., 2:]


def place_root(joints: Array, keypoints: Array, scores: Array, K: Array) -> Array | None:
    """Find the position of the pelvis at which the joints project onto the keypoints.

    Weighted linear least squares on (u_j - cx) / fx (Z_j + Tz) = X_j + Tx and the same for v,
    each weighted by the keypoint's score.

    Args:
        joints: [J, 3], root-relative, the image camera's axes, metres.
        keypoints: [J, 2], pixels of the ideal pinhole K.
        scores: [J], [0, 1]; joints below 0.3 are left out if at least four others remain.
        K: Intrinsics [3, 3], pixels.

    Returns:
        The root [3] in the camera frame, metres; None if fewer than four joints are usable or the
        fit puts the person behind the camera.

    Source:
        Our choice: the paper predicts root-relative poses only.
    """
    usable = np.isfinite(joints).all(-1) & np.isfinite(keypoints).all(-1) & (scores > 0)
    confident = usable & (scores >= 0.3)
    used = confident if confident.sum() >= 4 else usable
    if used.sum() < 4:
        return None
    rays = pixel_rays(keypoints[used], K)[:, :2]  # x/z, y/z
    points, weights = joints[used].astype(np.float64), np.repeat(scores[used], 2)
    lhs = np.zeros((len(rays), 2, 3))
    lhs[:, 0, 0] = lhs[:, 1, 1] = 1.0
    lhs[:, :, 2] = -rays
    lhs = lhs.reshape(-1, 3)
    rhs = (rays * points[:, 2:] - points[:, :2]).reshape(-1)
    normal = lhs.T @ (lhs * weights[:, None])
    if np.linalg.cond(normal) > 1e8:
        return None
    root = np.linalg.solve(normal, lhs.T @ (weights * rhs))
    if (points[:, 2] + root[2]).min() <= 0:
        return None
    return root


def best_similarity(source: Array, target: Array) -> tuple[Array, Array, Array]:
    """Find the similarities that best map source points onto target points.

    target ~ scale * source @ R.T + t, least squares, never a reflection.

    Args:
        source: [..., J, 3].
        target: [..., J, 3].

    Returns:
        scale [...], R [..., 3, 3], t [..., 3]; scale 1 where all source points are one.

    Source:
        Umeyama, Least-squares estimation of transformation parameters (PAMI 1991).
    """
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    centred, target_centred = (
        source - source_mean[..., None, :],
        target - target_mean[..., None, :],
    )
    u, singular, vt = np.linalg.svd(target_centred.swapaxes(-1, -2) @ centred)
    signs = np.ones_like(singular)
    signs[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    R = (u * signs[..., None, :]) @ vt
    spread = (centred**2).sum((-1, -2))
    scale = np.ones_like(spread)
    np.divide((singular * signs).sum(-1), spread, out=scale, where=spread > 0)
    return scale, R, target_mean - scale[..., None] * np.einsum("...ij,...j->...i", R, source_mean)
