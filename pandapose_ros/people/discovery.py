"""From rough regions, of the detector or of an image long ago, to regions that fit people.

If somebody raises the arms, or the head is hard to see, the detector may take the feet for the
head. The landmark net then invents a pose that is upright in the crop, but it also estimates how
the person is rotated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pandapose_ros.people.landmarks import Look, Person, Search
from pandapose_ros.people.region import Region, is_same_place

_Look = Callable[[Sequence[Region]], Look]

_QUARTERS = 4
# Probability of being upright below which the other orientations are looked at, too.
_SURE = 0.95
_LEAST = 1e-4
# A crop that is rotated by less is like later ones.
_SETTLED_TURN = 0.35  # rad


def discover(regions: Sequence[Region], look: _Look, *, may_be_turned: bool = True) -> Search:
    """Look at detected people twice, and again at those whose region does not fit.

    Args:
        regions: The detector's.
        look: Says how to look at regions.
        may_be_turned: Whether the detector may have taken the feet for the head.

    Returns:
        The people found.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204) look at the detector's region once. Our
        choice: twice, as the region of the landmarks fits better, and there may be no next image.
    """
    rough = yield look(regions)
    if may_be_turned:
        rough = yield from turned_right(rough, look, _SURE)
    people = yield look([person.next_region for person in rough])
    return (yield from settled(people, look))


def settled(people: Sequence[Person], look: _Look) -> Search:
    """Look once more at people whose region was not about the right one.

    At the edge of a crop, the landmark net is as confident as elsewhere, but wrong.

    Args:
        people: Seen in one image.
        look: Says how to look at regions of it.

    Returns:
        The people found, in their order.
    """
    unsettled = [person.next_region for person in people if not _is_settled(person)]
    if not unsettled:
        return list(people)
    again = {person.region: person for person in (yield look(unsettled))}
    seen = []
    for person in people:
        if _is_settled(person):
            seen.append(person)
        elif (new := again.get(person.next_region)) is not None:
            seen.append(replace(new, turned_from=person.turned_from))
    return seen


def turned_right(people: Sequence[Person], look: _Look, sure: float) -> Search:
    """Look at people who may be rotated in rotated crops too, and keep the likeliest result.

    Args:
        people: Seen in one image.
        look: Says how to look at regions of it.
        sure: Probability of being upright from which a person is taken to be so, [0, 1].

    Returns:
        The same people in their order; those who were rotated, seen in a rotated region.
    """
    seen = {i: {0: person} for i, person in enumerate(people) if person.turns[0] < sure}
    if not seen:
        return list(people)
    owners = {
        replace(people[i].region, angle=people[i].region.angle + quarters * np.pi / 2): (
            i,
            quarters,
        )
        for i in seen
        for quarters in range(1, _QUARTERS)
    }
    for person in (yield look(list(owners))):
        i, quarters = owners[person.region]
        seen[i][quarters] = person
    return [_most_upright(seen[i]) if i in seen else person for i, person in enumerate(people)]


def _most_upright(crops: dict[int, Person]) -> Person:
    """Choose among rotated crops of one person by the rotations that all of them estimate."""
    evidence = dict.fromkeys(crops, 0.0)
    for quarters in crops:
        for turned, person in crops.items():
            said = person.turns[(quarters - turned) % _QUARTERS]
            evidence[quarters] += float(np.log(np.maximum(said, _LEAST)))
    return crops[max(evidence, key=evidence.__getitem__)]


def _is_settled(person: Person) -> bool:
    """Return whether the landmarks give about the region that was looked at."""
    turn = person.next_region.angle - person.region.angle
    is_turned = abs(np.angle(np.exp(1j * turn))) > _SETTLED_TURN
    return not is_turned and is_same_place(person.region, person.next_region)
