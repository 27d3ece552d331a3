"""One person over time: where they were and should be, and how their body is shaped."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.clothes import difference_of_clothes
from pandapose_ros.people.region import Region
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState

Array = NDArray[np.floating]

# From how many of the last images velocity is computed, how many are needed, and their span [s].
_HISTORY = 10
_LEAST_IMAGES = 3
_LEAST_SPAN = 0.08
# For how long an unseen person is assumed to keep moving [s]: people stop, turn or leave.
_LONGEST_MOTION = 1.0
# Time over which the body shape, by which people are distinguished, is averaged [s].
_SHAPE_MEMORY = 1.0
# How long left and right are kept at most if the landmark net says otherwise [s].
_SIDES_MEMORY = 0.4
# How the errors of a prediction grow [m/s]: of the root, of a joint about it.
_ROOT_DRIFT = 0.5
_JOINT_DRIFT = 0.8
# Clothes that differ by more are somebody else's [CIELAB's unit], once they have been seen this
# often; and how long a body in other clothes may belong to the same track, as somebody passes in
# front [s].
_OTHER_CLOTHES = 12.0
_KNOWN_CLOTHES = 2
_LONGEST_DOUBT = 0.3


@dataclass(frozen=True, eq=False)
class Sighting:
    """Hold a person seen in an image, not yet identified.

    Attributes:
        pose: Pixels are those of the ideal pinhole.
        next_region: Where to look in the next image, image pixels.
        turned_from: The region of a tracked person, if they were upside down in it until now:
            keypoints and shape differ from before, but it is the same person.
        is_exchanged: Whether left and right differ from the landmark net's result.
        clothes: Their colours, by `colours_of_clothes`; None: not computed.
    """

    pose: Pose
    next_region: Region
    turned_from: Region | None = None
    is_exchanged: bool = False
    clothes: Array | None = None


@dataclass(frozen=True)
class _Place:
    """Where a person was at some time."""

    time: float
    centre: Array
    root: Array | None
    root_source: RootSource


@dataclass(frozen=True)
class _Before:
    """Where a person was before somebody in other clothes was seen there."""

    last: Sighting
    places: Sequence[_Place]


@dataclass(eq=False)
class Track:
    """What is known of one person.

    Attributes:
        id: Number.
        last: As last seen.
        since: Time of the first image.
        age: In the last pose returned, seconds.
        shape: [17, 3], mean of the joints in about the last second, metres.
        clothes: [2, 3], mean of the clothes' colours in that time; NaN or None: not seen yet.
        sightings: How many images these are the means of, so far.
        sides: For how much longer left and right were seen as they are now than exchanged,
            seconds, `_SIDES_MEMORY` at most.
        places: Where the person was in the last images.
        has_other_lens: Whether the intrinsics of these images no longer hold, so that what was
            measured with them cannot be compared with what is seen next.
        before: Where the person was before the tracked body wore other clothes; None if it wears
            the same.
    """

    id: int
    last: Sighting
    since: float
    age: float = 0.0
    shape: Array | None = None
    clothes: Array | None = None
    sightings: int = 0
    sides: float = 0.0
    places: deque[_Place] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    has_other_lens: bool = False
    before: _Before | None = None

    def see(self, sighting: Sighting, now: float) -> None:
        """Take in where the person is now."""
        joints = sighting.pose.joints
        gap = self.gap(now) if self.places else 0.0
        self.sides = min(self.sides + (-gap if sighting.is_exchanged else gap), _SIDES_MEMORY)
        if sighting.turned_from is not None:
            # What was known was wrong, and what is seen now is not accurate yet.
            self.shape, self.clothes, self.sightings, self.sides = None, None, 0, 0.0
            self.places.clear()
            sighting = replace(sighting, clothes=None)
        if self.has_other_lens:
            self.places.clear()
            self.has_other_lens = False
        self._doubt(sighting)
        # At first the mean of all, later of about the last second.
        share = min(max(gap / _SHAPE_MEMORY, 1 / (self.sightings + 1)), 1.0)
        if self.before is None:
            self.shape = _mean(self.shape, joints, share)
            if sighting.clothes is not None:
                self.clothes = _mean(self.clothes, sighting.clothes, share)
            self.sightings += 1
        self.last = sighting
        pose, centre = sighting.pose, np.asarray(sighting.next_region.centre)
        self.places.append(_Place(now, centre, pose.root, pose.root_source))

    def _doubt(self, sighting: Sighting) -> None:
        """Remember where the person was while somebody in other clothes is seen there."""
        difference = self._difference_of_clothes(sighting)
        is_unknown = not self.places or self.sightings < _KNOWN_CLOTHES
        if is_unknown or difference <= _OTHER_CLOTHES:
            self.before = None
        elif difference > _OTHER_CLOTHES and self.before is None:  # not NaN: unknown for now
            self.before = _Before(self.last, tuple(self.places))

    def is_somebody_else(self, sighting: Sighting, now: float) -> bool:
        """Return whether the tracked body has been somebody else's for some time."""
        # Not NaN: unknown in this image.
        if self.before is None or not self._difference_of_clothes(sighting) > _OTHER_CLOTHES:
            return False
        return now - self.before.places[-1].time > _LONGEST_DOUBT

    def gone_back(self) -> "Track":
        """Return the track as it was before the body wore other clothes."""
        if self.before is None:
            return self
        places = deque(self.before.places, maxlen=_HISTORY)
        return replace(self, last=self.before.last, places=places, before=None)

    def come_back(self) -> None:
        """Start tracking the person anew with what is seen next."""
        self.sightings, self.sides, self.before = 0, 0.0, None
        self.places.clear()

    def forget_clothes(self) -> None:
        """Take the clothes seen next as the person's, as when the light has changed."""
        self.clothes, self.before = None, None

    def _difference_of_clothes(self, sighting: Sighting) -> float:
        """Return how unlike the person's the clothes are, CIELAB's unit; NaN: not known."""
        if self.clothes is None or sighting.clothes is None:
            return np.nan
        return difference_of_clothes(self.clothes, sighting.clothes)

    def knows_sides(self, now: float) -> bool:
        """Return whether it is known which side is left, whatever the landmark net says."""
        return self.sides > self.gap(now)

    def gap(self, now: float) -> float:
        """Return the time since the person was seen."""
        return now - self.places[-1].time

    def region(self, now: float) -> Region:
        """Return where the person should be."""
        region = self.last.next_region
        centre = np.asarray(region.centre) + self._shift("centre", now)
        return replace(region, centre=(float(centre[0]), float(centre[1])))

    def predict(self, now: float, image_size: tuple[int, int]) -> Pose:
        """Move the person on at the last velocity, with joints fixed relative to the pelvis."""
        gap, pose = self.gap(now), self.last.pose
        shift = self._shift("centre", now)
        root = None if pose.root is None else pose.root + self._shift("root", now)
        at_root, about_root = pose.root_covariance, pose.joint_covariances
        if at_root is not None:
            at_root = at_root + np.eye(3) * (_ROOT_DRIFT * gap) ** 2
        if about_root is not None:
            # The first is the pelvis, which is the root.
            drifts = np.where(np.arange(len(about_root)) == 0, 0.0, _JOINT_DRIFT * gap)
            about_root = about_root + np.eye(3) * drifts[:, None, None] ** 2
        return replace(
            pose,
            root=root,
            root_covariance=at_root,
            joint_covariances=about_root,
            keypoints=(pose.keypoints + shift).astype(np.float32),
            box_xyxy=_inside(pose.box_xyxy + np.tile(shift, 2), image_size),
        )

    def lost(self) -> Pose:
        """Return the pose of the person when lost, with the age last returned."""
        return lost_pose(replace(self.last.pose, age=self.age))

    def _shift(self, what: str, now: float) -> Array:
        """Return how far the person has moved since last seen."""
        return self._velocity(what) * min(self.gap(now), _LONGEST_MOTION)

    def _velocity(self, what: str) -> Array:
        """Fit a straight line to the last places; zero if they are too few or cannot be used."""
        places = list(self.places)
        if what == "root":
            # A change from body size to depth image is a step, not a motion.
            sources = [place.root_source for place in places[::-1] if place.root is not None]
            source = max(sources, key=sources.count)
            places = [place for place in places if place.root_source is source]
        times = np.array([place.time for place in places])
        values = np.stack([getattr(place, what) for place in places])
        still = np.zeros(values.shape[1])
        if self.has_other_lens or len(times) < _LEAST_IMAGES or np.ptp(times) < _LEAST_SPAN:
            return still
        centred = times - times.mean()
        slope = centred @ values / (centred @ centred)
        return slope if np.isfinite(slope).all() else still


def _mean(before: Array | None, now: Array, share: float) -> Array:
    """Move a mean towards what is seen now; where that is unknown, the mean is kept."""
    if before is None:
        return now
    moved = before + share * (now - before)
    return np.where(np.isfinite(moved), moved, np.where(np.isfinite(now), now, before))


def lost_pose(pose: Pose) -> Pose:
    """Return the pose of a lost person: the id, and all else unknown (NaN)."""
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
        anchors=no_votes(pose),
        depth=None,
    )


def no_votes(pose: Pose) -> AnchorVotes:
    """Return no anchors, for a pose that is not estimated from any."""
    votes = pose.anchors
    return AnchorVotes(votes.positions[:0], votes.weights[:0], votes.kinds[:0], votes.owners[:0])


def _inside(box_xyxy: Array, image_size: tuple[int, int]) -> Array:
    """Clip a box to the image."""
    limit = np.tile(np.maximum(np.asarray(image_size) - 1, 0), 2)
    return np.clip(box_xyxy, 0, limit).astype(np.float32)
