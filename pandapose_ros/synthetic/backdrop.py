"""Procedural backgrounds: rooms seen through the camera, clutter, and things in front."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pandapose_ros.synthetic.camera import Camera
from pandapose_ros.synthetic.prints import Prints

_CLUTTER_SCALE = 4  # clutter is drawn this much smaller: far things are out of focus
_CLUTTER_SHAPES = 24
_PRINTED_SHARE = 0.5  # of the things in front, where there are pictures
_COVERED = 0.35  # share of the images in which clutter hides the whole room


@dataclass(frozen=True)
class Room:
    """Hold B box-shaped rooms round the world's origin, floor at z = 0.

    Attributes:
        half_size: [B, 2] metres from the middle to the walls in x and y.
        ceiling: [B] metres.
        floor: [B, 2, 3] two colours of the tiles.
        wall: [B, 2, 3] colour of the walls across x and y.
        tile: [B] metres.
        stripes: [B] strength of the walls' vertical stripes, 0 to 1.
    """

    half_size: Tensor
    ceiling: Tensor
    floor: Tensor
    wall: Tensor
    tile: Tensor
    stripes: Tensor


def random_rooms(camera: Camera, rng: np.random.Generator) -> Room:
    """Draw a room round each camera and the world's origin, where the person is."""
    count = len(camera.K)

    def drawn(low: float, high: float, shape: tuple[int, ...]) -> Tensor:
        return torch.as_tensor(rng.uniform(low, high, shape), dtype=torch.float32).to(
            camera.K.device
        )

    floor = drawn(0.15, 0.8, (count, 1, 1)) + drawn(-0.15, 0.15, (count, 2, 3))
    return Room(
        half_size=camera.position[:, :2].abs() + drawn(0.8, 4.0, (count, 2)),
        ceiling=camera.position[:, 2].clamp_min(2.2) + drawn(0.3, 2.0, (count,)),
        floor=floor.clamp(0.02, 1.0),
        wall=(drawn(0.25, 0.95, (count, 1, 1)) + drawn(-0.12, 0.12, (count, 2, 3))).clamp(0.02, 1),
        tile=drawn(0.15, 1.0, (count,)),
        stripes=drawn(-0.5, 0.5, (count,)).clamp_min(0),
    )


def draw_rooms(room: Room, camera: Camera, feet: Tensor) -> Tensor:
    """Draw the rooms.

    Args:
        room: B rooms.
        camera: B cameras inside them; one below the floor sees the floor from below.
        feet: [B, S, 2], world metres: spots on the floor that a person shades.

    Returns:
        [B, H, W, 3], linear RGB.
    """
    ray = camera.rays()
    eye = camera.position[:, None, None]
    limit = torch.cat((room.half_size, room.ceiling[:, None]), dim=1)[:, None, None]
    bound = torch.where(ray > 0, limit, -limit)
    bound[..., 2] = torch.where(ray[..., 2] > 0, limit[..., 2], 0.0)
    reach = (bound - eye) / torch.where(ray.abs() < 1e-6, 1e-6, ray)
    distance, surface = reach.clamp_min(0).min(dim=-1)
    hit = eye + distance[..., None] * ray
    wall = _walls(room, hit, surface)
    floor = _floors(room, hit, feet)
    is_floor = ((surface == 2) & (ray[..., 2] < 0))[..., None]
    is_ceiling = ((surface == 2) & (ray[..., 2] >= 0))[..., None]
    colour = torch.where(
        is_floor, floor, torch.where(is_ceiling, torch.full_like(wall, 0.8), wall)
    )
    # Light falls off towards the corners.
    return colour * (1.0 / (1.0 + 0.02 * (hit * hit).sum(-1, keepdim=True)))


def _walls(room: Room, hit: Tensor, surface: Tensor) -> Tensor:
    """Colour wall points: faint stripes, a skirting board, darker near the floor."""
    across = torch.where(surface == 0, hit[..., 1], hit[..., 0])
    two = room.wall[:, None, None]
    base = torch.where((surface == 0)[..., None], two[..., 0, :], two[..., 1, :])
    wave = ((across * 18).sin() * 3).clamp(-1, 1) * 0.12 * room.stripes[:, None, None]
    skirting = torch.where(hit[..., 2] < 0.1, 0.55, 1.0)
    return base * ((1 + wave) * skirting * (0.85 + 0.05 * hit[..., 2]).clamp(0.7, 1.0))[..., None]


def _floors(room: Room, hit: Tensor, feet: Tensor) -> Tensor:
    """Colour floor points: soft-edged tiles, dark under the feet."""
    phase = hit[..., :2] / room.tile[:, None, None, None] * torch.pi
    checks = (phase[..., 0].sin() * phase[..., 1].sin() * 8).clamp(-1, 1)
    two = room.floor[:, None, None]
    mix = (0.5 + 0.5 * checks)[..., None]
    colour = two[..., 0, :] * mix + two[..., 1, :] * (1 - mix)
    shade = torch.zeros_like(checks)
    for spot in feet.unbind(1):
        squared = (hit[..., :2] - spot[:, None, None]).square().sum(-1)
        shade = torch.maximum(shade, torch.exp(-squared / 0.045))
    return colour * (1 - 0.6 * shade)[..., None]


def clutter(
    count: int, size: tuple[int, int], rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw random shapes over each other, out of focus.

    Args:
        count: B.
        size: (width, height) in pixels.
        rng: Drives every choice.
        device: Where the result lives.

    Returns:
        Linear RGB [B, H, W, 3], and how much each pixel is covered [B, H, W, 1] in [0, 1]; a
        third of the images is covered wholly, the others here and there.
    """
    width, height = (side // _CLUTTER_SCALE for side in size)
    full = torch.as_tensor(rng.random((count, 1, 1, 1)) < _COVERED, device=device)
    canvas = _plain(count, rng, device).expand(count, height, width, 3).clone()
    cover = full.expand(count, height, width, 1).float().clone()
    most = np.where(full.cpu().numpy().ravel(), _CLUTTER_SHAPES, 6)
    shapes = rng.integers(0, most)
    for index in range(int(shapes.max())):
        drawn = torch.as_tensor(index < shapes, device=device)[:, None, None]
        mask, shading = _shape(count, (width, height), (0.03, 0.3), rng, device)
        mask = (mask & drawn)[..., None]
        canvas = torch.where(mask, _plain(count, rng, device) * shading[..., None], canvas)
        cover = torch.where(mask, 1.0, cover)
    both = torch.cat((canvas, cover), dim=-1).permute(0, 3, 1, 2)
    both = functional.avg_pool2d(both, 3, stride=1, padding=1, count_include_pad=False)
    both = functional.interpolate(both, (size[1], size[0]), mode="bilinear").permute(0, 2, 3, 1)
    return both[..., :3], both[..., 3:]


def occlude(
    images: Tensor, rng: np.random.Generator, share: float, prints: Prints | None = None
) -> Tensor:
    """Put a thing in front of some of the images.

    Args:
        images: [B, H, W, 3].
        rng: Drives every choice.
        share: Of the images that get one, [0, 1].
        prints: What half of the things show; None: all of them are plain.
    """
    count, height, width, _ = images.shape
    mask, shading = _shape(count, (width, height), (0.03, 0.16), rng, images.device)
    chosen = torch.as_tensor(rng.random(count) < share, device=images.device)
    colour = _plain(count, rng, images.device) * shading[..., None]
    if prints is not None:
        printed = torch.as_tensor(rng.random(count) < _PRINTED_SHARE, device=images.device)
        shown = prints.cut(count, (width, height), rng, images.device)
        colour = torch.where(printed[:, None, None, None], shown, colour)
    return torch.where((mask & chosen[:, None, None])[..., None], colour, images)


def _plain(count: int, rng: np.random.Generator, device: torch.device) -> Tensor:
    """Draw colours [B, 1, 1, 3], mostly muted."""
    grey = rng.uniform(0.05, 0.95, (count, 1)) + rng.normal(size=(count, 3)) * rng.uniform(
        0.01, 0.18, (count, 1)
    )
    return torch.as_tensor(grey.clip(0, 1), dtype=torch.float32, device=device)[:, None, None]


def _shape(
    count: int,
    size: tuple[int, int],
    extent: tuple[float, float],
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Draw one ellipse or box per image: mask [B, H, W] and shading [B, H, W] across it."""
    width, height = size

    def drawn(low: float, high: float) -> Tensor:
        values = torch.as_tensor(rng.uniform(low, high, count), dtype=torch.float32)
        return values.to(device)[:, None, None]

    v, u = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    du, dv = u - drawn(0.0, width), v - drawn(0.0, height)
    turn = drawn(0.0, np.pi)
    along = (du * turn.cos() + dv * turn.sin()) / (drawn(*extent) * width)
    across = (dv * turn.cos() - du * turn.sin()) / (drawn(*extent) * width)
    box = drawn(0.0, 1.0) < 0.6
    inside = torch.where(box, torch.maximum(along.abs(), across.abs()), along**2 + across**2) < 1
    return inside, 1.0 + 0.25 * along.clamp(-1, 1)
