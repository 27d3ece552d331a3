"""Cameras that look at posed people."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.synthetic.rotations import about, frame, rotate, swing

_DISTANCE = (1.2, 8.0)  # metres from the middle of the person
_LOOK_DOWN, _LOOK_UP = 0.22, 0.08  # shares of cameras
_DOWN, _UP = (0.26, 0.87), (0.0, 0.44)  # radians by which these do
_STEEPEST = 0.6  # sine of the pitch of the others
_HEIGHT = (0.25, 2.2)  # metres above the floor


@dataclass(frozen=True)
class Camera:
    """Hold B cameras.

    Attributes:
        K: [B, 3, 3], pixels.
        camera_from_world: [B, 3, 3] rotation; rows are the camera's axes in the world.
        position: [B, 3] metres, world (z up).
        size: (width, height) in pixels.
    """

    K: Tensor
    camera_from_world: Tensor
    position: Tensor
    size: tuple[int, int]

    def points(self, world: Tensor, image: Tensor) -> Tensor:
        """Move points [V, 3] of the given images [V] to their camera frames."""
        return rotate(self.camera_from_world[image], world - self.position[image])

    def select(self, chosen: Tensor) -> "Camera":
        """Keep the chosen cameras, a mask or indices."""
        return Camera(
            self.K[chosen], self.camera_from_world[chosen], self.position[chosen], self.size
        )

    def rays(self) -> Tensor:
        """Return the world direction [B, H, W, 3] of every pixel, not of length 1."""
        width, height = self.size
        device = self.K.device
        v, u = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        pixels = torch.stack((u, v, torch.ones_like(u)), dim=-1).float()
        to_world = self.camera_from_world.mT @ torch.linalg.inv(self.K)
        return torch.einsum("bij,hwj->bhwi", to_world, pixels)


def look_at(position: Tensor, target: Tensor, roll: Tensor) -> Tensor:
    """Return camera_from_world [B, 3, 3] of cameras that look from positions to targets [B, 3].

    Args:
        position: [B, 3], world, z up.
        target: [B, 3], not straight above or below.
        roll: [B], radians, of the camera about its axis.
    """
    down = position.new_tensor([0.0, 0.0, -1.0]).expand_as(position)
    forward, _, lower = frame(target - position, down).unbind(-1)
    right = torch.linalg.cross(lower, forward)
    level = torch.stack((right, lower, forward), dim=1)
    z = position.new_tensor([0.0, 0.0, 1.0]).expand_as(position)
    return about(z, roll) @ level


def random_cameras(
    vertices: Tensor, person: Tensor, count: int, size: tuple[int, int], rng: np.random.Generator
) -> Camera:
    """Aim one camera at each person, from any side, 1.2 to 8 m away.

    Most cameras are held or driven, 0.25 to 2.2 m above the floor; some look down by 15 to 50
    degrees, a few up. The person fills 45 to 95 % of the image, every fifth less, where a lens
    between 15 and 100 degrees of view can; one person in ten is larger and cut by the border.

    Args:
        vertices: [V, 3], world, z up, the floor at z = 0.
        person: [V], the person a vertex belongs to.
        count: B.
        size: (width, height) of the images in pixels.
        rng: Drives every choice.
    """

    def drawn(low: float, high: float) -> Tensor:
        return torch.as_tensor(rng.uniform(low, high, count), dtype=torch.float32).to(device)

    device = vertices.device
    low, high = _bounds(vertices, person, count)
    centre, shorter = (low + high) / 2, min(size)
    yaw, distance = drawn(0.0, 6.2832), drawn(*np.log(_DISTANCE)).exp()
    pitch = _pitches(centre[:, 2], distance, rng)
    forward = torch.stack((pitch.cos() * yaw.cos(), pitch.cos() * yaw.sin(), pitch.sin()), dim=-1)
    position = centre - distance[:, None] * forward
    rotation = look_at(position, centre, drawn(-0.1, 0.1))
    seen = rotate(rotation[person], vertices - position[person])
    low, high = _bounds(seen[:, :2] / seen[:, 2:].clamp_min(0.3), person, count)
    extent, middle = (high - low).amax(-1), (low + high) / 2
    cut = drawn(0.0, 1.0) < 0.1
    share = torch.where(drawn(0.0, 1.0) < 0.2, drawn(0.3, 0.45), drawn(0.45, 0.95))
    share = torch.where(cut, drawn(0.9, 1.35), share)
    focal = share * shorter / extent
    focal = focal.clamp(shorter / 2 / np.tan(0.87), shorter / 2 / np.tan(0.13))
    K = torch.zeros(count, 3, 3, device=device)
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = (size[0] - 1) / 2, (size[1] - 1) / 2, 1.0
    # Turn the camera so that the person's middle falls elsewhere in the image.
    slack = torch.where(cut, 0.2 * shorter, (shorter - extent * focal).clamp_min(0) / 2)
    offset = torch.stack((drawn(-1.0, 1.0), drawn(-1.0, 1.0)), dim=-1)
    offset = offset * (slack / focal)[:, None]
    ones = torch.ones_like(focal)[:, None]
    turn = swing(torch.cat((middle, ones), dim=1), torch.cat((offset, ones), dim=1))
    return Camera(K, turn @ rotation, position, size)


def _pitches(height: Tensor, distance: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw how far cameras look up [B], radians, at people whose middle is `height` [B] high."""
    low, high = np.array((_HEIGHT, _DOWN, _UP)).T
    drawn = rng.uniform(low, high, (len(height), 3))
    camera_height, down, up = torch.as_tensor(drawn, dtype=torch.float32).to(height.device).T
    kind = torch.as_tensor(rng.random(len(height))).to(height.device)
    pitch = torch.asin(((height - camera_height) / distance).clamp(-_STEEPEST, _STEEPEST))
    pitch = torch.where(kind < _LOOK_DOWN, -down, pitch)
    return torch.where(kind > 1 - _LOOK_UP, up, pitch)


def _bounds(points: Tensor, person: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the least and greatest coordinates [B, C] of each person's points [V, C]."""
    index = person[:, None].expand_as(points)
    low = points.new_full((count, points.shape[1]), torch.inf)
    return (
        low.scatter_reduce(0, index, points, "amin"),
        (-low).scatter_reduce(0, index, points, "amax"),
    )
