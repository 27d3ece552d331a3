# Somebody who walks, as sightings without any image, and a stream of these.
import itertools
from dataclasses import replace

import numpy as np
from clip_images import CLIP

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.geometry import project
from pandapose_ros.people.region import Region
from pandapose_ros.people.track import Sighting
from pandapose_ros.people.tracks import Tracks
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState

SIZE = (640, 480)
FRAME = 1 / 30
NO_VOTES = AnchorVotes(np.zeros((1, 3)), np.ones((1, 17)), np.ones(1, int), np.full(1, -1))


def walk_of_the_demo():
    with np.load(CLIP.with_suffix(".npz")) as truth:
        return {"joints": truth["joints"], "K": truth["K"]}


def bare_pose(joints, root, **changes):
    """Somebody at these joints [17, 3] of whom nothing else is known."""
    pose = Pose(
        id=1,
        state=TrackState.TRACKED,
        joints=joints,
        root=root,
        root_covariance=None,
        root_source=RootSource.INTRINSICS,
        joint_scores=np.ones(17),
        keypoints=np.zeros((17, 2)),
        box_xyxy=np.zeros(4),
        score=1.0,
        anchors=NO_VOTES,
    )
    return replace(pose, **changes)


def sighting(joints, K, rng=None, noise=1.0):
    """Somebody seen at these joints [17, 3]; the errors are about those of the estimator."""
    errors = np.zeros((17, 3)) if rng is None else rng.normal(0, 0.05 * noise, (17, 3))
    keypoints = project(joints, K)
    if rng is not None:
        keypoints = keypoints + rng.normal(0, 2 * noise, (17, 2))
    ray = joints[0] / np.linalg.norm(joints[0])
    root = joints[0] + ray * (0 if rng is None else rng.normal(0, 0.08 * noise))
    pose = Pose(
        id=-1,
        state=TrackState.OFF,
        joints=joints - joints[0] + errors - errors[0],
        root=root,
        root_covariance=np.eye(3) * 0.01,
        root_source=RootSource.INTRINSICS,
        joint_scores=np.full(17, 0.9, np.float32),
        keypoints=keypoints,
        box_xyxy=np.concatenate((keypoints.min(0), keypoints.max(0))),
        score=0.9,
        anchors=NO_VOTES,
    )
    u, v = keypoints[0].tolist()
    return Sighting(pose, Region((u, v), 2.5 * K[0, 0] / joints[0, 2], 0.0))


class Stream:
    """Images at 30 Hz of whoever is seen."""

    def __init__(self, **options):
        self.config = EstimatorConfig(**options)
        self.tracks = Tracks(itertools.count())
        self.now = 0.0

    def __call__(self, *seen, step=FRAME):
        self.now += step
        self.regions = [known.region for known in self.tracks.followed(self.now)]
        return self.tracks.update(seen, self.now, SIZE, self.config)


def states(poses):
    return [(pose.id, pose.state) for pose in poses]
