"""Which of the people seen in an image are one body seen twice, or mixed from several."""

from collections.abc import Sequence

import numpy as np

from pandapose_ros.people.landmarks import Person
from pandapose_ros.people.region import Region
from pandapose_ros.skeleton import H36M_17

# Share of a region's size (some 15 cm). More would take two for one who pass each other.
_SAME_KEYPOINTS = 0.06
# Share of the larger region's size (some 8 cm): no two heads that are seen are so close.
_SAME_HEAD = 0.03
_HEAD = [H36M_17.joint_names.index(name) for name in ("nose", "head")]
# What leaves a newcomer room beside others: the turn, and shares of keypoints in others' boxes. Of
# two who stand side by side and touch a tenth of one's and half of the other's are.
_UPRIGHT = 0.8  # rad
_SHARED = 0.35
_WITHIN = 0.8
_NEAR = 0.5  # of the region's size
_VISIBLE = 0.5
_FEW = 4


def without_doubles(people: Sequence[Person]) -> list[Person]:
    """Leave out people who are on the same body as somebody earlier in the list.

    Args:
        people: Seen in one image.

    Returns:
        The others, in their order.
    """
    kept: list[Person] = []
    for person in people:
        if not any(_is_same_body(person, other) for other in kept):
            kept.append(person)
    return kept


def apart(
    newcomers: Sequence[Person], people: Sequence[Person], unclear: Sequence[Region]
) -> list[Person]:
    """Leave out newcomers who may be somebody else's limbs, or a mix of several people.

    Where the detector is unsure, it may see one body in two people, often lying across them.

    Args:
        newcomers: Seen in one image, each once.
        people: All others seen in it.
        unclear: Regions of tracked people, if not all of them are seen: what is seen there may be
            a mix of one who is seen and one who is not.

    Returns:
        Those who are upright and away from these regions, and whose keypoints are neither in the
        box of somebody else nor around that person, in their order.
    """
    kept: list[Person] = []
    for new in newcomers:
        turn = abs(np.angle(np.exp(1j * new.next_region.angle)))
        has_room = not any(_share_body(new, other) for other in [*people, *kept])
        if turn < _UPRIGHT and has_room and not any(_is_near(new, place) for place in unclear):
            kept.append(new)
    return kept


def _share_body(new: Person, other: Person) -> bool:
    """Return whether a newcomer is partly within somebody else, or nearly encloses that person."""
    return _share_within(new, other) > _SHARED or _share_within(other, new) > _WITHIN


def _is_near(person: Person, place: Region) -> bool:
    """Return whether somebody is where a region is."""
    distance = np.hypot(*np.subtract(person.next_region.centre, place.centre))
    return bool(distance < _NEAR * place.size)


def _share_within(person: Person, other: Person) -> float:
    """Return the share of somebody's visible keypoints that are in another's box."""
    keypoints = person.keypoints[person.keypoint_scores >= _VISIBLE]
    if len(keypoints) < _FEW:
        keypoints = person.keypoints
    low, high = other.box_xyxy[:2], other.box_xyxy[2:]
    return float(((low <= keypoints) & (keypoints <= high)).all(axis=1).mean())


def _is_same_body(first: Person, second: Person) -> bool:
    """Return whether two poses are of one body, perhaps with left and right exchanged."""
    if _is_same_head(first, second):
        return True
    poses = (second.keypoints, second.keypoints[list(H36M_17.mirror)])
    distances = [np.linalg.norm(first.keypoints - pose, axis=-1) for pose in poses]
    size = min(first.next_region.size, second.next_region.size)
    # The median, as hidden limbs of the same body may come out differently.
    return bool(min(np.median(distance) for distance in distances) < _SAME_KEYPOINTS * size)


def _is_same_head(first: Person, second: Person) -> bool:
    """Return whether two poses share a head that both see.

    If somebody's legs are outside the image, the landmark net may also see a child, all of it
    where the head and shoulders are.
    """
    if min(person.keypoint_scores[_HEAD].min() for person in (first, second)) < _VISIBLE:
        return False
    apart = np.linalg.norm(first.keypoints[_HEAD] - second.keypoints[_HEAD], axis=-1).max()
    return bool(apart < _SAME_HEAD * max(first.next_region.size, second.next_region.size))
