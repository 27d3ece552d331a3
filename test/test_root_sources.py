# People whose place comes now from a depth image, now from the size of the body.
from dataclasses import replace

import numpy as np
import pytest
from followed_people import FRAME, Stream, sighting, states, walk_of_the_demo

from pandapose_ros.pose import RootSource, TrackState

BY_SIZE, BY_DEPTH = RootSource.INTRINSICS, RootSource.DEPTH
CHILD, ADULT = 0.5, 0.9  # how far away they are, as a share of what their size tells


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


def placed(joints, K, source, share):
    """Somebody seen there, whose size is not that of the body that was expected."""
    seen = sighting(joints, K)
    root = seen.pose.root * (share if source is BY_DEPTH else 1.0)
    return replace(seen, pose=replace(seen.pose, root=root, root_source=source))


@pytest.mark.parametrize("share", [CHILD, ADULT])
def test_who_is_placed_in_turns_keeps_the_id(walk, share):
    stream = Stream(prediction_time=0.3)
    for i in range(40):
        source = BY_DEPTH if i // 5 % 2 else BY_SIZE
        (pose,) = stream(placed(walk["joints"][i], walk["K"], source, share))
        assert (pose.id, pose.root_source) == (0, source)


def test_somebody_else_behind_is_still_somebody_else(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    for i in range(5):
        stream(placed(joints[i], K, BY_SIZE, 1.0))
    poses = stream(placed(joints[5] * 1.8, K, BY_DEPTH, 1.0))
    assert states(poses) == [(0, TrackState.PREDICTED), (1, TrackState.NEW)]


@pytest.mark.parametrize("share", [CHILD, ADULT])
@pytest.mark.parametrize("last", [1, 4, 8])
def test_a_step_from_one_source_to_the_other_is_no_motion(walk, last, share):
    # As of somebody of whom a pillar hides more and more.
    stream, body, K = Stream(prediction_time=0.3), walk["joints"][0], walk["K"]
    speed = np.array((1.0, 0, 0))
    for i in range(20):
        source = BY_SIZE if i >= 20 - last else BY_DEPTH
        (seen,) = stream(placed(body + speed * i * FRAME, K, source, share))
    for i in range(1, 8):
        (pose,) = stream()
        assert pose.state == TrackState.PREDICTED
        # By depth a child walks half as fast as by the size of the body.
        moved = pose.root - seen.root
        assert share - 0.01 < moved[0] / (speed[0] * i * FRAME) < 1.01
        assert abs(moved[2]) < 0.01
