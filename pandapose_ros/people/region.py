"""Square, rotated regions round people: the part of an image that the landmark net looks at.

Image pixels, the centre of the top-left pixel at (0, 0).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# The circle point lies on the circle round the body; the region is that much wider than it.
REGION_MARGIN = 1.25

# Shares of a region's size, which is about 2.5 m for a standing adult.
_SAME_PLACE = 0.1
_SAME_SIZE_RATIO = 1.5


@dataclass(frozen=True)
class Region:
    """Describe a square that may be turned.

    Attributes:
        centre: (u, v), image pixels.
        size: Side of the square, pixels.
        angle: Radians, clockwise as one sees the image; 0 is upright.
        is_mirrored: Whether it is seen mirrored: left and right are exchanged in the crop.
    """

    centre: tuple[float, float]
    size: float
    angle: float
    is_mirrored: bool = False

    def crop_from_image(self, crop_size: int = 256) -> Array:
        """Build the transform that fills a square crop with the region, not mirrored.

        Args:
            crop_size: Side of the crop, pixels.

        Returns:
            [2, 3], image pixels to crop pixels. The region's edges become the outer edges of the
            crop's pixels: crop u = -0.5 and crop_size - 0.5.
        """
        scale = crop_size / self.size
        cosine, sine = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        linear = np.array([[cosine, sine], [-sine, cosine]])
        shift = (crop_size - 1) / 2 - linear @ np.asarray(self.centre)
        return np.column_stack((linear, shift))

    def corners(self) -> Array:
        """Return the corners [4, 2], image pixels: the crop's top left, then clockwise in it."""
        right = np.array([np.cos(self.angle), np.sin(self.angle)]) * self.size / 2
        down = np.array([-right[1], right[0]])
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return np.asarray(self.centre) + signs @ np.stack((right, down))


def region_from_points(centre: Array, circle_point: Array) -> Region:
    """Place a region by the two points that BlazePose gives for it.

    Args:
        centre: [2], middle of the hips, image pixels.
        circle_point: [2], on the circle round the whole body, over the head; image pixels.

    Returns:
        The region, turned so that the circle point is straight above the centre.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204), section 3; the margin is MediaPipe's.
    """
    up = np.asarray(circle_point, np.float64) - centre
    size = 2 * REGION_MARGIN * float(np.hypot(*up))
    return Region((float(centre[0]), float(centre[1])), size, float(np.arctan2(up[0], -up[1])))


def quarter_turns(angle: float) -> int:
    """Round an angle, radians, to quarter turns, 0 to 3."""
    return round(angle / (np.pi / 2)) % 4


def is_same_place(first: Region, second: Region) -> bool:
    """Return whether two regions are around the same person.

    By hips and size, not by the overlap of the squares: those are as wide as a person is long, so
    two people side by side share most of theirs.
    """
    small, large = sorted((first.size, second.size))
    distance = np.hypot(*np.subtract(first.centre, second.centre))
    return bool(distance < _SAME_PLACE * large and large < _SAME_SIZE_RATIO * small)


def box_round_points(points: Array, margin: float, image_size: tuple[int, int]) -> Array:
    """Find the box of some points, widened and clipped to the image.

    Args:
        points: [N, 2], N at least 1, image pixels.
        margin: How much to add on every side, as a share of the box's longer side.
        image_size: (width, height), pixels.

    Returns:
        box_xyxy [4], float32, pixels, inside [0, width - 1] and [0, height - 1].
    """
    low, high = points.min(axis=0), points.max(axis=0)
    pad = margin * (high - low).max()
    limit = np.maximum(np.asarray(image_size) - 1, 0)
    return np.concatenate((np.clip(low - pad, 0, limit), np.clip(high + pad, 0, limit))).astype(
        np.float32
    )


def intersection_over_union(box_xyxy: Array, boxes_xyxy: Array) -> Array:
    """Compare a box with others.

    Args:
        box_xyxy: [4], pixels.
        boxes_xyxy: [N, 4], pixels.

    Returns:
        [N] in [0, 1]; 0 where both boxes are empty.
    """
    low = np.maximum(box_xyxy[:2], boxes_xyxy[:, :2])
    high = np.minimum(box_xyxy[2:], boxes_xyxy[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = np.clip(box_xyxy[2:] - box_xyxy[:2], 0, None).prod()
    areas = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None).prod(axis=1)
    union = area + areas - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
