"""Which of the people seen in an image are which of those that were followed."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from pandapose_ros.people.clothes import difference_of_clothes
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# What counts as far: in the image as a share of a region's size (about 2.5 m for an adult), in
# the shape of the body in metres, in distance from the camera as a ratio's logarithm, in the
# colours of the clothes in CIELAB's unit; and what counts as long unseen, in seconds, as who was
# there in the last image is likelier in this one: that much likelier at most, or nobody who has
# been away would be known again.
_FAR_IN_IMAGE = 0.1
_FAR_IN_SHAPE = 0.2
_FAR_IN_DEPTH = 0.15
_FAR_IN_CLOTHES = 12.0
_LONG_UNSEEN = 0.25
_UNSEEN_LIMIT = 2.0
# Nobody is the same person further off in the image than this, and this more for each second
# not seen: twice as fast as people walk.
_REACH = 0.15
_REACH_PER_SECOND = 1.2
_REACH_LIMIT = 0.6
_DEPTH_LIMIT = 0.5
_SURE = 0.3
# What it costs that one is gone and another has come in the same image.
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
    """Tell how unlike two poses are, the lower the more likely one person's.

    By where the keypoints are in the image, by the shape of the body in 3D (which way it faces
    tells two people apart who pass each other), by the distance from the camera, and by how long
    the one followed has not been seen.

    Args:
        expected: Somebody followed, where that person should be by now.
        expected_size: Side of that person's region, image pixels.
        seen: Somebody seen, in the same image.
        seen_size: Side of that one's region, image pixels.
        gap: Seconds since the one followed was last seen.
        unseen: Seconds of these in which there were images, without that one; 0: seen in the last.
        doubt: Seconds for which that one may have been somebody else who was near; 0: none.

    Returns:
        At least 0; infinite where they cannot be one person.
    """
    size = (expected_size + seen_size) / 2
    distances = np.linalg.norm(expected.keypoints - seen.keypoints, axis=-1) / size
    sure = np.minimum(expected.joint_scores, seen.joint_scores) >= _SURE
    known = np.isfinite(distances)
    used = known & sure if (known & sure).sum() >= 4 else known
    if not used.any():
        return np.inf
    in_image = float(distances[used].mean())
    # The landmark net may have taken left for right until now: the same body, none the less.
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
    """Tell how unlike the clothes of two people are, to be added to `association_cost`.

    Args:
        followed: Colours [2, 3] of somebody followed, as of `colours_of_clothes`; None: not seen.
        seen: The same of somebody seen.

    Returns:
        At least 0; 0 where they are not known.
    """
    if followed is None or seen is None:
        return 0.0
    difference = difference_of_clothes(followed, seen)
    return difference / _FAR_IN_CLOTHES if np.isfinite(difference) else 0.0


def depth_difference(expected: Pose, expected_size: float, seen: Pose, seen_size: float) -> float:
    """Compare distances from the camera: the roots', or the sizes in the image without them.

    Roots of different sources do not compare: a child is much nearer by a depth image than by the
    size of the body.
    """
    by_size = float(abs(np.log(seen_size / expected_size)))
    if expected.root is None or seen.root is None or expected.root_source is not seen.root_source:
        return by_size
    if min(expected.root[2], seen.root[2]) <= 0:
        return by_size
    return float(abs(np.log(seen.root[2] / expected.root[2])))


def assign(costs: Array) -> list[tuple[int, int]]:
    """Pair rows with columns so that all pairs together cost least.

    Of two who pass each other, the likeliest pair by itself may leave the other two to each other.
    Those who are too far apart to be taken for each other do not come into it.

    Args:
        costs: [N, M]; what is not finite is never paired.

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
    if possible.all():  # as with one person, and at the least cost
        return [(np.arange(count), np.arange(possible.shape[1]))]
    edges = np.zeros((sum(possible.shape),) * 2, bool)
    edges[:count, count:] = possible
    number, groups = connected_components(csr_array(edges), directed=False)
    return [
        (np.flatnonzero(groups[:count] == group), np.flatnonzero(groups[count:] == group))
        for group in range(number)
    ]
