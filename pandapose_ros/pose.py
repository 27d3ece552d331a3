"""The result of the package: what is estimated of each person."""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class RootSource(IntEnum):
    """Say how a root position was found; the values are those of `Skeleton3D.msg`."""

    NONE = 0
    INTRINSICS = 1
    DEPTH = 2
    ASSUMED_FIELD_OF_VIEW = 3


class TrackState(IntEnum):
    """Say how a person is tracked; the values are those of `Skeleton3D.msg`."""

    OFF = 0
    NEW = 1
    TRACKED = 2
    PREDICTED = 3
    LOST = 4


@dataclass(frozen=True, eq=False)
class AnchorVotes:
    """Hold one person's anchors and how much each counted.

    Attributes:
        positions: [A, 3], pelvis-relative, the image camera's axes, metres.
        weights: [A, J], each anchor's share in each joint; a column sums to 1.
        kinds: [A], 0 = local, 1 = global.
        owners: [A], index of the joint that a local anchor belongs to; -1 for a global one.
    """

    positions: Array
    weights: Array
    kinds: NDArray[np.int64]
    owners: NDArray[np.int64]

    @property
    def shares(self) -> Array:
        """Each anchor's share in the whole pose [A]: its mean weight over the joints."""
        return self.weights.mean(axis=1)


@dataclass(frozen=True, eq=False)
class DepthVotes:
    """Hold where one person's joints may be in depth: a distribution along each joint's ray.

    Attributes:
        positions: [J, D, 3], the centres of the depth bins, pelvis-relative, the image camera's
            axes, metres.
        probabilities: [J, D]; a row sums to 1.
    """

    positions: Array
    probabilities: Array


@dataclass(frozen=True, eq=False)
class Pose:
    """Hold one person's skeleton, in the order of `H36M_17`.

    Attributes:
        id: Number of the track, never used for another person.
        state: Whether the person is seen for the first time, seen again, predicted or lost; OFF
            without tracking.
        joints: [17, 3], pelvis-relative, the image camera's axes (x right, y down, z forward),
            metres.
        root: [3], the pelvis in the camera frame, metres; None if it is unknown.
        root_covariance: [3, 3], m^2; None if the root is None. For a root that follows from the
            size of the body it is fitted to the errors of adults, and is far larger along the
            viewing ray than across it.
        root_source: How the root was found.
        joint_scores: [17], [0, 1], the landmark net's confidence that each joint is visible.
        keypoints: [17, 2], (u, v) in the original image, pixels.
        box_xyxy: [4], around the visible landmarks, pixels of the original image.
        score: [0, 1], confidence that this is a person.
        anchors: The anchors whose votes gave the joints; empty if they are predicted.
        depth: The depth net's distributions; None if the root is None, the person is predicted or
            lost, or there is no depth net.
        joint_covariances: [17, 3, 3], m^2, of `joints`, thus pelvis-relative; None if unknown.
        age: Time from the first image with this id to this one, seconds; 0 without tracking. For
            a lost person, to the image in which they were last seen or predicted.
    """

    id: int
    state: TrackState
    joints: Array
    root: Array | None
    root_covariance: Array | None
    root_source: RootSource
    joint_scores: Array
    keypoints: Array
    box_xyxy: Array
    score: float
    anchors: AnchorVotes
    depth: DepthVotes | None = None
    joint_covariances: Array | None = None
    age: float = 0.0

    def copy(self) -> "Pose":
        """Return the pose with arrays of its own; anchors and depth are shared."""
        arrays = {k: v.copy() for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)


@dataclass(frozen=True)
class ModelInfo:
    """Name the network and its weights, so that a result can be traced."""

    name: str
    version: str
    weights_sha256: str
