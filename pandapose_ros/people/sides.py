"""Which side of somebody followed is left: nobody turns round between two images.

Of somebody whose face is hard to see, or who leans over, the landmark net may take left for right
in some of the images, of the arms, the legs, or both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.landmarks import Look, Person, Search
from pandapose_ros.people.region import Region
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

_MIRROR = np.array(H36M_17.mirror)
_PARTS = [
    [joint for joint, name in enumerate(H36M_17.joint_names) if name.endswith(ends)]
    for ends in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
]
_SIDED = [joint for part in _PARTS for joint in part]
# Arms, or legs, are exchanged if so seen they have moved by less than this share of what they
# have else, and by that much less, as a share of the region's size (some 8 cm): of somebody seen
# from the side both are about the same, and nothing is known.
_NEARER = 0.7
_APART = 0.03


class Followed(NamedTuple):
    """Say where to look for somebody who is followed.

    Attributes:
        region: Image pixels.
        keypoints: As last seen [17, 2], image pixels, if it is known which side is left; else
            None.
    """

    region: Region
    keypoints: Array | None = None


def with_known_sides(
    people: Sequence[Person],
    known: Mapping[Region, Array],
    look: Callable[[Sequence[Region], Mapping[Region, Sequence[int]]], Look],
) -> Search:
    """Look once more at those whose sides the landmark net confuses, and put them right.

    Args:
        people: Seen in one image.
        known: Keypoints [17, 2] of people followed, as last seen, by the regions looked at.
        look: Says how to look at regions of the image, in some for joints in another order.

    Returns:
        The same people in their order.

    Source:
        Our choice: BlazePose and the paper are about single images.
    """
    orders = {}
    for person in people:
        if person.region in known:
            order = known_order(known[person.region], person.keypoints, person.region.size)
            if order != list(range(len(order))):
                orders[person.region] = order
    if not orders:
        return list(people)
    again = {person.region: person for person in (yield look(list(orders), orders))}
    return [
        replace(again[person.region], turned_from=person.turned_from)
        if person.region in again
        else person
        for person in people
    ]


def known_order(before: Array, now: Array, size: float) -> list[int]:
    """Tell which keypoint each joint is, if left and right are as before.

    Args:
        before: Keypoints [17, 2], image pixels.
        now: Keypoints [17, 2] in the next image; where in it does not matter.
        size: Side of the person's region, pixels.

    Returns:
        [17] numbers of keypoints: 0 to 16, with the arms exchanged, the legs, or both.
    """
    order = np.arange(len(now))
    moved = now - now[_SIDED].mean(axis=0) - (before - before[_SIDED].mean(axis=0))
    exchanged = moved + before - before[_MIRROR]
    for part in _PARTS:
        as_it_is, other = (np.linalg.norm(way[part], axis=-1).mean() for way in (moved, exchanged))
        if other < _NEARER * as_it_is and as_it_is - other > _APART * size:
            order[part] = _MIRROR[part]
    return order.tolist()
