"""How people look: colours, patterns, light, and the shading of rasterised fragments."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.synthetic.body import Part
from pandapose_ros.synthetic.prints import Prints
from pandapose_ros.synthetic.rasterizer import Fragments, vertex_normals
from pandapose_ros.synthetic.rig import Crowd

UPPER, LOWER = 0, 1
_PRINTED = 4  # the pattern that is a picture
_PRINTED_SHARE = 0.35  # of upper and lower parts, where there are pictures
_PRINT_PX = 256
_STRIPES_ACROSS = 8  # as wide as a picture
_SKINS = (
    (0.92, 0.74, 0.63),
    (0.82, 0.60, 0.47),
    (0.66, 0.45, 0.33),
    (0.45, 0.29, 0.2),
    (0.3, 0.19, 0.14),
)
_HAIRS = (
    (0.07, 0.05, 0.04),
    (0.2, 0.12, 0.07),
    (0.38, 0.25, 0.13),
    (0.66, 0.5, 0.28),
    (0.5, 0.48, 0.46),
)


@dataclass(frozen=True)
class Look:
    """Hold the colours of B people; colours are linear RGB in [0, 1].

    Attributes:
        palette: [B, 8, 3], colour per `Part`; that of SUIT is not used.
        cloth: [B, 2, 2, 3], two colours for the suit's upper and lower part.
        pattern: [B, 2] 0 plain, 1 stripes, 2 checks, 3 blotches, 4 a picture.
        direction: [B, 2, 3] across the stripes, radians per metre.
        waist: [B] metres, where upper and lower part meet, against the body's waist.
        crease: [B] strength of the folds in cloth, 0 to 1.
        prints: [B, 2, S, S, 3] pictures for that pattern; None if nobody has it.
    """

    palette: Tensor
    cloth: Tensor
    pattern: Tensor
    direction: Tensor
    waist: Tensor
    crease: Tensor
    prints: Tensor | None = None

    def to(self, device: torch.device) -> "Look":
        """Return the same look on another device."""
        parts = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        moved = {name: part.to(device) for name, part in parts.items() if part is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class Light:
    """Hold the light of B images.

    Attributes:
        direction: [B, 3] towards the light, camera frame, unit.
        up: [B, 3] against gravity, camera frame, unit.
        ambient: [B] share of light that comes from everywhere, [0, 1].
        colour: [B, 3] of the light, near 1.
    """

    direction: Tensor
    up: Tensor
    ambient: Tensor
    colour: Tensor


def random_look(count: int, rng: np.random.Generator, prints: Prints | None = None) -> Look:
    """Draw clothes and complexions for `count` people; some wear prints, if there are any."""
    skin = np.array(_SKINS)[rng.integers(len(_SKINS), size=count)] * rng.uniform(
        0.85, 1.1, (count, 1)
    )
    hair = np.array(_HAIRS)[rng.integers(len(_HAIRS), size=count)] * rng.uniform(
        0.7, 1.2, (count, 1)
    )
    palette = np.zeros((count, len(Part), 3))
    palette[:, Part.SKIN], palette[:, Part.HAIR] = skin, hair
    palette[:, Part.SHOES] = _fabric(count, rng) * 0.6
    palette[:, Part.EYE], palette[:, Part.IRIS] = 0.85, rng.uniform(0.02, 0.3, (count, 3))
    palette[:, Part.LIPS] = skin * (0.85, 0.6, 0.6)
    palette[:, Part.BROW] = 0.55 * skin + 0.45 * hair
    cloth = np.stack([_fabric(2 * count, rng).reshape(count, 2, 3) for _ in range(2)], axis=2)
    heading = rng.normal(size=(count, 2, 3)) * (0.4, 0.4, 1.0)
    heading /= np.linalg.norm(heading, axis=-1, keepdims=True)
    pattern = rng.choice(4, p=(0.6, 0.15, 0.1, 0.15), size=(count, 2))
    scale, waist = rng.uniform(30, 160, (count, 2, 1)), rng.uniform(-0.08, 0.06, count)
    crease, printed = rng.uniform(0.1, 0.7, count), None
    if prints is not None:
        pattern[rng.random((count, 2)) < _PRINTED_SHARE] = _PRINTED
        side = (_PRINT_PX, _PRINT_PX)
        printed = prints.cut(2 * count, side, rng, torch.device("cpu"))
        printed = printed.unflatten(0, (count, 2))
    return Look(
        palette=_tensor(palette),
        cloth=_tensor(cloth),
        pattern=torch.as_tensor(pattern),
        direction=_tensor(heading * scale),
        waist=_tensor(waist),
        crease=_tensor(crease),
        prints=printed,
    )


def _fabric(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw colours [count, 3]: greys, blues and muted ones more often than loud ones."""
    grey = rng.uniform(0.04, 0.9, (count, 1))
    return np.clip(
        grey + rng.normal(size=(count, 3)) * rng.uniform(0.02, 0.3, (count, 1)), 0.02, 0.95
    )


def _tensor(values: NDArray[np.float64]) -> Tensor:
    """Convert to float32."""
    return torch.as_tensor(values, dtype=torch.float32)


def shade(
    fragments: Fragments, crowd: Crowd, vertices: Tensor, look: Look, light: Light
) -> Tensor:
    """Colour the visible surface.

    Args:
        fragments: P of them.
        crowd: The rest meshes; patterns stick to the rest pose.
        vertices: [V, 3], posed, camera frame, metres.
        look: Of all people.
        light: Of the images.

    Returns:
        [P, 3], linear RGB, [0, 1].
    """
    person = crowd.person[crowd.faces[fragments.face, 0]]
    normals = vertex_normals(vertices, crowd.faces)
    values = torch.cat((normals, vertices, crowd.vertices, crowd.rise[:, None]), dim=1)
    values = fragments.interpolate(crowd.faces, values)
    normal, position, rest, rise = values.split((3, 3, 3, 1), dim=1)
    part = crowd.parts.long()[crowd.faces[fragments.face, 0]]
    base = fragments.interpolate(crowd.faces, look.palette[crowd.person, crowd.parts.long()])
    is_suit = part == Part.SUIT
    colour = torch.where(is_suit[:, None], _suit(rest, rise[:, 0], person, look), base)
    wrinkled = normal + _folds(rest) * (look.crease[person] * is_suit)[:, None]
    # Cloth and hair are sheets: light the side that faces the camera.
    wrinkled = wrinkled * -torch.sign((normal * position).sum(-1, keepdim=True))
    wrinkled = wrinkled / wrinkled.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    return (colour * lit(wrinkled, light, fragments.image)).clamp(0, 1)


def random_suns(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw directions towards the light [B, 3], unit, world: anywhere above (z up)."""
    sun = rng.normal((0.0, 0.0, 1.0), 1.0, (count, 3))
    sun[:, 2] = np.abs(sun[:, 2])
    return sun / np.linalg.norm(sun, axis=1, keepdims=True)


def lit(normal: Tensor, light: Light, image: Tensor) -> Tensor:
    """Return the light that falls on a surface: sky, sun and a little from below.

    Args:
        normal: [P, 3], camera frame, unit.
        light: Of B images.
        image: [P], the image of each.

    Returns:
        [P, 3], by which to multiply the surface's colour.
    """
    sun = (normal * light.direction[image]).sum(-1).clamp_min(0)
    sky = 0.75 + 0.25 * (normal * light.up[image]).sum(-1)
    ambient = light.ambient[image]
    return (ambient * sky + (1 - ambient) * sun)[:, None] * light.colour[image]


def _suit(rest: Tensor, rise: Tensor, person: Tensor, look: Look) -> Tensor:
    """Colour the suit at rest-pose points [P, 3] by the pattern of its upper or lower part."""
    half = torch.where(rise > look.waist[person], UPPER, LOWER)
    across = look.direction[person, half]
    wave = (rest * across).sum(-1)
    cross = (rest * across.roll(1, dims=-1)).sum(-1)
    stripes = (wave.sin() * 4).clamp(-1, 1)
    checks = (wave.sin() * cross.sin() * 6).clamp(-1, 1)
    blotches = (0.3 * wave + 2 * (0.21 * cross).sin() + 2 * (rest[:, 2] * 23).sin()).sin()
    kinds = torch.stack((torch.full_like(wave, -1.0), stripes, checks, blotches), dim=-1)
    pattern = look.pattern[person, half][:, None]
    mix = 0.5 + 0.5 * kinds.gather(1, pattern.clamp_max(_PRINTED - 1))
    colours = look.cloth[person, half]
    woven = colours[:, 0] * (1 - mix) + colours[:, 1] * mix
    if look.prints is None:
        return woven
    place = torch.stack((cross, wave), dim=-1) / (2 * torch.pi * _STRIPES_ACROSS)
    row, column = (place.remainder(1) * (look.prints.shape[2] - 1)).long().unbind(-1)
    return torch.where(pattern == _PRINTED, look.prints[person, half, row, column], woven)


def _folds(rest: Tensor) -> Tensor:
    """Return a smooth disturbance [P, 3] of the normals that looks like folds in cloth."""
    x, y, z = rest.unbind(-1)
    first = (31 * z + 9 * (11 * x).sin() + 14 * y).cos()
    second = (47 * x - 21 * z + 6 * (17 * z).sin()).cos()
    return torch.stack((0.3 * second, 0.2 * first, 0.35 * first * second), dim=-1)
