"""Render a clip of one walking and waving person in a quiet room, seen by a still camera."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pandapose_ros.synthetic.backdrop import Room, draw_rooms
from pandapose_ros.synthetic.body import Body, Part, Rig
from pandapose_ros.synthetic.camera import Camera, look_at
from pandapose_ros.synthetic.gait import Walk, walk_and_wave
from pandapose_ros.synthetic.look import LOWER, UPPER, Light, Look, shade
from pandapose_ros.synthetic.rasterizer import rasterize
from pandapose_ros.synthetic.rig import Crowd, gather, pose, rest_joints

FRAMES_PER_SECOND = 20
_SECONDS = 7.0
_ARRIVAL, _WAVE = 5.6, (1.9, 6.8)  # seconds
# The pelvis comes from the left, 4 m away, and turns towards the camera, 3 m away.
_PATH = np.array([[-1.7, 3.9], [0.1, 4.9], [1.5, 4.3], [0.15, 2.85]])
_SIZE = (640, 480)
_SUPERSAMPLING = 2
_FIELD_OF_VIEW = 1.05  # radians, horizontal
_CAMERA_HEIGHT = 1.2  # metres
_SUN = (-0.45, -0.55, 0.85)  # world
_SHADOW = 0.45  # share of the light that the shadow takes


@dataclass(frozen=True)
class Frame:
    """Hold one frame: image [H, W, 3] uint8 RGB; joints [17, 3] metres, camera frame."""

    image: NDArray[np.uint8]
    joints: NDArray[np.float32]


def demo_intrinsics() -> NDArray[np.float32]:
    """Return K [3, 3] of the demo's camera, pixels."""
    return _camera(1).K[0].numpy()


def render_walk(rig: Rig, body: Body) -> Iterator[Frame]:
    """Render the demo clip frame by frame; the same body gives the same clip.

    Args:
        rig: Of the body.
        body: Who walks.
    """
    crowd = gather([body], torch.device("cpu"))
    camera, look = _camera(_SUPERSAMPLING), _look()
    empty = draw_rooms(_room(), camera, torch.full((1, 1, 2), 1e3))
    light = _light(camera)
    for targets, head_turn, foot_level in _motion(rig, crowd):
        posed = pose(rig, crowd, targets[None], head_turn[None], foot_level[None])
        image = empty * (1 - _SHADOW * _shadow(crowd, posed.vertices, camera))
        vertices = camera.points(posed.vertices, crowd.person)
        which = torch.zeros(len(crowd.faces), dtype=torch.long)
        seen = rasterize(vertices, crowd.faces, which, camera.K, camera.size)
        image[seen.image, seen.row, seen.column] = shade(seen, crowd, vertices, look, light)
        joints = camera.points(posed.joints[0], torch.zeros(17, dtype=torch.long))
        yield Frame(_develop(image), joints.numpy())


def frame_count() -> int:
    """Return the number of frames of the clip."""
    return round(_SECONDS * FRAMES_PER_SECOND)


def _motion(rig: Rig, crowd: Crowd) -> Iterator[tuple[Tensor, ...]]:
    """Yield joints [17, 3], head turn [2] and foot level [2] per frame."""
    rest = rest_joints(rig, crowd)[0].double().numpy()
    rest[:, 2] -= crowd.vertices[:, 2].min().item()
    times = np.arange(frame_count()) / FRAMES_PER_SECOND
    walk: Walk = walk_and_wave(rest, _PATH, times, _ARRIVAL, _WAVE)
    arrays = (walk.joints, walk.head_turn, walk.foot_level)
    return zip(*(torch.as_tensor(array, dtype=torch.float32) for array in arrays), strict=True)


def _camera(scale: int) -> Camera:
    """Return the still camera with images `scale` times as large."""
    width, height = _SIZE
    focal_px = width / 2 / np.tan(_FIELD_OF_VIEW / 2)
    # Pixel centres are at whole numbers, so an image's left edge is at -0.5 at every scale.
    K = torch.tensor(
        [
            [focal_px * scale, 0.0, (width * scale - 1) / 2],
            [0.0, focal_px * scale, (height * scale - 1) / 2],
            [0.0, 0.0, 1.0],
        ],
        dtype=torch.float32,
    )
    position = torch.tensor([[0.0, 0.0, _CAMERA_HEIGHT]])
    rotation = look_at(position, torch.tensor([[0.0, 4.0, 0.95]]), torch.zeros(1))
    return Camera(K[None], rotation, position, (width * scale, height * scale))


def _room() -> Room:
    """Return a calm room."""
    return Room(
        half_size=torch.tensor([[3.6, 6.0]]),
        ceiling=torch.tensor([3.6]),
        floor=torch.tensor([[[0.72, 0.56, 0.40], [0.67, 0.51, 0.36]]]),
        wall=torch.tensor([[[1.10, 1.06, 0.96], [1.22, 1.18, 1.08]]]),
        tile=torch.tensor([0.4]),
        stripes=torch.tensor([0.0]),
    )


def _look() -> Look:
    """Return clothes that stand out from the room."""
    palette = torch.zeros(1, len(Part), 3)
    for part, colour in {
        Part.SKIN: (0.76, 0.55, 0.43),
        Part.SHOES: (0.75, 0.73, 0.70),
        Part.HAIR: (0.13, 0.08, 0.05),
        Part.EYE: (0.85, 0.85, 0.85),
        Part.IRIS: (0.08, 0.05, 0.03),
        Part.LIPS: (0.62, 0.33, 0.29),
        Part.BROW: (0.36, 0.24, 0.18),
    }.items():
        palette[0, part] = torch.tensor(colour)
    cloth = torch.zeros(1, 2, 2, 3)
    cloth[0, UPPER] = torch.tensor([[0.10, 0.36, 0.42], [0.86, 0.80, 0.70]])
    cloth[0, LOWER] = torch.tensor([[0.13, 0.15, 0.22], [0.13, 0.15, 0.22]])
    return Look(
        palette=palette,
        cloth=cloth,
        pattern=torch.tensor([[0, 0]]),
        direction=torch.zeros(1, 2, 3),
        waist=torch.tensor([-0.03]),
        crease=torch.tensor([0.35]),
    )


def _light(camera: Camera) -> Light:
    """Return daylight from above, behind the camera on its left."""
    sun = functional.normalize(torch.tensor([_SUN]), dim=1)
    to_camera = camera.camera_from_world
    return Light(
        direction=(to_camera @ sun[..., None])[..., 0],
        up=to_camera[..., 2],
        ambient=torch.tensor([0.5]),
        colour=torch.tensor([[1.12, 1.08, 1.02]]),
    )


def _shadow(crowd: Crowd, vertices: Tensor, camera: Camera) -> Tensor:
    """Cast the mesh along the sun onto the floor; return the soft shade [1, H, W, 1]."""
    sun = vertices.new_tensor(_SUN)
    flat = vertices - vertices[:, 2:] / sun[2] * sun
    flat = camera.points(flat, crowd.person)
    which = torch.zeros(len(crowd.faces), dtype=torch.long)
    seen = rasterize(flat, crowd.faces, which, camera.K, camera.size)
    width, height = camera.size
    mask = torch.zeros(1, 1, height, width)
    mask[:, 0, seen.row, seen.column] = 1.0
    for _ in range(3):
        mask = functional.avg_pool2d(mask, 9, stride=1, padding=4)
    return mask.permute(0, 2, 3, 1)


def _develop(image: Tensor) -> NDArray[np.uint8]:
    """Average the samples of each pixel and apply gamma."""
    small = functional.avg_pool2d(image.permute(0, 3, 1, 2), _SUPERSAMPLING)[0].permute(1, 2, 0)
    return ((small.clamp(0, 1) ** (1 / 1.5)) * 255).round().to(torch.uint8).numpy()
