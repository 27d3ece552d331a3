"""Identities of people from image to image, and prediction of those briefly out of sight."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.association import assign, association_cost, cost_of_clothes
from pandapose_ros.people.lost_people import LostPeople, may_be_same
from pandapose_ros.people.region import Region
from pandapose_ros.people.sides import Followed
from pandapose_ros.people.track import Sighting, Track, no_votes
from pandapose_ros.pose import Pose, TrackState

Array = NDArray[np.floating]

# After a longer gap between images, nobody is taken for the same person [s].
_LONGEST_GAP = 10.0
# Share of a region's size within which two people may be confused.
_NEAR = 0.25
# Share by which the intrinsics may change from image to image, as with the focus, and still count
# as the same: a person's position is not known more precisely.
_SAME_LENS = 0.02
# Between images without stamps, or with stamps that stand still [s].
_FRAME = 1 / 30
# Time step for an image that comes after a later one, and by how much it may be earlier: images
# stamped further back are of another recording, or of the same one restarted [s].
_LEAST_STEP = 0.001
_OUT_OF_ORDER = 0.5


class FrameClock:
    """Give a camera's images times that increase even if their stamps do not."""

    def __init__(self) -> None:
        # The latest stamp, and the time that was given for it.
        self._stamp: float | None = None
        self._stamp_time = 0.0
        self._time = 0.0

    def tick(self, stamp: float | None) -> float:
        """Return the time of the next image in seconds, greater than that of the last.

        Args:
            stamp: Of the image, seconds. If it is None, equal to the latest, or more than half a
                second before it, the time is 1/30 s after that of the last image. If it is less
                than that before it, the image is out of order, and time hardly advances.
        """
        if stamp is None:  # the next image may have one again
            self._time += _FRAME
            return self._time
        step = 0.0 if self._stamp is None else stamp - self._stamp
        if -_OUT_OF_ORDER <= step < 0:
            self._time += _LEAST_STEP
            return self._time
        due = self._stamp_time + step if step > 0 else self._time + _FRAME
        self._time = max(due, self._time + _LEAST_STEP)
        self._stamp, self._stamp_time = stamp, self._time
        return self._time


class Tracks:
    """Follow the people of one camera.

    People who are not seen in an image are predicted for `config.prediction_time`, then lost.
    Those seen again before that, or within `config.memory_time`, keep their numbers.

    Source:
        Our choice: the paper is about single images.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        """Start with nobody.

        Args:
            numbers: Yields the ids, each only once.
        """
        self._numbers = numbers
        self._K: Array | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: list[Track] = []
        self._lost_people = LostPeople()
        self._now = 0.0
        self._image_size = (0, 0)

    def follow_lens(self, K: Array | None) -> bool:
        """Forget how fast and how far away people are if the intrinsics change.

        As with a new calibration, or with the first one. People keep their numbers.

        Args:
            K: Intrinsics [3, 3] of the next image, pixels; None: unknown.

        Returns:
            Whether they have changed.
        """
        before, self._K = self._K, None if K is None else np.array(K)
        if before is None or K is None:
            has_changed = before is not K
        else:
            has_changed = not np.allclose(K, before, rtol=_SAME_LENS, atol=0)
        for track in self._tracks:
            track.has_other_lens |= has_changed
        return has_changed

    def followed(self, now: float) -> list[Followed]:
        """Return where to look for those who are followed, those seen last first.

        Args:
            now: Stamp of the image, seconds.
        """
        tracks = sorted(self._tracks, key=lambda track: track.gap(self._now) > 0)
        return [
            Followed(
                self._looked_at(track, now),
                track.last.pose.keypoints if track.knows_sides(now) else None,
            )
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
            config: prediction_time, memory_time, max_people and tracking count here.

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
        poses, unseen = [], []
        for track in self._tracks:
            if track in seen:
                poses.append(self._tracked(track, sightings[seen[track]], now))
            else:
                unseen.append(track)
        known = set(seen.values())
        newcomers = [s for i, s in enumerate(sightings) if i not in known]
        poses += self._welcome(newcomers, now, config.memory_time)
        for track in unseen:
            may_return = track.gap(now) < config.prediction_time and track.age > 0
            if may_return and len(poses) < config.max_people:
                poses.append(self._predicted(track, now, config.prediction_time))
            else:
                self._tracks.remove(track)
                self._lost_people.remember(track)
                lost.append(track.lost())
        self._now = now
        return sorted(poses, key=lambda pose: pose.id) + lost

    def _start_anew_if_due(self, now: float, image_size: tuple[int, int]) -> list[Pose]:
        """Forget everybody after a long gap or at another image size; return those now lost."""
        lost = []
        if image_size != self._image_size or now - self._now > _LONGEST_GAP:
            lost = [track.lost() for track in self._tracks]
            self.reset()
        self._image_size = image_size
        return lost

    def _associate(self, sightings: Sequence[Sighting], now: float) -> dict[Track, int]:
        """Find the sighting of each track."""
        costs = np.full((len(self._tracks), len(sightings)), np.inf)
        doubts = self._doubts(now)
        for row, track in enumerate(self._tracks):
            expected = replace(track.predict(now, self._image_size), joints=track.shape)
            if track.has_other_lens:
                expected = replace(expected, root=None)  # sizes in the image still compare
            size = track.last.next_region.size
            for column, sighting in enumerate(sightings):
                costs[row, column] = association_cost(
                    expected,
                    size,
                    sighting.pose,
                    sighting.next_region.size,
                    track.gap(now),
                    track.gap(self._now),
                    doubts[row],
                ) + cost_of_clothes(track.clothes, sighting.clothes)
        regions = [self._looked_at(track, now) for track in self._tracks]
        for column, sighting in enumerate(sightings):
            if sighting.turned_from in regions:
                # Nobody else is seen there, though little is where it was.
                row = regions.index(sighting.turned_from)
                costs[row], costs[:, column] = np.inf, np.inf
                costs[row, column] = 0.0
        return dict(self._without_somebody_else(assign(costs), sightings, now))

    def _without_somebody_else(
        self, pairs: Sequence[tuple[int, int]], sightings: Sequence[Sighting], now: float
    ) -> Iterator[tuple[Track, int]]:
        """Drop pairs in which the body is somebody else's, such as one who has passed in front."""
        for row, column in pairs:
            track, sighting = self._tracks[row], sightings[column]
            if sighting.turned_from is None and track.is_somebody_else(sighting, now):
                before = track.gone_back()
                if not may_be_same(before, sighting, now):
                    self._tracks[row] = before
                    continue
                track.forget_clothes()  # the light has changed
            yield track, column

    def _looked_at(self, track: Track, now: float) -> Region:
        """Return the region in which a tracked person is looked for."""
        return track.region(now) if track.gap(self._now) > 0 else track.last.next_region

    def _doubts(self, now: float) -> list[float]:
        """Return for how long each track may have been on the body of an unseen person nearby.

        Two people who pass each other merge in the image for a moment, and the landmark net may
        stay with the wrong one.
        """
        regions = [track.region(now) for track in self._tracks]
        return [
            max(
                other.gap(now)
                for other, place in zip(self._tracks, regions, strict=True)
                if np.hypot(*np.subtract(place.centre, region.centre)) <= _NEAR * region.size
            )
            for region in regions
        ]

    def _welcome(self, newcomers: Sequence[Sighting], now: float, longest: float) -> list[Pose]:
        """Track newcomers: with their old ids if they were lost a short while ago."""
        self._lost_people.forget(now, longest)
        known = self._lost_people.recognise(newcomers, now)
        for track in known.values():
            track.come_back()
            self._tracks.append(track)
        return [
            self._tracked(known[number], newcomer, now)
            if number in known
            else self._new(newcomer, now)
            for number, newcomer in enumerate(newcomers)
        ]

    def _new(self, sighting: Sighting, now: float) -> Pose:
        """Start to track a person."""
        pose = replace(sighting.pose, id=next(self._numbers), state=TrackState.NEW)
        first = Sighting(pose, sighting.next_region, clothes=sighting.clothes)
        track = Track(pose.id, first, since=now)
        track.see(track.last, now)
        self._tracks.append(track)
        return pose

    def _tracked(self, track: Track, sighting: Sighting, now: float) -> Pose:
        """Continue the track of a person who is seen."""
        track.age = now - track.since
        pose = replace(sighting.pose, id=track.id, state=TrackState.TRACKED, age=track.age)
        track.see(replace(sighting, pose=pose), now)
        return pose

    def _predicted(self, track: Track, now: float, longest: float) -> Pose:
        """Predict a person who is not seen; the longer, the lower the scores."""
        pose, share = track.predict(now, self._image_size), 1 - track.gap(now) / longest
        track.age = now - track.since
        return replace(
            pose,
            state=TrackState.PREDICTED,
            age=track.age,
            score=pose.score * share,
            joint_scores=pose.joint_scores * np.float32(share),
            anchors=no_votes(pose),
            depth=None,
        )
