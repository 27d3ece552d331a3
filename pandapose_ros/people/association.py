"""Which of the people seen in an image are which of the tracked ones."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from pandapose_ros.people.clothes import difference_of_clothes
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# What costs 1: a difference in the image as a share of a region's size (about 2.5 m for an adult),
# in the shape of the body in metres, in distance from the camera as a ratio's logarithm, in the
# colours of the clothes in CIELAB's unit; and a time unseen, in seconds, as people who were in the
# last image are likelier in this one. That part is limited, or nobody who has been away would be
# recognised.
_FAR_IN_IMAGE = 0.1
_FAR_IN_SHAPE = 0.2
_FAR_IN_DEPTH = 0.15
_FAR_IN_CLOTHES = 12.0
_LONG_UNSEEN = 0.25
_UNSEEN_LIMIT = 2.0
# The same person is no further away in the image than this, and this more for each second not
# seen: twice as fast as people walk.
_REACH = 0.15
_REACH_PER_SECOND = 1.2
_REACH_LIMIT = 0.6
_DEPTH_LIMIT = 0.5
_SURE = 0.3
# The cost of one person leaving and another one coming in the same image.
_APART = 6.0


def association_cost(
    expected: Pose,
    expected_size: float,
    seen: Pose,
    seen_size: float,
    gap: float,
    unseen: float = 0.0,
    doubt: float = 0.0,
) -> float:
    """Return how unlike two poses are; the lower, the likelier they are the same person's.

    The cost adds up the differences of the keypoints in the image, of the shape of the body in 3D
    (its direction distinguishes two people who pass each other) and of the distance from the
    camera, and the time for which the tracked person has not been seen.

    Args:
        expected: A tracked person, where they should be by now.
        expected_size: Side of that person's region, image pixels.
        seen: A person seen, in the same image.
        seen_size: Side of that person's region, image pixels.
        gap: Seconds since the tracked person was last seen.
        unseen: The part of these seconds in which there were images; 0: seen in the last one.
        doubt: Seconds for which the track may have been on somebody else nearby; 0: none.

    Returns:
        At least 0; infinite if they cannot be the same person.
    """
    size = (expected_size + seen_size) / 2
    distances = np.linalg.norm(expected.keypoints - seen.keypoints, axis=-1) / size
    sure = np.minimum(expected.joint_scores, seen.joint_scores) >= _SURE
    known = np.isfinite(distances)
    used = known & sure if (known & sure).sum() >= 4 else known
    if not used.any():
        return np.inf
    in_image = float(distances[used].mean())
    # The landmark net may have swapped left and right until now: it is the same body all the same.
    exchanged = expected.keypoints[list(H36M_17.mirror)] - seen.keypoints
    nearest = min(in_image, float(np.linalg.norm(exchanged, axis=-1)[used].mean()) / size)
    shape = np.linalg.norm(expected.joints - seen.joints, axis=-1)
    in_shape = float(np.mean(shape[np.isfinite(shape)])) if np.isfinite(shape).any() else 0.0
    in_depth = depth_difference(expected, expected_size, seen, seen_size)
    reach = min(_REACH + _REACH_PER_SECOND * max(gap, doubt), _REACH_LIMIT)
    if nearest > reach or in_depth > _DEPTH_LIMIT:
        return np.inf
    unlike = in_image / _FAR_IN_IMAGE + in_shape / _FAR_IN_SHAPE + in_depth / _FAR_IN_DEPTH
    return unlike + min(unseen / _LONG_UNSEEN, _UNSEEN_LIMIT)


def cost_of_clothes(followed: Array | None, seen: Array | None) -> float:
    """Return how unlike the clothes of two people are, to be added to `association_cost`.

    Args:
        followed: Colours [2, 3] of a tracked person, by `colours_of_clothes`; None: not seen.
        seen: The same of a person seen.

    Returns:
        At least 0; 0 if they are unknown.
    """
    if followed is None or seen is None:
        return 0.0
    difference = difference_of_clothes(followed, seen)
    return difference / _FAR_IN_CLOTHES if np.isfinite(difference) else 0.0


def depth_difference(expected: Pose, expected_size: float, seen: Pose, seen_size: float) -> float:
    """Compare distances from the camera: the roots', or the sizes in the image without them.

    Roots of different sources cannot be compared: a child is much nearer by a depth image than by
    the size of the body.
    """
    by_size = float(abs(np.log(seen_size / expected_size)))
    if expected.root is None or seen.root is None or expected.root_source is not seen.root_source:
        return by_size
    if min(expected.root[2], seen.root[2]) <= 0:
        return by_size
    return float(abs(np.log(seen.root[2] / expected.root[2])))


def assign(costs: Array) -> list[tuple[int, int]]:
    """Pair rows with columns so that the total cost is lowest.

    If two people pass each other, taking the likeliest pair first may force a wrong second pair.
    People too far apart to be confused do not affect each other.

    Args:
        costs: [N, M]; entries that are not finite are never paired.

    Returns:
        (row, column) pairs, in the order of the rows; each row and each column at most once.
    """
    possible = np.isfinite(costs)
    charged = np.where(possible, costs, _APART)
    pairs = []
    for near_rows, near_columns in _groups(possible):
        rows, columns = linear_sum_assignment(charged[np.ix_(near_rows, near_columns)])
        pairs += zip(near_rows[rows].tolist(), near_columns[columns].tolist(), strict=True)
    return sorted((row, column) for row, column in pairs if possible[row, column])


def _groups(possible: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split rows and columns into groups between which no pair is possible."""
    count = len(possible)
    if possible.all():  # as with one person; saves the search for groups
        return [(np.arange(count), np.arange(possible.shape[1]))]
    edges = np.zeros((sum(possible.shape),) * 2, bool)
    edges[:count, count:] = possible
    number, groups = connected_components(csr_array(edges), directed=False)
    return [
        (np.flatnonzero(groups[:count] == group), np.flatnonzero(groups[count:] == group))
        for group in range(number)
    ]
