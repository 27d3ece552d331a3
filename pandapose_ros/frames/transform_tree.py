"""The frames of a robot and their motions over time: what tf2 keeps, where tf2 is missing."""

import itertools
import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np

from pandapose_ros.frames.transform import IDENTITY, Array, Transform, rotation_from_quaternion

# As tf2 does.
KEPT_NS = 10 * 10**9
# Nobody asks for a frame of which nothing has been heard for so long, as those of people who have
# left; by the computer's clock, as stamps may be of several [s].
_SILENCE = 60.0


class TransformError(LookupError):
    """Say why a transform cannot be had: which frame is missing, or for which time."""


@dataclass(frozen=True, order=True)
class Motion:
    """Hold the place of a frame in its parent at a time.

    Attributes:
        stamp_ns: The time, nanoseconds.
        translation: [3], metres.
        quaternion: [4], (x, y, z, w), of length 1.
        arrival: Number of the message in the order of their coming.
    """

    stamp_ns: int
    translation: Array = field(compare=False)
    quaternion: Array = field(compare=False)
    arrival: int = field(default=0, compare=False)

    def transform(self) -> Transform:
        """Return the transform from the frame to its parent."""
        return Transform(rotation_from_quaternion(self.quaternion.tolist()), self.translation)


@dataclass
class _Edge:
    """A frame's parent and its motion; motionless if `is_static`. Heard of: by a steady clock."""

    parent: str
    is_static: bool
    motions: list[Motion] = field(default_factory=list)
    heard: float = 0.0


class TransformTree:
    """Keep the last seconds of every frame's motion; safe between threads.

    A look-up at a time between two messages interpolates; one outside of what is kept fails.
    """

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._arrivals = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, child: str, parent: str, motion: Motion, *, is_static: bool) -> None:
        """Take over a frame's place at a time; what is no rotation or not finite is ignored.

        The later of two messages with one stamp counts. One that is older than all that would be
        kept means that time has gone back: only the new time counts from then on.
        """
        length = float(np.linalg.norm(motion.quaternion))
        if not 0 < length < np.inf or not np.isfinite(motion.translation).all():
            return
        with self._lock:
            motion = Motion(
                motion.stamp_ns,
                motion.translation,
                motion.quaternion / length,
                next(self._arrivals),
            )
            edge = self._edges.get(child)
            if edge is None or (edge.parent, edge.is_static) != (parent, is_static):
                self._drop_silent()
                edge = self._edges[child] = _Edge(parent, is_static)
            edge.heard = time.monotonic()
            if is_static:
                edge.motions = [motion]
            else:
                _insert(edge.motions, motion)

    def clear(self) -> None:
        """Forget all that moves, as when time has gone back."""
        with self._lock:
            self._edges = {child: edge for child, edge in self._edges.items() if edge.is_static}

    def forget_after(self, stamp_ns: int) -> None:
        """Forget what moved later than a stamp, as when time has gone back.

        Args:
            stamp_ns: Between the old time and the new one, nanoseconds. What has come of the new
                one stays.
        """
        with self._lock:
            for edge in self._edges.values():
                if not edge.is_static:
                    old = [m.arrival for m in edge.motions if m.stamp_ns > stamp_ns]
                    # The old run has been where the new one has not come yet, too.
                    last = max(old, default=0)
                    edge.motions = [m for m in edge.motions if m.arrival > last]
            self._edges = {child: edge for child, edge in self._edges.items() if edge.motions}

    def _drop_silent(self) -> None:
        """Drop moving frames that have not been heard of for long."""
        oldest = time.monotonic() - _SILENCE
        self._edges = {
            child: edge
            for child, edge in self._edges.items()
            if edge.is_static or edge.heard >= oldest
        }

    def look_up(self, target: str, source: str, stamp_ns: int) -> Transform:
        """Return the transform between two frames at a time.

        Args:
            target: Frame to transform to.
            source: Frame to transform from.
            stamp_ns: The time, nanoseconds; 0: the newest that is known.

        Raises:
            TransformError: If a frame is unknown, the two are not connected, or the time is
                not covered.
        """
        with self._lock:
            return self._look_up(target, source, stamp_ns)

    def _look_up(self, target: str, source: str, stamp_ns: int) -> Transform:
        if target == source:
            return IDENTITY
        known = {*self._edges, *(edge.parent for edge in self._edges.values())}
        for frame in (target, source):
            if frame not in known:
                raise TransformError(
                    f"frame '{frame}' is not known to tf; known: {', '.join(sorted(known)) or '-'}"
                )
        from_source, from_target = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in from_source if frame in from_target), None)
        if common is None:
            raise TransformError(
                f"frames '{source}' and '{target}' are not connected: nothing leads from "
                f"'{from_source[-1]}' to '{from_target[-1]}'"
            )
        up = from_source[: from_source.index(common)]
        down = from_target[: from_target.index(common)]
        if stamp_ns == 0:
            moving = [edge for f in up + down if not (edge := self._edges[f]).is_static]
            stamp_ns = min((edge.motions[-1].stamp_ns for edge in moving), default=0)
        return self._climb(down, stamp_ns).inverse().after(self._climb(up, stamp_ns))

    def _ancestors(self, frame: str) -> list[str]:
        """Return the frame, its parent, the parent's parent, and so on; a loop ends it."""
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None and edge.parent not in chain:
            chain.append(edge.parent)
        return chain

    def _climb(self, frames: list[str], stamp_ns: int) -> Transform:
        """Return the transform from the first frame to the last one's parent."""
        transform = IDENTITY
        for frame in frames:
            transform = self._at(frame, stamp_ns).after(transform)
        return transform

    def _at(self, frame: str, stamp_ns: int) -> Transform:
        """Return the transform of a frame to its parent at a time."""
        edge = self._edges[frame]
        first, last = edge.motions[0], edge.motions[-1]
        if edge.is_static:
            return first.transform()
        if not first.stamp_ns <= stamp_ns <= last.stamp_ns:
            gap = max(first.stamp_ns - stamp_ns, stamp_ns - last.stamp_ns) / 1e9
            when = "before the first" if stamp_ns < first.stamp_ns else "after the last"
            raise TransformError(
                f"the transform from '{frame}' to '{edge.parent}' is asked for {gap:.3f} s {when} "
                "message about it"
            )
        after = bisect_right(edge.motions, stamp_ns, key=lambda motion: motion.stamp_ns)
        if after == len(edge.motions):
            return last.transform()
        return _between(edge.motions[after - 1], edge.motions[after], stamp_ns).transform()


def _insert(motions: list[Motion], motion: Motion) -> None:
    """Put a motion in its place, and drop what it makes too old."""
    if motions and motion.stamp_ns < motions[-1].stamp_ns - KEPT_NS:
        # A simulator was reset: beside the old time, the new one would be too old for long.
        motions.clear()
    place = bisect_left(motions, motion)
    # While a simulator pauses, its stamps stand still: a list of them would grow without end.
    is_known = place < len(motions) and motions[place].stamp_ns == motion.stamp_ns
    motions[place : place + is_known] = [motion]
    oldest = motions[-1].stamp_ns - KEPT_NS
    while motions[0].stamp_ns < oldest:
        motions.pop(0)


def _between(a: Motion, b: Motion, stamp_ns: int) -> Motion:
    """Interpolate: straight lines, and turns at constant speed."""
    share = (stamp_ns - a.stamp_ns) / (b.stamp_ns - a.stamp_ns)
    cosine = float(a.quaternion @ b.quaternion)
    end = b.quaternion if cosine >= 0 else -b.quaternion
    angle = float(np.arccos(min(abs(cosine), 1.0)))
    if angle < 1e-6:
        quaternion = (1 - share) * a.quaternion + share * end
    else:
        parts = np.sin([(1 - share) * angle, share * angle]) / np.sin(angle)
        quaternion = parts[0] * a.quaternion + parts[1] * end
    return Motion(stamp_ns, (1 - share) * a.translation + share * b.translation, quaternion)
