"""Boxes of people whom another detector has found, turned into detections."""

from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.detector import Detection
from pandapose_ros.people.landmarks import Look, Person
from pandapose_ros.people.region import REGION_MARGIN, Region, intersection_over_union

Array = NDArray[np.floating]

# Intersection over union above which a box is that of a person already seen.
_CLAIMED_OVERLAP = 0.3
# Minimum height by width of the box of somebody who stands and is fully in view.
_TALL = 1.5
NO_BOXES = np.empty((0, 4))


def check_boxes(boxes: Array) -> Array:
    """Return boxes as float64.

    Args:
        boxes: [P, 4], xyxy, pixels; P may be 0.

    Raises:
        ValueError: If they are not of this shape, one is not finite, or one has no area.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape in ((0,), (0, 4)):
        return NO_BOXES
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"expected boxes of shape [P, 4], got {list(boxes.shape)}")
    extents = boxes[:, 2:] - boxes[:, :2]
    for box, extent in zip(boxes, extents, strict=True):
        if not (np.isfinite(box).all() and (extent > 0).all()):
            raise ValueError(f"expected boxes (left, top, right, bottom), got {box.tolist()}")
    return boxes


class BoxChooser:
    """Choose the boxes to look at in successive images of one camera.

    A poster or a person too far away has a box in every message, and looking at it takes as long
    as looking at somebody. So after a look in vain, boxes wait as the built-in detector would, and
    those not yet looked at come next.
    """

    def __init__(self) -> None:
        self._images_since_look = 0
        self._has_failed = False
        self._done = 0

    def choose(self, boxes: Array, people: Sequence[Person], most: int, wait: int) -> Array:
        """Return the boxes [N, 4] to look at in the next image.

        Args:
            boxes: [P, 4], xyxy, image pixels, the most certain first.
            people: Seen in the image.
            most: Maximum number of boxes to look at.
            wait: Number of images from a look in vain to the next look.
        """
        self._images_since_look += 1
        others = unclaimed(boxes, people)
        if self._has_failed and self._images_since_look < wait:
            return NO_BOXES
        if not len(others) or most <= 0:
            return NO_BOXES
        self._images_since_look = 0
        start = self._done % len(others) if self._has_failed and len(others) > most else 0
        self._done = start + most
        return np.roll(others, -start, axis=0)[:most]

    def tell(self, *, has_found: bool) -> None:
        """Say whether the boxes last chosen, one at least, have led to somebody new."""
        self._has_failed = not has_found


def unclaimed(boxes: Array, people: Sequence[Person]) -> Array:
    """Leave out the boxes of people already seen, at most one for each of them.

    A second box on a person is kept: it may be of somebody beside or behind.

    Args:
        boxes: [P, 4], xyxy, image pixels.
        people: Seen in the image.

    Returns:
        [N, 4], in their order.
    """
    overlaps = np.zeros((len(people), len(boxes)))
    for row, person in zip(overlaps, people, strict=True):
        row[:] = intersection_over_union(person.box_xyxy, boxes)
    left = np.ones(len(boxes), bool)
    while overlaps.size and overlaps.max() > _CLAIMED_OVERLAP:
        person, box = np.unravel_index(overlaps.argmax(), overlaps.shape)
        left[box] = False
        overlaps[person], overlaps[:, box] = 0, 0
    return boxes[left]


def detections_from_boxes(
    boxes: Array, look: Callable[[Sequence[Region]], Look]
) -> Generator[Look, list[Person], list[Detection]]:
    """Turn boxes into detections that count as certain.

    If somebody sits, or is not fully in view, a box does not show where the hips are; then the
    landmark net looks at both possible places.

    Args:
        boxes: [P, 4], xyxy, image pixels.
        look: Says how to look at regions.

    Returns:
        One detection for each box, with a region as rough as those of the built-in detector.
    """
    choices = [_regions(box) for box in boxes]
    doubtful = [region for regions in choices if len(regions) > 1 for region in regions]
    people = (yield look(doubtful)) if doubtful else []
    scores = {person.region: person.score for person in people}
    return [
        Detection(max(regions, key=lambda region: scores.get(region, 0.0)), box, score=1.0)
        for box, regions in zip(boxes, choices, strict=True)
    ]


def _regions(box: Array) -> list[Region]:
    """Return where somebody in a box [4], xyxy, may be: one region or two.

    Source:
        Our choice: of the places tried on photographs, those that find most people.
    """
    left, top, right, bottom = box.tolist()
    u, width, height = (left + right) / 2, right - left, bottom - top
    side = max(width, height)
    whole = Region((u, top + height / 2), REGION_MARGIN * side, 0.0)
    if height >= _TALL * width:
        return [whole]
    # Half a body, or one with bent legs, has its hips further down.
    return [whole, Region((u, top + 0.75 * height), 1.5 * REGION_MARGIN * side, 0.0)]
