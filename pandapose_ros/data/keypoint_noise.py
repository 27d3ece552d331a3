"""Add a detector's errors to true keypoints."""

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# Typical deviation of each joint in pixels of a 256 px crop, before the scale of the sample; here
# and below after BlazePose's errors on rendered people. Pelvis, spine and thorax are computed
# from hips and shoulders, as those of BlazePose are.
_DEVIATIONS_PX = np.array(
    (0, 3.0, 3.6, 4.0, 3.0, 3.6, 4.0, 0, 0, 3.2, 4.0, 3.4, 4.2, 3.6, 3.4, 4.2, 3.6), np.float32
)
_SAMPLE_SPREAD = 0.35  # of the logarithm of a sample's scale
_OUTLIERS, _OUTLIER_FACTOR = 0.03, 4.0
_LOST, _LOST_PX, _LOST_END_PX = 0.09, 16.0, 12.0  # limbs that hide: the middle, the end more
_SHIFT_PX = 1.5  # of all keypoints together
_HIP_SPREAD, _SHOULDER_SPREAD = 0.2, 0.15  # relative, of their distance
# Shares of the trunk's length by which joints slide along it: always, and at random.
_SLIDES = {9: 0.0, 10: -0.08, 11: 0.05, 14: 0.05}
_ALONG_TRUNK = 0.03
_LIMBS = ((2, 3, 5, 6), (1, 2, 3, 4, 5, 6), (12, 13, 15, 16), (11, 12, 13, 14, 15, 16))
_HIDING = ((2, 3), (5, 6), (12, 13), (15, 16))
_MIRROR = np.array(H36M_17.mirror)


def add_detector_noise(
    keypoints: Array, config: SkeletonSampleConfig, rng: np.random.Generator
) -> Array:
    """Disturb keypoints as a detector does.

    Args:
        keypoints: [N, 17, 2], pixels of a 256 px crop.
        config: Scale of the noise, share of clean samples and of swapped limbs.
        rng: Source of chance.

    Returns:
        [N, 17, 2]: each sample has a scale of its own; hips and shoulders are off together, some
        joints and limbs are far off, some limbs have left and right mixed up.

    Source:
        Our choice: the kinds of error that BlazePose makes on rendered people, in their sizes.
    """
    count = len(keypoints)
    scale = config.noise * np.exp(rng.normal(0, _SAMPLE_SPREAD, (count, 1, 1)))
    noisy = rng.random((count, 1, 1)) >= config.clean
    scale = np.where(noisy, scale, 0.0).astype(np.float32)
    out = _widen(keypoints, scale, rng)
    far = np.where(rng.random((count, 17, 1)) < _OUTLIERS, _OUTLIER_FACTOR, 1.0)
    errors = rng.standard_normal((count, 17, 2), np.float32) * _DEVIATIONS_PX[:, None] * far
    shift = rng.standard_normal((count, 1, 2), np.float32) * _SHIFT_PX
    out = out + scale * (errors + shift)
    for middle, end in _HIDING:
        lost = scale * (rng.random((count, 1, 1)) < _LOST)
        error = rng.standard_normal((count, 2, 2), np.float32)
        out[:, [middle]] += lost * error[:, :1] * _LOST_PX
        out[:, [end]] += lost * (error[:, :1] * _LOST_PX + error[:, 1:] * _LOST_END_PX)
    for limb in _LIMBS:
        joints = np.array(limb)
        swap = noisy & (rng.random((count, 1, 1)) < config.swapped * (config.noise > 0))
        out[:, joints] = np.where(swap, out[:, _MIRROR[joints]], out[:, joints])
    return with_centres(out).astype(np.float32)


def with_centres(keypoints: Array) -> Array:
    """Return keypoints [..., 17, 2] with pelvis, spine and thorax midway between their sides."""
    out = keypoints.copy()
    out[..., 0, :] = (out[..., 1, :] + out[..., 4, :]) / 2
    out[..., 8, :] = (out[..., 11, :] + out[..., 14, :]) / 2
    out[..., 7, :] = (out[..., 0, :] + out[..., 8, :]) / 2
    return out


def _widen(keypoints: Array, scale: Array, rng: np.random.Generator) -> Array:
    """Move hips and shoulders apart or together, and along the trunk."""
    out = keypoints.astype(np.float32)
    trunk = keypoints[:, 8] - keypoints[:, 0]
    for (left, right), spread in (((4, 1), _HIP_SPREAD), ((11, 14), _SHOULDER_SPREAD)):
        middle = (keypoints[:, left] + keypoints[:, right]) / 2
        half = (keypoints[:, left] - keypoints[:, right]) / 2
        wider, along = rng.standard_normal((2, len(keypoints), 1), np.float32) * scale[None, :, 0]
        half = half * (1 + spread * wider.clip(-2, 2))
        middle = middle + trunk * (_ALONG_TRUNK * along)
        out[:, left], out[:, right] = middle + half, middle - half
    for joint, slide in _SLIDES.items():
        out[:, joint] += trunk * slide * (scale[:, 0] > 0)
    return out
