"""Render random dressed people in random scenes, with their exact joints."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.backdrop import clutter, draw_rooms, occlude, random_rooms
from pandapose_ros.synthetic.body import Body, Rig
from pandapose_ros.synthetic.bystanders import Bystanders, step_aside
from pandapose_ros.synthetic.camera import Camera, random_cameras
from pandapose_ros.synthetic.look import Light, random_look, random_suns, shade
from pandapose_ros.synthetic.photograph import photograph
from pandapose_ros.synthetic.prints import Prints
from pandapose_ros.synthetic.rasterizer import rasterize
from pandapose_ros.synthetic.rig import Crowd, Posed, gather, pose

_ANKLES = (H36M_17.joint_names.index("left_ankle"), H36M_17.joint_names.index("right_ankle"))
_OCCLUDED = 0.25  # share of the images with something in front
_BEFORE_PICTURE = 0.6  # share of the images with a picture behind, where there are pictures


@dataclass(frozen=True)
class Samples:
    """Hold B rendered people, one per image.

    Attributes:
        images: [B, H, W, 3] uint8 RGB.
        joints: [B, 17, 3] metres, camera frame, H36M-17.
        K: [B, 3, 3] pixels.
    """

    images: Tensor
    joints: Tensor
    K: Tensor


def render_samples(
    rig: Rig,
    bodies: list[Body],
    targets: Tensor,
    size: tuple[int, int],
    rng: np.random.Generator,
    bystanders: Bystanders | None = None,
    prints: Prints | None = None,
) -> Samples:
    """Render each body in its target pose, dressed, lit, seen and disturbed at random.

    Args:
        rig: Of the bodies.
        bodies: B of them, repeats allowed.
        targets: [B, 17, 3], metres, z up, on the device that shall render.
        size: (width, height) of the images in pixels.
        rng: Drives every choice.
        bystanders: Other people in some of the images, who are not part of the samples.
        prints: Pictures to show behind, on and in front of people; None: none anywhere.
    """
    count, device = len(bodies), targets.device
    image = torch.arange(count, device=device)  # of each person
    if bystanders is not None:
        bodies = [*bodies, *bystanders.bodies]
        targets = torch.cat((targets, bystanders.targets.to(device)))
        image = torch.cat((image, bystanders.image.to(device)))
    crowd = gather(bodies, device)
    turn = np.clip(rng.normal(0.0, (0.45, 0.2), (len(bodies), 2)), -1.0, 1.0)
    head_turn = torch.as_tensor(turn, dtype=torch.float32).to(device)
    level = torch.ones(len(bodies), 2, device=device)
    posed = stand_on_floor(crowd, pose(rig, crowd, targets, head_turn, level))
    is_asked = crowd.person < count
    camera = random_cameras(posed.vertices[is_asked], crowd.person[is_asked], count, size, rng)
    joints = posed.joints[:count]
    images = _background(camera, joints, rng)
    if prints is not None:
        chosen = torch.as_tensor(rng.random(count) < _BEFORE_PICTURE, device=device)
        images[chosen] = prints.cut(int(chosen.sum()), size, rng, device)
    posed = step_aside(posed, crowd, image, camera, rng)
    vertices = camera.points(posed.vertices, image[crowd.person])
    seen = rasterize(vertices, crowd.faces, image[crowd.person[crowd.faces[:, 0]]], camera.K, size)
    light = _random_light(camera, rng)
    look = random_look(len(bodies), rng, prints).to(device)
    colours = shade(seen, crowd, vertices, look, light)
    images[seen.image, seen.row, seen.column] = colours
    images = occlude(images, rng, _OCCLUDED, prints)
    joints = camera.points(joints.reshape(-1, 3), image[:count].repeat_interleave(17))
    return Samples(photograph(images, rng), joints.reshape(count, 17, 3), camera.K)


def stand_on_floor(crowd: Crowd, posed: Posed) -> Posed:
    """Lift or lower each person so that the lowest vertex touches z = 0."""
    count = len(crowd.bone_heads)
    lowest = posed.vertices.new_full((count,), torch.inf)
    lowest = lowest.scatter_reduce(0, crowd.person, posed.vertices[:, 2], "amin")
    lift = torch.zeros(count, 3, device=lowest.device)
    lift[:, 2] = -lowest
    return Posed(posed.vertices + lift[crowd.person], posed.joints + lift[:, None])


def _background(camera: Camera, joints: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw rooms behind clutter [B, H, W, 3]; cameras under the floor see clutter only.

    Feet, of the joints [B, 17, 3] in the world, are in the rooms.
    """
    images, cover = clutter(len(camera.K), camera.size, rng, camera.K.device)
    seen = (cover.amin((1, 2, 3)) < 1) & (camera.position[:, 2] > 0.1)
    if seen.any():
        looking = camera.select(seen)
        feet = joints[seen][:, list(_ANKLES), :2]
        rooms = draw_rooms(random_rooms(looking, rng), looking, feet)
        images[seen] = torch.lerp(rooms, images[seen], cover[seen])
    return images


def _random_light(camera: Camera, rng: np.random.Generator) -> Light:
    """Draw a sun anywhere above, a share of ambient light and a slight tint."""
    count, device = len(camera.K), camera.K.device
    sun = torch.as_tensor(random_suns(count, rng), dtype=torch.float32).to(device)
    to_camera = camera.camera_from_world
    return Light(
        direction=(to_camera @ sun[..., None])[..., 0],
        up=to_camera[..., 2],
        ambient=torch.as_tensor(rng.uniform(0.25, 0.75, count), dtype=torch.float32).to(device),
        colour=torch.as_tensor(rng.uniform(0.85, 1.25, (count, 3)), dtype=torch.float32).to(
            device
        ),
    )
