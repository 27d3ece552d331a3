"""Render random rooms full of furniture and things, without people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pandapose_ros.synthetic.backdrop import clutter, draw_rooms, random_rooms
from pandapose_ros.synthetic.camera import Camera, look_at
from pandapose_ros.synthetic.furniture import Thing
from pandapose_ros.synthetic.look import Light, lit, random_suns
from pandapose_ros.synthetic.photograph import photograph
from pandapose_ros.synthetic.rasterizer import Fragments, rasterize

_SUPERSAMPLING = 2  # without which thin legs and leaves would be dotted lines
_MOST_THINGS, _MOST_FACES = 11, 120_000  # in a room; more take long
_LARGEST_RADIUS = 1.6  # metres; buses and swimming pools would hide all else
_CLUTTERED = 0.4  # share of the rooms with clutter before the walls
_IN_PLACE, _TUMBLED = 0.8, 0.06  # shares of things at their own height, in any rotation
_TINTED, _RECOLOURED = 0.5, 0.25  # shares of things in another tint, other plain colours
_GAMMA = 2.2  # of textures


@dataclass(frozen=True)
class _Piece:
    """Hold a thing where it is in the room.

    Attributes:
        thing: As in the library.
        vertices: [V, 3] metres, world (z up).
        textures: Of the thing, each [H, W, 3] uint8 RGB, some with another colour.
        tint: [3] factors of linear RGB.
    """

    thing: Thing
    vertices: NDArray[np.float32]
    textures: tuple[NDArray[np.uint8], ...]
    tint: NDArray[np.float64]


@dataclass(frozen=True)
class _Mesh:
    """Hold all pieces of a room, packed.

    Attributes:
        vertices: [V, 3] metres, camera frame.
        faces: [F, 3].
        uv: [V, 2], of the texture, from its lower left corner.
        material: [F].
        texels: [T, 3] uint8 RGB, the rows of all textures one after the other.
        texture_start: [M] first texel of each material's texture.
        texture_size: [M, 2] height and width in texels.
        tint: [M, 3] factors of linear RGB.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor
    material: Tensor
    texels: Tensor
    texture_start: Tensor
    texture_size: Tensor
    tint: Tensor


def render_furnished(things: Sequence[Thing], size: int, rng: np.random.Generator) -> Tensor:
    """Render up to eleven things in a room, lit, seen and disturbed at random.

    Args:
        things: To choose from, one or more.
        size: Width and height in pixels, 16 or more.
        rng: Drives every choice.

    Returns:
        [size, size, 3] uint8 RGB.
    """
    camera, half_view = _random_camera(size * _SUPERSAMPLING, rng)
    image = _background(camera, rng)
    pieces = _furnish(things, half_view, rng)
    if pieces:
        mesh = _pack(pieces, camera)
        image_of_face = torch.zeros(len(mesh.faces), dtype=torch.long)
        seen = rasterize(mesh.vertices, mesh.faces, image_of_face, camera.K, camera.size)
        light = lit(_normals(mesh), _random_light(camera, rng), image_of_face)  # of each face
        image[seen.image, seen.row, seen.column] = _colours(seen, mesh) * light[seen.face]
    small = functional.avg_pool2d(image.permute(0, 3, 1, 2), _SUPERSAMPLING).permute(0, 2, 3, 1)
    return photograph(small, rng)[0]


def _random_camera(size: int, rng: np.random.Generator) -> tuple[Camera, float]:
    """Draw a camera over the world's origin that looks along +y, and half its view in radians."""
    height, distance = rng.uniform(0.25, 1.9), rng.uniform(1.2, 4.5)
    pitch, view = rng.uniform(-0.5, 0.15), rng.uniform(0.7, 1.4)
    roll = rng.uniform(-0.1, 0.1)
    focal, middle = size / 2 / np.tan(view / 2), (size - 1) / 2
    position = torch.tensor([[0.0, 0.0, height]])
    target = torch.tensor([[0.0, distance, height + distance * np.tan(pitch)]])
    rotation = look_at(position, target.float(), torch.tensor([roll]).float())
    K = torch.tensor([[[focal, 0, middle], [0, focal, middle], [0, 0, 1]]]).float()
    return Camera(K, rotation, position, (size, size)), view / 2


def _background(camera: Camera, rng: np.random.Generator) -> Tensor:
    """Draw an empty room [1, H, W, 3], or one with clutter in it."""
    nobodys_feet = camera.position.new_zeros(1, 0, 2)
    room = draw_rooms(random_rooms(camera, rng), camera, nobodys_feet)
    shapes, cover = clutter(1, camera.size, rng, room.device)
    return torch.lerp(room, shapes, cover) if rng.random() < _CLUTTERED else room


def _furnish(things: Sequence[Thing], half_view: float, rng: np.random.Generator) -> list[_Piece]:
    """Draw things and their places within the view: up to `half_view` radians to the side."""
    wanted = int(rng.integers(1, _MOST_THINGS + 1))
    pieces: list[_Piece] = []
    taken: list[tuple[NDArray[np.float64], float]] = []
    for _ in range(4 * wanted):
        if len(pieces) >= wanted or sum(len(p.thing.faces) for p in pieces) > _MOST_FACES:
            break
        thing = things[int(rng.integers(len(things)))]
        distance, bearing = rng.uniform(0.7, 5.5), rng.uniform(-half_view, half_view)
        spot = distance * np.array((np.sin(bearing), np.cos(bearing)))
        radius = max(0.15, thing.radius)
        if radius > _LARGEST_RADIUS or distance < radius + 0.35:
            continue
        # Things may overlap a little: footprints are not round.
        if any(np.hypot(*(spot - other)) < 0.6 * (radius + width) for other, width in taken):
            continue
        taken.append((spot, radius))
        pieces.append(_place(thing, spot, rng))
    return pieces


def _place(thing: Thing, spot: NDArray[np.float64], rng: np.random.Generator) -> _Piece:
    """Put a thing at a spot [2] of the floor, metres, turned, scaled and coloured at random."""
    height = thing.elevation if rng.random() < _IN_PLACE else rng.uniform(0, 1.2)
    tumble = np.eye(3)
    if rng.random() < _TUMBLED:
        tumble = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    scale, yaw = rng.uniform(0.85, 1.15), rng.uniform(0, 2 * np.pi)
    sine, cosine = np.sin(yaw), np.cos(yaw)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    vertices = thing.vertices @ (scale * turn @ tumble).T + (*spot, height)
    tint = np.ones(3)
    if rng.random() < _TINTED:
        tint = rng.uniform(0.7, 1.25) * rng.uniform(0.8, 1.2, 3)
    textures = thing.textures
    if rng.random() < _RECOLOURED:
        textures = tuple(_recoloured(texture, rng) for texture in textures)
    return _Piece(thing, vertices.astype(np.float32), textures, tint)


def _recoloured(texture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw another colour for a texture that is a plain colour."""
    if texture.shape[:2] != (1, 1):
        return texture
    return rng.uniform(10, 245, (1, 1, 3)).astype(np.uint8)


def _pack(pieces: list[_Piece], camera: Camera) -> _Mesh:
    """Join pieces into one mesh that the camera sees."""
    textures = [texture for piece in pieces for texture in piece.textures]
    used = [len(piece.textures) for piece in pieces]
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    materials = np.cumsum([0, *used])
    size = torch.tensor([texture.shape[:2] for texture in textures])
    count = size.prod(dim=1)
    vertices = torch.from_numpy(np.concatenate([piece.vertices for piece in pieces]))
    faces = [piece.thing.faces + start for piece, start in zip(pieces, starts, strict=False)]
    material = [
        piece.thing.material + start for piece, start in zip(pieces, materials, strict=False)
    ]
    tint = np.repeat([piece.tint for piece in pieces], used, axis=0)
    return _Mesh(
        vertices=camera.points(vertices, torch.zeros(len(vertices), dtype=torch.long)),
        faces=torch.from_numpy(np.concatenate(faces)),
        uv=torch.from_numpy(np.concatenate([piece.thing.uv for piece in pieces])),
        material=torch.from_numpy(np.concatenate(material)),
        texels=torch.from_numpy(np.concatenate([t.reshape(-1, 3) for t in textures])),
        texture_start=count.cumsum(0) - count,
        texture_size=size,
        tint=torch.as_tensor(tint, dtype=torch.float32),
    )


def _colours(seen: Fragments, mesh: _Mesh) -> Tensor:
    """Look up the nearest texels of all fragments: [P, 3], linear RGB."""
    material = mesh.material[seen.face]
    height, width = mesh.texture_size[material].unbind(-1)
    u, v = (seen.interpolate(mesh.faces, mesh.uv) % 1).unbind(-1)
    column = (u * width).long().minimum(width - 1)
    row = ((1 - v) * height).long().minimum(height - 1)
    texel = mesh.texels[mesh.texture_start[material] + row * width + column]
    return (texel / 255) ** _GAMMA * mesh.tint[material]


def _normals(mesh: _Mesh) -> Tensor:
    """Return the faces' normals [F, 3], camera frame, on the side that faces the camera."""
    first, second, third = mesh.vertices[mesh.faces].unbind(1)
    normal = functional.normalize(torch.linalg.cross(second - first, third - first), dim=-1)
    # Faces of these libraries wind either way.
    away = (normal * (first + second + third)).sum(-1, keepdim=True) > 0
    return torch.where(away, -normal, normal)


def _random_light(camera: Camera, rng: np.random.Generator) -> Light:
    """Draw a white sun anywhere above, and a share of ambient light."""
    sun = torch.as_tensor(random_suns(1, rng), dtype=torch.float32)
    ambient = rng.uniform(0.3, 0.8)
    # The sun is a fifth stronger than that on people.
    power = ambient + 1.2 * (1 - ambient)
    to_camera = camera.camera_from_world
    return Light(
        direction=(to_camera @ sun[..., None])[..., 0],
        up=to_camera[..., 2],
        ambient=torch.tensor([ambient / power]).float(),
        colour=torch.full((1, 3), power),
    )
