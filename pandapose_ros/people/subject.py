"""Which of the people found in an image is the one whose true joints are known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.landmarks import Person

Array = NDArray[np.floating]

# If others may be in the image, a person found further away than this is one of them.
_SAME_PERSON = 0.5  # of the person's height, or width if that is more


def find_subject(
    people: Sequence[Person], true_keypoints: Array, *, with_others: bool
) -> Person | None:
    """Choose the person who is nearest to the true keypoints.

    Args:
        people: Found in an image.
        true_keypoints: [17, 2], pixels of the image; NaN where unknown.
        with_others: Whether others may be in the image. If not, the nearest person counts, however
            far away, as a bad estimate.

    Returns:
        None if nobody was found, or others only.
    """
    if not people:
        return None
    distances = [
        np.nanmean(np.linalg.norm(person.keypoints - true_keypoints, axis=1)) for person in people
    ]
    nearest = int(np.argmin(distances))
    low, high = np.nanmin(true_keypoints, axis=0), np.nanmax(true_keypoints, axis=0)
    if with_others and distances[nearest] > _SAME_PERSON * np.max(high - low):
        return None
    return people[nearest]
