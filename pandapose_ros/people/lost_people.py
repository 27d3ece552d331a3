"""People who were lost a short while ago, and how they are recognised when they come back."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.association import assign, cost_of_clothes, depth_difference
from pandapose_ros.people.track import Sighting, Track
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

# Differences that cost 1: in the image as a share of a region's size (about 2.5 m for an adult),
# in the shape of the body in metres, in distance from the camera as a ratio's logarithm; and the
# cost of having turned round.
_FAR_IN_IMAGE = 0.8
_FAR_IN_SHAPE = 0.05
_FAR_IN_DEPTH = 0.2
_TURNED = 1.0
# Nobody comes back further away in the image than this, and this more for each second: twice as
# fast as people walk.
_REACH = 0.15
_REACH_PER_SECOND = 1.2
_DEPTH_LIMIT = 0.6
# At a higher cost, it is somebody else.
_SOMEBODY_ELSE = 5.0


class LostPeople:
    """Remember the people of one camera who were lost, to recognise them when they come back.

    Source:
        Our choice: the paper is about single images.
    """

    def __init__(self) -> None:
        """Start with nobody."""
        self._tracks: list[Track] = []

    def remember(self, track: Track) -> None:
        """Add a person who has just been lost."""
        self._tracks.append(track)

    def forget(self, now: float, longest: float) -> None:
        """Forget those who, by `now`, have not been seen for `longest` seconds."""
        self._tracks = [track for track in self._tracks if track.gap(now) < longest]

    def recognise(self, sightings: Sequence[Sighting], now: float) -> dict[int, Track]:
        """Find who of the people seen was lost before; those are no longer remembered.

        Args:
            sightings: People who are not tracked.
            now: Time of the image, seconds.

        Returns:
            The tracks of the people recognised, by the number of the sighting.
        """
        if not (self._tracks and sightings):
            return {}
        costs = np.array([[_cost(t, s, now) for s in sightings] for t in self._tracks])
        costs[costs > _SOMEBODY_ELSE] = np.inf
        known = {column: self._tracks[row] for row, column in assign(costs)}
        self._tracks = [track for track in self._tracks if track not in known.values()]
        return known


def may_be_same(track: Track, sighting: Sighting, now: float) -> bool:
    """Return whether a person seen may be one who was last seen some time ago.

    Args:
        track: Of the person seen before.
        sighting: Of the person seen now.
        now: Time of the image, seconds.
    """
    return _cost(track, sighting, now) <= _SOMEBODY_ELSE


def _cost(track: Track, sighting: Sighting, now: float) -> float:
    """Return how unlike a lost person and one seen are; infinite if they cannot be the same.

    By place, distance, shape and clothes. People may have turned round meanwhile.
    """
    last, size, seen = track.last, sighting.next_region.size, sighting.pose
    where = np.asarray(sighting.next_region.centre)
    # The person may have stopped, or walked on.
    places = (last.next_region, track.region(now))
    off = min(float(np.linalg.norm(where - place.centre)) for place in places) / size
    in_depth = depth_difference(last.pose, last.next_region.size, seen, size)
    reach = _REACH + _REACH_PER_SECOND * track.gap(now)
    if off > reach or in_depth > _DEPTH_LIMIT or track.shape is None:
        return np.inf
    in_shape = _distance(track.shape, seen.joints) / _FAR_IN_SHAPE
    turned = _distance(track.shape[list(H36M_17.mirror)], seen.joints) / _FAR_IN_SHAPE + _TURNED
    unlike = off / _FAR_IN_IMAGE + min(in_shape, turned) + in_depth / _FAR_IN_DEPTH
    return unlike + cost_of_clothes(track.clothes, sighting.clothes)


def _distance(one: Array, other: Array) -> float:
    """Return the mean distance of the joints [17, 3] that are known of both; 0 if none is."""
    distances = np.linalg.norm(one - other, axis=-1)
    known = np.isfinite(distances)
    return float(distances[known].mean()) if known.any() else 0.0
