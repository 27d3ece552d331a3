"""Boxes of people whom another detector has found, as detections of ours."""

from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.detector import Detection
from pandapose_ros.people.landmarks import Look, Person
from pandapose_ros.people.region import REGION_MARGIN, Region, intersection_over_union

Array = NDArray[np.floating]

# What shares more with somebody who is seen is that person's box; as between detections.
_CLAIMED_OVERLAP = 0.3
# Height by width of the box of somebody who stands and is all in view, at least.
_TALL = 1.5


def check_boxes(boxes: Array) -> Array:
    """Return boxes as float64.

    Args:
        boxes: [P, 4], xyxy, pixels; P may be 0.

    Raises:
        ValueError: If they are not of this shape, one is not finite, or one has no area.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0 and boxes.ndim <= 2:
        return np.empty((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"expected boxes of shape [P, 4], got {list(boxes.shape)}")
    extents = boxes[:, 2:] - boxes[:, :2]
    for box, extent in zip(boxes, extents, strict=True):
        if not (np.isfinite(box).all() and (extent > 0).all()):
            raise ValueError(f"expected boxes (left, top, right, bottom), got {box.tolist()}")
    return boxes


def unclaimed(boxes: Array, people: Sequence[Person]) -> Array:
    """Leave out the boxes of people who are seen already, at most one for each of them.

    Not every box that overlaps somebody: it may be of somebody beside or behind.

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
    """Turn boxes into detections that count as sure.

    Of somebody who sits, or is not all in view, a box does not tell where the hips are; then the
    landmark net looks at both places.

    Args:
        boxes: [P, 4], xyxy, image pixels.
        look: Says how to look at regions.

    Returns:
        One detection for each box, with a region as rough as the detector's own.
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
