"""More than one crop of each person, so that what depends on the crop by chance averages out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pandapose_ros.people.landmarks import Look, Person, Search
from pandapose_ros.people.region import Region

# How each other crop differs: by shares of the region's size to the right and down, in size, by
# an angle [rad], and whether it is mirrored. Larger differences are less accurate: the landmark
# net asks for regions that fit.
_DIFFERENCES = (
    (0.0, 0.0, 1.0, 0.0, True),
    (0.02, -0.02, 1.06, 0.07, False),
    (-0.02, 0.02, 1.06, -0.07, True),
    (-0.02, 0.02, 0.94, -0.07, False),
    (0.02, -0.02, 0.94, 0.07, True),
    (0.02, 0.02, 1.0, -0.07, False),
    (-0.02, -0.02, 1.0, 0.07, True),
)
# Crops in which the keypoints are further away than this, by the median, show somebody else; a
# share of the region's size.
_SOMEBODY_ELSE = 0.1


def in_other_crops(
    people: Sequence[Person], look: Callable[[Sequence[Region]], Look], count: int
) -> Search:
    """Look at people in other crops too, all at once.

    Args:
        people: Seen in one image.
        look: Says how to look at regions of the image.
        count: Other crops of each person, 0 to 7.

    Returns:
        The same people in their order, each with the crops in which the same person is seen, and
        the medians of the keypoints. Nobody whose left and right the landmark net confuses has
        other crops, in which it might confuse them again.

    Source:
        Our choice: the mirrored crop is usual where errors on Human3.6M are measured; the paper
        does not tell whether it used it. Medians, as of some crops the net takes left for right.
    """
    regions = {
        person: [_other(person.region, *how) for how in _DIFFERENCES[:count]]
        for person in people
        if not person.is_exchanged
    }
    wanted = [region for some in regions.values() for region in some]
    if not wanted:
        return list(people)
    seen = {found.region: found for found in (yield look(wanted))}
    return [
        _with(person, [seen[region] for region in regions.get(person, ()) if region in seen])
        for person in people
    ]


def _other(
    region: Region, right: float, down: float, scale: float, angle: float, is_mirrored: bool
) -> Region:
    """Return a region that differs from another."""
    u, v = region.centre
    return Region(
        (u + right * region.size, v + down * region.size),
        scale * region.size,
        region.angle + angle,
        is_mirrored,
    )


def _with(person: Person, others: Sequence[Person]) -> Person:
    """Return a person with those of other crops that show the same one."""
    farthest = _SOMEBODY_ELSE * person.region.size
    same = [other for other in others if _distance(person, other) < farthest]
    keypoints = np.median([each.keypoints for each in (person, *same)], axis=0)
    return replace(person, keypoints=keypoints.astype(np.float32), others=same)


def _distance(person: Person, other: Person) -> float:
    """Return the median distance of the keypoints, image pixels."""
    return float(np.median(np.linalg.norm(person.keypoints - other.keypoints, axis=1)))
