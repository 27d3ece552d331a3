"""Smoothing of skeletons over time: the one euro filter."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.pose import Pose, RootSource, TrackState

Array = NDArray[np.floating]

# Cut-off of the filter that the speed goes through [Hz]; the paper's value.
_SPEED_CUTOFF = 1.0


@dataclass(eq=False)
class OneEuroFilter:
    """Smooth points over time, the less the faster they move.

    Source:
        Casiez, Roussel, Vogel: 1 euro filter (CHI 2012). Our choice: the cut-off of a point comes
        from its speed in space rather than from each coordinate's, so that the result does not
        depend on how the axes lie.
    """

    _points: Array | None = None
    _velocities: Array | None = None

    def __call__(self, points: Array, step: float, min_cutoff: float, beta: float) -> Array:
        """Return the smoothed points of the next image.

        Args:
            points: [..., 3], metres.
            step: Time since the last image, seconds, above 0.
            min_cutoff: Cut-off at rest, Hz; the lower the smoother.
            beta: How much the cut-off grows with speed, Hz per m/s; the higher the less lag.

        Returns:
            [..., 3], a new array; the points themselves the first time, and where one was unknown
            (NaN) in the last image.
        """
        if self._points is None or self._velocities is None:
            self._points, self._velocities = np.array(points), np.zeros_like(points)
            return np.array(points)
        raw = (points - self._points) / step
        raw = np.where(np.isfinite(raw), raw, 0.0)
        share = _share(np.asarray(_SPEED_CUTOFF), step)
        self._velocities = share * raw + (1 - share) * self._velocities
        speed = np.linalg.norm(self._velocities, axis=-1, keepdims=True)
        share = _share(min_cutoff + beta * speed, step)
        moved = share * points + (1 - share) * self._points
        # What is unknown once is not unknown for ever.
        self._points = np.where(np.isfinite(moved), moved, points)
        return np.array(self._points, points.dtype)


def _share(cutoff: Array, step: float) -> Array:
    """Return how much of a new value counts at a cut-off frequency."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


@dataclass(eq=False)
class _Filters:
    """What smooths one person."""

    root: OneEuroFilter = field(default_factory=OneEuroFilter)
    joints: OneEuroFilter = field(default_factory=OneEuroFilter)
    root_source: RootSource = RootSource.NONE


class PoseSmoother:
    """Smooth the roots and the root-relative joints of the people of one camera."""

    def __init__(self) -> None:
        """Start with nobody."""
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._filters: dict[int, _Filters] = {}
        self._time = 0.0

    def smooth(self, poses: Sequence[Pose], time: float, config: EstimatorConfig) -> list[Pose]:
        """Return the poses smoothed; the very same ones without `config.smoothing`.

        Args:
            poses: The people of the next image, with ids that hold.
            time: Of the image, seconds, after that of the last.
            config: smoothing, smoothing_min_cutoff and smoothing_beta count here.
        """
        if not (config.smoothing and config.tracking):
            self._filters = {}
            return list(poses)
        step, self._time = time - self._time, time
        living = [pose for pose in poses if pose.state is not TrackState.LOST]
        self._filters = {p.id: self._filters.get(p.id, _Filters()) for p in living}
        return [p if p.state is TrackState.LOST else self._smooth(p, step, config) for p in poses]

    def _smooth(self, pose: Pose, step: float, config: EstimatorConfig) -> Pose:
        """Return one person's pose smoothed."""
        filters = self._filters[pose.id]
        options = (step, config.smoothing_min_cutoff, config.smoothing_beta)
        if pose.root_source is not filters.root_source:
            # Nobody is between the place by the body's size and that by a depth image.
            filters.root, filters.root_source = OneEuroFilter(), pose.root_source
        root = None if pose.root is None else filters.root(np.asarray(pose.root), *options)
        return replace(pose, root=root, joints=filters.joints(pose.joints, *options))
