"""Who is who from image to image, and where those are who are out of sight for a moment."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.association import assign, association_cost
from pandapose_ros.people.region import Region
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState

Array = NDArray[np.floating]

# How many of the last images tell how fast a person moves, and what they must span [s].
_HISTORY = 10
_LEAST_IMAGES = 3
_LEAST_SPAN = 0.08
# A gap between images after which nobody is taken for the same person [s].
_LONGEST_GAP = 10.0
# Between images without stamps, or with stamps that stand still [s].
_FRAME = 1 / 30
# How the errors of a prediction grow [m/s]: of the root, of a joint about it.
_ROOT_DRIFT = 0.5
_JOINT_DRIFT = 0.8


class FrameClock:
    """Tell the time of a camera's images, which goes on even if their stamps do not."""

    def __init__(self) -> None:
        self._stamp: float | None = None
        self._time = 0.0

    def tick(self, stamp: float | None) -> float:
        """Return the time of the next image in seconds, greater than that of the last.

        Args:
            stamp: Of the image, seconds; None, or one that is not after the last: a thirtieth of
                a second after it.
        """
        step = 0.0 if stamp is None or self._stamp is None else stamp - self._stamp
        self._time += step if step > 0 else _FRAME
        self._stamp = stamp
        return self._time


@dataclass(frozen=True, eq=False)
class Sighting:
    """Hold somebody seen in an image, not yet known as anybody.

    Attributes:
        pose: Pixels are those of the ideal pinhole.
        next_region: Where to look in the next image, image pixels.
    """

    pose: Pose
    next_region: Region


@dataclass(frozen=True)
class _Place:
    """Where a person was at some time."""

    time: float
    centre: Array
    root: Array


@dataclass(eq=False)
class _Track:
    """What is known of one person: since when, and how long that was in the last pose."""

    id: int
    last: Sighting
    since: float
    age: float = 0.0
    places: deque[_Place] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    def see(self, sighting: Sighting, now: float) -> None:
        """Take in where the person is now."""
        self.last = sighting
        root = sighting.pose.root
        centre = np.asarray(sighting.next_region.centre)
        self.places.append(_Place(now, centre, np.full(3, np.nan) if root is None else root))

    def gap(self, now: float) -> float:
        """Return the time since the person was seen."""
        return now - self.places[-1].time

    def region(self, now: float) -> Region:
        """Return where the person should be; where last seen, if that was in the last image."""
        region = self.last.next_region
        centre = np.asarray(region.centre) + self._velocity("centre") * self.gap(now)
        return replace(region, centre=(float(centre[0]), float(centre[1])))

    def predict(self, now: float, image_size: tuple[int, int]) -> Pose:
        """Move the person on as fast as before, the joints held."""
        gap, pose = self.gap(now), self.last.pose
        shift = self._velocity("centre") * gap
        root = None if pose.root is None else pose.root + self._velocity("root") * gap
        grown = np.eye(3) * (_ROOT_DRIFT * gap) ** 2
        return replace(
            pose,
            root=root,
            root_covariance=None if pose.root_covariance is None else pose.root_covariance + grown,
            keypoints=(pose.keypoints + shift).astype(np.float32),
            box_xyxy=_inside(pose.box_xyxy + np.tile(shift, 2), image_size),
        )

    def lost(self) -> Pose:
        """Return what is left of the person, as old as last told."""
        return lost_pose(replace(self.last.pose, age=self.age))

    def _velocity(self, what: str) -> Array:
        """Fit a straight line to the last places; zero where there are too few."""
        times = np.array([place.time for place in self.places])
        values = np.stack([getattr(place, what) for place in self.places])
        still = np.zeros(values.shape[1])
        if len(times) < _LEAST_IMAGES or np.ptp(times) < _LEAST_SPAN:
            return still
        centred = times - times.mean()
        slope = centred @ values / (centred @ centred)
        return slope if np.isfinite(slope).all() else still


class Tracks:
    """Follow the people of one camera.

    Who is not seen in an image is predicted for `config.prediction_time`, then lost; who is seen
    again before that keeps the number.

    Source:
        Our choice: the paper is about single images.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        """Start with nobody.

        Args:
            numbers: Gives the ids, each one once.
        """
        self._numbers = numbers
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: list[_Track] = []
        self._now = 0.0
        self._image_size = (0, 0)

    def regions(self, now: float) -> list[Region]:
        """Return where to look for those who are followed, those seen last first.

        Args:
            now: Stamp of the image, seconds.
        """
        tracks = sorted(self._tracks, key=lambda track: track.gap(self._now) > 0)
        return [
            track.region(now) if track.gap(self._now) > 0 else track.last.next_region
            for track in tracks
        ]

    def update(
        self,
        sightings: Sequence[Sighting],
        now: float,
        image_size: tuple[int, int],
        config: EstimatorConfig,
    ) -> list[Pose]:
        """Name the people of the next image.

        Args:
            sightings: Everybody seen in it, each once.
            now: Stamp of the image, seconds.
            image_size: (width, height), pixels. Nobody is followed into another size.
            config: prediction_time, max_people and tracking count here.

        Returns:
            At most `max_people` poses that are NEW, TRACKED or PREDICTED, longest followed first,
            then those LOST since the last image, their joints NaN. Without tracking everybody is
            of state OFF, with an id of no meaning.
        """
        if not config.tracking:
            self.reset()
            return [replace(s.pose, id=next(self._numbers)) for s in sightings]
        lost = self._start_anew_if_due(now, image_size)
        seen = self._associate(sightings, now)
        tracked, predicted = [], []
        for track in list(self._tracks):
            if track in seen:
                tracked.append(self._tracked(track, sightings[seen[track]], now))
            elif track.gap(now) < config.prediction_time and len(track.places) > 1:
                predicted.append(self._predicted(track, now, config.prediction_time))
            else:
                self._tracks.remove(track)
                lost.append(track.lost())
        known = set(seen.values())
        tracked += [self._new(s, now) for i, s in enumerate(sightings) if i not in known]
        self._now = now
        room = max(config.max_people - len(tracked), 0)
        for pose in predicted[room:]:
            self._tracks = [track for track in self._tracks if track.id != pose.id]
            lost.append(lost_pose(pose))
        return sorted(tracked + predicted[:room], key=lambda pose: pose.id) + lost

    def _start_anew_if_due(self, now: float, image_size: tuple[int, int]) -> list[Pose]:
        """Forget everybody after a long gap or at another image size; return who is lost."""
        lost = []
        if image_size != self._image_size or now - self._now > _LONGEST_GAP:
            lost = [track.lost() for track in self._tracks]
            self.reset()
        self._image_size = image_size
        return lost

    def _associate(self, sightings: Sequence[Sighting], now: float) -> dict[_Track, int]:
        """Find which sighting is whose."""
        costs = np.full((len(self._tracks), len(sightings)), np.inf)
        for row, track in enumerate(self._tracks):
            expected, size = track.predict(now, self._image_size), track.last.next_region.size
            for column, sighting in enumerate(sightings):
                costs[row, column] = association_cost(
                    expected, size, sighting.pose, sighting.next_region.size, track.gap(now)
                )
        return {self._tracks[row]: column for row, column in assign(costs)}

    def _new(self, sighting: Sighting, now: float) -> Pose:
        """Begin to follow somebody."""
        pose = replace(sighting.pose, id=next(self._numbers), state=TrackState.NEW)
        track = _Track(pose.id, Sighting(pose, sighting.next_region), since=now)
        track.see(track.last, now)
        self._tracks.append(track)
        return pose

    def _tracked(self, track: _Track, sighting: Sighting, now: float) -> Pose:
        """Go on following somebody who is seen."""
        track.age = now - track.since
        pose = replace(sighting.pose, id=track.id, state=TrackState.TRACKED, age=track.age)
        track.see(Sighting(pose, sighting.next_region), now)
        return pose

    def _predicted(self, track: _Track, now: float, longest: float) -> Pose:
        """Say where somebody should be who is not seen; the longer ago, the less sure."""
        pose, share = track.predict(now, self._image_size), 1 - track.gap(now) / longest
        track.age = now - track.since
        return replace(
            pose,
            state=TrackState.PREDICTED,
            age=track.age,
            score=pose.score * share,
            joint_scores=pose.joint_scores * np.float32(share),
            anchors=_no_votes(pose),
            depth=None,
        )


def lost_pose(pose: Pose) -> Pose:
    """Return what is left of somebody who is gone: the id, and nothing known (NaN)."""
    return replace(
        pose,
        state=TrackState.LOST,
        joints=np.full_like(pose.joints, np.nan),
        joint_covariances=None,
        root=None,
        root_covariance=None,
        root_source=RootSource.NONE,
        joint_scores=np.zeros_like(pose.joint_scores),
        keypoints=np.full_like(pose.keypoints, np.nan),
        box_xyxy=np.full_like(pose.box_xyxy, np.nan),
        score=0.0,
        anchors=_no_votes(pose),
        depth=None,
    )


def _no_votes(pose: Pose) -> AnchorVotes:
    """Return no anchors, for a pose that is not estimated from any."""
    votes = pose.anchors
    return AnchorVotes(votes.positions[:0], votes.weights[:0], votes.kinds[:0], votes.owners[:0])


def _inside(box_xyxy: Array, image_size: tuple[int, int]) -> Array:
    """Clip a box to the image."""
    limit = np.tile(np.maximum(np.asarray(image_size) - 1, 0), 2)
    return np.clip(box_xyxy, 0, limit).astype(np.float32)
