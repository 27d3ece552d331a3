"""Skeleton-only samples: captured poses, mixed, on random bodies, before random cameras.

All happens in the crop's camera, whose axis goes through the middle of the person's region, as
`geometry.perspective_crop` has it: where the person stands in the image makes no difference.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import PoseConfig, SkeletonSampleConfig
from pandapose_ros.data.body_circle import body_circle
from pandapose_ros.data.body_joints import put_together, random_bodies
from pandapose_ros.data.keypoint_noise import add_detector_noise, with_centres
from pandapose_ros.data.motion import PoseParts
from pandapose_ros.data.pose_sampler import PoseSampler
from pandapose_ros.data.rotations import rotations_about, turns
from pandapose_ros.geometry import KEPT_HEIGHT
from pandapose_ros.model.blazepose import CROP_SIZE
from pandapose_ros.people.region import REGION_MARGIN

Array = NDArray[np.floating]

_WITH_HANDS = 0.5  # share of circles that hold the hands
_LEAST_DEPTH = 0.4  # of any joint, metres


@dataclass(frozen=True)
class SkeletonSamples:
    """Hold N samples.

    Attributes:
        keypoints: [N, 17, 2], as detected, crop pixels.
        clean_keypoints: [N, 17, 2], without noise.
        joints: [N, 17, 3], metres, root-relative, crop-camera axes.
        roots: [N, 3], the pelvis in the crop's camera, metres.
        focals_px: [N], of the crop's camera.
    """

    keypoints: Array
    clean_keypoints: Array
    joints: Array
    roots: Array
    focals_px: Array


class SkeletonSampler:
    """Draw samples from a bank of captured poses.

    Args:
        bank: Captured poses.
        config: Bodies, cameras, regions, noise.
        mixed: Draw new poses; else the bank's own poses are taken.
    """

    def __init__(
        self, bank: PoseParts, config: SkeletonSampleConfig, *, mixed: bool = True
    ) -> None:
        self.bank = bank
        self.config = config
        self.mixed = mixed
        self._poses = PoseSampler(bank, PoseConfig())

    def sample(self, count: int, rng: np.random.Generator) -> SkeletonSamples:
        """Draw `count` samples; the same `rng` state gives the same samples."""
        if self.mixed:
            parts = self._poses.sample(count, rng)[0]
        else:
            parts = self.bank.take(rng.integers(len(self.bank), size=count))
        joints = put_together(parts, random_bodies(count, self.config, rng))
        joints = place_before_camera(joints, self.config, rng)
        axes, focals = crop_cameras(joints, self.config, rng)
        joints = np.einsum("nji,nkj->nki", axes, joints)  # crop-camera axes
        clean = joints[..., :2] / joints[..., 2:] * focals[:, None, None] + (CROP_SIZE - 1) / 2
        clean = with_centres(clean.astype(np.float32))
        roots = joints[:, 0]
        return SkeletonSamples(
            keypoints=add_detector_noise(clean, self.config, rng),
            clean_keypoints=clean,
            joints=(joints - roots[:, None]).astype(np.float32),
            roots=roots,
            focals_px=focals,
        )


def place_before_camera(
    joints: Array, config: SkeletonSampleConfig, rng: np.random.Generator
) -> Array:
    """Put people before cameras that look straight at their pelvis.

    Args:
        joints: [N, 17, 3], metres, y up, the pelvis at the origin.
        config: Distances, elevations.
        rng: Source of chance.

    Returns:
        [N, 17, 3], camera frame, metres, every joint before the camera.
    """
    count = len(joints)
    tilt = rotations_about(rng.normal(0, (0.05, 0.0, 0.05), (count, 3)))
    yaw = turns(1, rng.uniform(0, 2 * np.pi, count))
    # pi turns y up into y down; the rest lets the camera look down.
    elevation = _middling(*config.elevation, count, rng)
    pitch = turns(0, np.pi + elevation)
    joints = np.einsum("nij,nkj->nki", pitch @ tilt @ yaw, joints)
    low, high = np.log(config.distance)
    distance = np.exp(rng.uniform(low, high, count))
    distance = np.maximum(distance, _LEAST_DEPTH - joints[..., 2].min(axis=1))
    joints[..., 2] += distance[:, None].astype(np.float32)
    return joints


def crop_cameras(
    joints: Array, config: SkeletonSampleConfig, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw regions as people are tracked by, and return their crops' cameras.

    Args:
        joints: [N, 17, 3], camera frame, metres, the pelvis on the camera's axis.
        config: Jitter of the regions.
        rng: Source of chance.

    Returns:
        Axes [N, 3, 3], columns in the camera's frame, and focal lengths [N] in crop pixels.

    Source:
        Our choice, after the regions of BlazePose: centred on the hips, up towards the
        shoulders, 1.25 times the circle that holds the body.
    """
    count = len(joints)
    points = joints[..., :2] / joints[..., 2:]
    radius, angle = body_circle(points, rng.random(count) < _WITH_HANDS)
    jitter = config.region_size_jitter
    side = 2 * REGION_MARGIN * radius * rng.uniform(1 - jitter, 1 + jitter, count)
    jitter = config.region_centre_jitter
    centre = rng.uniform(-jitter, jitter, (count, 2)) * side[:, None]
    jitter = config.region_angle_jitter
    return _look_at(centre, side, angle + rng.uniform(-jitter, jitter, count))


def _look_at(centre: Array, side: Array, angle: Array) -> tuple[Array, Array]:
    """Do what `geometry.perspective_crop` does, for N regions and K = 1."""
    upwards = np.stack((np.sin(angle), -np.cos(angle)), axis=1) * side[:, None]
    rays = np.stack((centre, centre + KEPT_HEIGHT * upwards), axis=1)
    rays = np.concatenate((rays, np.ones((len(side), 2, 1))), axis=2)
    rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    z, above = rays[:, 0], rays[:, 1]
    along = (above * z).sum(axis=1)
    y = along[:, None] * z - above
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    axes = np.stack((np.cross(y, z), y, z), axis=2)
    return axes.astype(np.float32), KEPT_HEIGHT * CROP_SIZE * along / -(above * y).sum(axis=1)


def _middling(low: float, high: float, count: int, rng: np.random.Generator) -> Array:
    """Draw numbers from low to high, half of them near the middle."""
    wide = rng.uniform(low, high, count)
    near = rng.normal((low + high) / 2, (high - low) / 10, count).clip(low, high)
    return np.where(rng.random(count) < 0.5, near, wide)
