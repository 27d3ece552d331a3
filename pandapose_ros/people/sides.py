"""Which side of a tracked person is left: nobody turns round between two images.

If the face is hard to see, or the person leans over, the landmark net swaps left and right in some
of the images: of the arms, the legs, or both.
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
# Arms, or legs, are exchanged if they have then moved by less than this share of their motion as
# they are, and less by at least a share of the region's size (some 8 cm): seen from the side, both
# motions are about the same, and nothing is known.
_NEARER = 0.7
_APART = 0.03


class Followed(NamedTuple):
    """Say where to look for a tracked person.

    Attributes:
        region: Image pixels.
        keypoints: As last seen [17, 2], image pixels; None unless it is known which side is left.
    """

    region: Region
    keypoints: Array | None = None


def with_known_sides(
    people: Sequence[Person],
    known: Mapping[Region, Array],
    look: Callable[[Sequence[Region], Mapping[Region, Sequence[int]]], Look],
) -> Search:
    """Look once more at people whose sides the landmark net swaps, and correct them.

    Args:
        people: Seen in one image.
        known: Keypoints [17, 2] of tracked people, as last seen, by the regions looked at.
        look: Says how to look at regions of the image, in some with joints in another order.

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
    """Return which keypoint each joint is, if left and right are as before.

    Args:
        before: Keypoints [17, 2], image pixels.
        now: Keypoints [17, 2] in the next image; only their relative positions matter.
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
