"""More than one crop of each person, so that what depends on the crop by chance averages out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from pandapose_ros.people.landmarks import Look, Person, Search
from pandapose_ros.people.region import Region
from pandapose_ros.people.sides import known_order

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
    people: Sequence[Person],
    look: Callable[[Sequence[Region]], Look],
    count: int,
    *,
    followed: Collection[Person] = (),
) -> Search:
    """Look at people in other crops too, all at once.

    Args:
        people: Seen in one image.
        look: Says how to look at regions of the image.
        count: Other crops of each person, 0 to 7.
        followed: Those who were followed here: which of their sides is left stays as it is.

    Returns:
        The same people in their order, each with those crops in which the same person is seen
        with the same sides left, and the medians of the keypoints of these. If more crops agree
        about the sides than with the first crop, and the person is new, those count instead of
        the first. Nobody whose sides the landmark net confuses for a moment has other crops.

    Source:
        Our choice: a mirrored crop is usual where errors on Human3.6M are measured; the paper
        does not tell whether it used one.
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
        _joined(
            person,
            [seen[region] for region in regions.get(person, ()) if region in seen],
            are_sides_known=person in followed,
        )
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


def _joined(person: Person, others: Sequence[Person], *, are_sides_known: bool) -> Person:
    """Return a person with the crops that agree about who is seen and which side is left."""
    size = person.region.size
    straight = tuple(range(len(person.keypoints)))
    groups = {straight: [person]}
    for other in others:
        order = known_order(person.keypoints, other.keypoints, size)
        distances = np.linalg.norm(person.keypoints - other.keypoints[order], axis=1)
        if np.median(distances) < _SOMEBODY_ELSE * size:
            groups.setdefault(tuple(order), []).append(other)
    crops = max(groups.values(), key=len)  # of as many the first crop's
    first = next((crop for crop in crops if not crop.region.is_mirrored), None)
    if are_sides_known or first is None:
        first, crops = person, groups[straight]
    keypoints = np.median([crop.keypoints for crop in crops], axis=0)
    return replace(
        first,
        next_region=person.next_region,
        turned_from=person.turned_from,
        keypoints=keypoints.astype(np.float32),
        others=[crop for crop in crops if crop is not first],
    )
