"""Square tiles of an image, in which the detector finds people too small in the whole image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pandapose_ros.people.landmarks import Person

# Minimum score in a tile. In all tiles of 76 pictures without people, 22 things score above 0.5,
# and one above this; people in streets score 0.5 to 0.8.
TILE_SCORE = 0.7
# Sides, as shares of the image's shorter side.
_SIDES = (1.0, 0.6)
# Tiles overlap by half: whoever fits into half of one is complete in one of them.
_STEP = 0.5
# In a tile, a foot or a hand can look like a person of up to this share of its owner's size.
_PART = 0.5


class Tile(NamedTuple):
    """Hold a square tile of an image, pixels."""

    left: int
    top: int
    side: int


def tiles_of(image_size: tuple[int, int]) -> list[Tile]:
    """Divide an image into square tiles that overlap, large ones first.

    Args:
        image_size: (width, height), pixels, more than 0.

    Returns:
        Tiles inside the image; those of each size cover it. None of them is the whole image.
    """
    found = []
    for share in _SIDES:
        side = max(1, round(share * min(image_size)))
        lefts, tops = (_starts(size, side) for size in image_size)
        found += [Tile(left, top, side) for top in tops for left in lefts]
    return [tile for tile in found if image_size != (tile.side, tile.side)]


def _starts(size: int, side: int) -> list[int]:
    """Return where tiles begin along a side of the image."""
    count = 1 + int(np.ceil((size - side) / (_STEP * side)))
    return np.linspace(0, size - side, count).round().astype(int).tolist()


def without_parts(newcomers: Sequence[Person], people: Sequence[Person]) -> list[Person]:
    """Leave out newcomers who are only a foot or a hand of somebody.

    Args:
        newcomers: Seen in one image.
        people: All people seen in it.

    Returns:
        Those who are not much smaller than somebody in whose box they are, in their order.
    """
    return [new for new in newcomers if not any(_is_part(new, other) for other in people)]


def _is_part(small: Person, large: Person) -> bool:
    """Return whether somebody is within another's box, and much smaller."""
    if small.next_region.size >= _PART * large.next_region.size:
        return False
    centre, low, high = small.next_region.centre, large.box_xyxy[:2], large.box_xyxy[2:]
    return bool((low <= centre).all() and (centre <= high).all())
