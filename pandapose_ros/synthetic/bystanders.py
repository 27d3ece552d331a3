"""People who happen to be in other people's images, near them, before or behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.config import PoseConfig
from pandapose_ros.synthetic.body import Body
from pandapose_ros.synthetic.camera import Camera
from pandapose_ros.synthetic.poses import MotionPool, sample_targets
from pandapose_ros.synthetic.rig import Crowd, Posed

# Where they are from the person that an image is of: to either side, and before or behind as the
# camera sees it [m].
_ACROSS, _ALONG = (0.0, 1.1), (0.3, 1.2)
_NEAREST = 0.6  # joints to the camera [m]; who would be nearer is behind, as heads are hollow


@dataclass(frozen=True)
class Bystanders:
    """Hold N people who are in others' images.

    Attributes:
        bodies: N.
        targets: [N, 17, 3], metres, z up.
        image: [N] index of the image that each is in.
    """

    bodies: list[Body]
    targets: Tensor
    image: Tensor


def random_bystanders(
    count: int,
    share: float,
    bodies: Sequence[Body],
    motion: MotionPool,
    rng: np.random.Generator,
    poses: PoseConfig | None = None,
) -> Bystanders | None:
    """Draw one bystander for some of the images.

    Args:
        count: Images.
        share: Of them that get one, [0, 1]; 0 draws nothing, not even from `rng`.
        bodies: To choose from.
        motion: To pose them by.
        rng: Drives every choice.
        poses: Shares of the families of poses.

    Returns:
        None if there is nobody.
    """
    image = np.flatnonzero(rng.random(count) < share) if share > 0 else np.zeros(0, int)
    if len(image) == 0:
        return None
    targets, _, _ = sample_targets(motion, len(image), rng, poses)
    chosen = [bodies[index] for index in rng.integers(len(bodies), size=len(image))]
    return Bystanders(chosen, targets, torch.from_numpy(image))


def step_aside(
    posed: Posed, crowd: Crowd, image: Tensor, camera: Camera, rng: np.random.Generator
) -> Posed:
    """Move the bystanders away from the people that the images are of.

    Args:
        posed: B people that images are of, then the bystanders, all in one place.
        crowd: Their meshes.
        image: Of each of them.
        camera: Of the B images.
        rng: Drives every choice.
    """
    count = len(camera.K)
    others = len(image) - count
    if others == 0:
        return posed
    device = posed.vertices.device
    distances = [rng.uniform(*span, others) for span in (_ACROSS, _ALONG)]
    distances *= rng.choice((-1.0, 1.0), (2, others))
    across, along = torch.as_tensor(distances, dtype=torch.float32).to(device)[..., None]
    axes = camera.camera_from_world[image[count:]]  # rows: right, down, forward
    aside = _level(axes[:, 0]) * across
    moved = posed.joints[count:] + (aside + _level(axes[:, 2]) * along)[:, None]
    of_joints = image[count:].repeat_interleave(moved.shape[1])
    depth = camera.points(moved.flatten(0, 1), of_joints)[:, 2].unflatten(0, moved.shape[:2])
    along = torch.where(depth.amin(dim=1, keepdim=True) < _NEAREST, along.abs(), along)
    shift = torch.zeros(len(image), 3, device=device)
    shift[count:] = aside + _level(axes[:, 2]) * along
    return Posed(posed.vertices + shift[crowd.person], posed.joints + shift[:, None])


def _level(direction: Tensor) -> Tensor:
    """Return directions [N, 3] laid on the floor, of length 1."""
    flat = direction * direction.new_tensor((1.0, 1.0, 0.0))
    return flat / flat.norm(dim=-1, keepdim=True).clamp_min(1e-6)
