"""Pictures of poses: an overlay on the image, and a view of the 3D scene from the side.

Images are RGB uint8 [H, W, 3]. Colours tell sides: left orange, right blue, centre white.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.colours import (
    GLOBAL_ANCHOR_COLOUR,
    LOCAL_ANCHOR_COLOUR,
    SIDE_COLOURS,
    skeleton_colours,
)
from pandapose_ros.geometry import project
from pandapose_ros.pose import Pose, TrackState
from pandapose_ros.skeleton import H36M_17

Image = NDArray[np.uint8]

_JOINT_COLOURS = [SIDE_COLOURS[H36M_17.side(j)] for j in range(len(H36M_17.joint_names))]
_BACKGROUND, _GRID_COLOUR = (24, 26, 32), (62, 66, 76)
_ANTIALIASED, _FONT = cv2.LINE_AA, cv2.FONT_HERSHEY_SIMPLEX
# Where the first two lines of text stand, in widths of bones below the image's top.
_FIRST_LINE, _SECOND_LINE = 9, 16
# Sub-pixel drawing: OpenCV takes coordinates as fixed-point numbers.
_SHIFT = 4


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    """Convert a pixel to OpenCV's fixed-point numbers."""
    u, v = np.clip(np.round(point * (1 << _SHIFT)), -(2**24), 2**24).astype(int)
    return int(u), int(v)


def _line(
    image: Image, start: NDArray[np.floating], end: NDArray[np.floating], colour: tuple, width: int
) -> None:
    """Draw a line between two pixels unless one is unknown."""
    if np.isfinite(start).all() and np.isfinite(end).all():
        cv2.line(image, _fixed(start), _fixed(end), colour, width, _ANTIALIASED, _SHIFT)


def _dot(image: Image, centre: NDArray[np.floating], radius: float, colour: tuple) -> None:
    """Draw a filled disc unless its centre is unknown."""
    if np.isfinite(centre).all():
        fixed_radius = max(int(radius * (1 << _SHIFT)), 1)
        cv2.circle(image, _fixed(centre), fixed_radius, colour, -1, _ANTIALIASED, _SHIFT)


def draw_poses(
    image: Image,
    poses: Sequence[Pose],
    *,
    least_score: float = 0.3,
    colours: str = "side",
    caption: str = "",
) -> Image:
    """Draw 2D skeletons, ids and distances on a copy of the image.

    Args:
        image: RGB uint8 [H, W, 3].
        poses: People in the image; keypoints in its pixels.
        least_score: Keypoints with a lower score are left out.
        colours: What colours tell, as in `skeleton_colours`.
        caption: Line at the top of the image.

    Returns:
        A new RGB image of the same size.
    """
    canvas = np.array(image, order="C")
    width = max(2, round(max(canvas.shape[:2]) / 300))
    for pose in poses:
        if pose.state is TrackState.LOST:
            continue
        points = np.where(pose.joint_scores[:, None] >= least_score, pose.keypoints, np.nan)
        scores = pose.joint_scores
        rgb = [tuple(c) for c in skeleton_colours(colours, H36M_17, pose.id, scores).tolist()]
        for parent, joint in H36M_17.bones:
            _line(canvas, points[parent], points[joint], rgb[joint], width)
        for joint, point in enumerate(points):
            _dot(canvas, point, 1.2 * width, rgb[joint])
        _draw_label(canvas, pose, width, (_SECOND_LINE if caption else _FIRST_LINE) * width)
    _write(canvas, caption, (3 * width, _FIRST_LINE * width), width)
    return canvas


def limit_width(image: Image, width: int) -> Image:
    """Shrink an image that is wider than `width` pixels; 0: no limit."""
    if not 0 < width < image.shape[1]:
        return image
    height = max(round(image.shape[0] * width / image.shape[1]), 1)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _draw_label(canvas: Image, pose: Pose, width: int, highest: int) -> None:
    """Write a person's id and distance above the box, but inside the image, from a row down."""
    text = f"#{pose.id} {pose.score:.2f}"
    if pose.root is not None:
        text += f" {np.linalg.norm(pose.root):.1f} m"
    (length, _), _ = cv2.getTextSize(text, _FONT, _font_scale(width), 1)
    left = max(min(int(pose.box_xyxy[0]), canvas.shape[1] - length - width), 0)
    top = max(int(pose.box_xyxy[1]) - 6, highest)
    _write(canvas, text, (left, top), width)


def _write(canvas: Image, text: str, place: tuple[int, int], width: int) -> None:
    """Write a line of text whose lower left corner is at a place, for lines of a width."""
    scale = _font_scale(width)
    left, top = place
    # A shadow rather than an outline: thicker strokes make OpenCV 5 space the letters wider.
    for shift, colour in ((max(1, width // 2), (0, 0, 0)), (0, (255, 255, 255))):
        at = (left + shift, top + shift)
        cv2.putText(canvas, text, at, _FONT, scale, colour, 1, _ANTIALIASED)


def _font_scale(width: int) -> float:
    """Return OpenCV's scale of text beside lines of a width."""
    return width / 3.5


@dataclass(frozen=True)
class SceneView:
    """Say from where the 3D scene is looked at.

    Attributes:
        target: [3], the point in the middle of the picture, image camera frame, metres.
        distance: From the eye to the target, metres.
        yaw: Turn about the vertical, radians; 0 looks along the camera's z axis.
        pitch: Radians, positive looks down.
        size: (width, height) of the picture in pixels.
        floor: Height of the drawn floor as camera-frame y, metres.
    """

    target: tuple[float, float, float]
    distance: float = 3.6
    yaw: float = -0.7
    pitch: float = 0.25
    size: tuple[int, int] = (640, 480)
    floor: float = 1.0


def draw_scene(poses: Sequence[Pose], view: SceneView) -> Image:
    """Draw joints, bones and anchors in 3D, seen from the side of the camera.

    People whose root is unknown stand at the view's target. Anchors are drawn larger and
    brighter the more they count.

    Args:
        poses: People; joints in the image camera's axes, metres.
        view: Where the picture is taken from.

    Returns:
        RGB uint8 of `view.size`.
    """
    width, height = view.size
    canvas = np.full((height, width, 3), _BACKGROUND, np.uint8)
    _draw_floor(canvas, view)
    for pose in poses:
        root = np.asarray(view.target if pose.root is None else pose.root)
        _draw_anchors(canvas, pose, root, view)
        points = _view_pixels(pose.joints + root, view)
        for parent, joint in H36M_17.bones:
            _line(canvas, points[parent], points[joint], _JOINT_COLOURS[joint], 4)
        for joint, point in enumerate(points):
            _dot(canvas, point, 5.5, _JOINT_COLOURS[joint])
    return canvas


def _view_pixels(points: NDArray[np.floating], view: SceneView) -> NDArray[np.floating]:
    """Project camera-frame points [..., 3] into the picture of a view."""
    cy, sy, cp, sp = np.cos(view.yaw), np.sin(view.yaw), np.cos(view.pitch), np.sin(view.pitch)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    seen = (points - np.asarray(view.target)) @ (about_x @ about_y).T + (0, 0, view.distance)
    width, height = view.size
    K = np.array([[height, 0, width / 2], [0, height, height / 2], [0, 0, 1.0]])
    return project(np.where(seen[..., 2:] > 0.1, seen, np.nan), K)


def _draw_floor(canvas: Image, view: SceneView) -> None:
    """Draw a 1 m grid on the floor round the target."""
    x0, z0 = np.round(view.target[0]), np.round(view.target[2])
    ticks = np.arange(-3.0, 3.1, 1.0)
    for tick in ticks:
        for start, end in (((tick, -3.0), (tick, 3.0)), ((-3.0, tick), (3.0, tick))):
            x, z = np.linspace(start, end, 25).T
            points = np.stack((x0 + x, np.full_like(x, view.floor), z0 + z), axis=1)
            pixels = _view_pixels(points, view)
            for a, b in pairwise(pixels):
                _line(canvas, a, b, _GRID_COLOUR, 1)


def _draw_anchors(canvas: Image, pose: Pose, root: NDArray[np.floating], view: SceneView) -> None:
    """Draw a person's anchors, size and brightness by their mean share in the joints."""
    shares = pose.anchors.shares
    strength = np.sqrt(shares / max(float(shares.max(initial=0.0)), 1e-9))
    pixels = _view_pixels(pose.anchors.positions + root, view)
    for pixel, kind, amount in zip(pixels, pose.anchors.kinds, strength, strict=True):
        colour = np.asarray(LOCAL_ANCHOR_COLOUR if kind == 0 else GLOBAL_ANCHOR_COLOUR)
        blended = np.asarray(_BACKGROUND) + (0.15 + 0.85 * amount) * (colour - _BACKGROUND)
        _dot(canvas, pixel, 1.0 + 2.0 * float(amount), tuple(int(c) for c in blended))


def compose_picture(image: Image, poses: Sequence[Pose], view: SceneView) -> Image:
    """Put the image with its 2D skeletons beside the 3D scene.

    Args:
        image: RGB uint8 [H, W, 3].
        poses: People in the image.
        view: From where the scene is seen; its height is set to the image's.

    Returns:
        RGB uint8 [H, 2 W', 3] with W' = max(W, H).
    """
    height, width = image.shape[:2]
    scene_size = (max(width, height), height)
    scene = draw_scene(poses, replace(view, size=scene_size))
    overlay = draw_poses(image, poses)
    side = (scene_size[0] - width) // 2
    padded = cv2.copyMakeBorder(
        overlay, 0, 0, side, scene_size[0] - width - side, cv2.BORDER_CONSTANT, value=_BACKGROUND
    )
    return np.hstack((np.asarray(padded, np.uint8), scene))


def view_of(poses: Sequence[Pose]) -> SceneView:
    """Choose a view that holds all given people, for example those of a whole clip.

    Args:
        poses: People at any times, in one camera frame.

    Returns:
        A view from the camera's left side, floor under the lowest joint.
    """
    placed = [pose.joints + pose.root for pose in poses if pose.root is not None]
    if not placed:
        floor = max((float(p.joints[:, 1].max()) for p in poses if p.score > 0), default=0.9)
        return SceneView(target=(0.0, 0.0, 3.0), floor=floor)
    points = np.concatenate(placed)
    low, high = np.percentile(points, (2, 98), axis=0)
    middle = (low + high) / 2
    distance = 0.9 * float(np.linalg.norm(high - low)) + 0.9
    return SceneView(target=tuple(middle.tolist()), distance=distance, floor=float(high[1]))
