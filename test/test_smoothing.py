import numpy as np
import pytest
from followed_people import bare_pose

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.smoothing import OneEuroFilter, PoseSmoother
from pandapose_ros.people.track import lost_pose
from pandapose_ros.pose import RootSource, TrackState

FRAME = 1 / 30
ON = EstimatorConfig(smoothing=True)


def person(root, joints=None, number=0, state=TrackState.TRACKED, source=RootSource.INTRINSICS):
    joints = np.zeros((17, 3)) if joints is None else joints
    source = RootSource.NONE if root is None else source
    return bare_pose(joints, root, id=number, state=state, root_source=source)


def lag(speed, config, images=60):
    """How far behind a point is that moves evenly, in seconds."""
    smooth, point = OneEuroFilter(), np.zeros((1, 3))
    for i in range(images):
        position = np.array([[speed * i * FRAME, 0.0, 0.0]])
        point = smooth(position, FRAME, config.smoothing_min_cutoff, config.smoothing_beta)
    return float(position[0, 0] - point[0, 0]) / speed


def test_the_lag_is_what_the_documentation_says():
    lags_ms = {speed: 1e3 * lag(speed, ON) for speed in (0.2, 1.0, 3.0)}
    print(lags_ms)
    assert lags_ms[0.2] < 80
    assert lags_ms[1.0] < 33
    assert lags_ms[3.0] < 13
    assert lags_ms[0.2] > lags_ms[1.0] > lags_ms[3.0] > 0


def test_noise_at_rest_gets_less():
    rng, smooth = np.random.default_rng(0), OneEuroFilter()
    raw = rng.normal(0, 0.02, (120, 17, 3))
    options = (FRAME, ON.smoothing_min_cutoff, ON.smoothing_beta)
    smoothed = np.stack([smooth(points, *options) for points in raw])
    steps = [np.abs(np.diff(values[30:], axis=0)).mean() for values in (raw, smoothed)]
    assert steps[1] < 0.5 * steps[0]


def test_the_axes_do_not_matter():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    one, other = OneEuroFilter(), OneEuroFilter()
    for points in rng.normal(size=(10, 17, 3)):
        straight = one(points, FRAME, 1.0, 5.0)
        np.testing.assert_allclose(other(points @ turn.T, FRAME, 1.0, 5.0), straight @ turn.T)


def test_off_is_raw_to_the_bit():
    smoother = PoseSmoother()
    for i in range(3):
        pose = person(np.full(3, float(i)))
        (same,) = smoother.smooth([pose], i * FRAME, EstimatorConfig(smoothing=False))
        assert same is pose


def test_options_are_live_and_people_apart():
    smoother = PoseSmoother()
    near, far = np.zeros(3), np.full(3, 9.0)
    smoother.smooth([person(near, number=0), person(far, number=1)], 1.0, ON)
    moved = smoother.smooth([person(far, number=1), person(near + 1, number=0)], 1.1, ON)
    np.testing.assert_array_equal(moved[0].root, far)
    assert (moved[1].root > 0).all()
    assert (moved[1].root < 1).all()
    # Off and on again starts from where the person is now.
    smoother.smooth([person(near + 1)], 1.2, EstimatorConfig(smoothing=False))
    (pose,) = smoother.smooth([person(near + 2)], 1.3, ON)
    np.testing.assert_array_equal(pose.root, near + 2)


def test_what_counts_is_the_time_between_images():
    smoother, one = PoseSmoother(), OneEuroFilter()
    options = (FRAME, ON.smoothing_min_cutoff, ON.smoothing_beta)
    for i, root in enumerate(np.random.default_rng(2).normal(size=(5, 3))):
        (pose,) = smoother.smooth([person(root)], 1e5 + i * FRAME, ON)
        np.testing.assert_allclose(pose.root, one(root, *options), atol=1e-6)


def test_without_tracking_nobody_is_mixed_with_the_last_of_that_number():
    smoother, config = PoseSmoother(), EstimatorConfig(smoothing=True, tracking=False)
    for place in (0.0, 1.0):
        (pose,) = smoother.smooth([person(np.full(3, place))], 1 + place, config)
        np.testing.assert_array_equal(pose.root, place)


def test_lost_people_and_lost_roots_are_not_mixed_in():
    smoother = PoseSmoother()
    smoother.smooth([person(np.zeros(3))], 1.0, ON)
    (placeless,) = smoother.smooth([person(None)], 1.1, ON)
    assert placeless.root is None
    (pose,) = smoother.smooth([person(np.ones(3))], 1.2, ON)
    np.testing.assert_array_equal(pose.root, 1.0)
    gone = lost_pose(person(np.ones(3)))
    assert smoother.smooth([gone], 1.3, ON) == [gone]
    (pose,) = smoother.smooth([person(np.zeros(3))], 1.4, ON)
    np.testing.assert_array_equal(pose.root, 0.0)


def test_a_place_by_depth_is_not_mixed_with_one_by_size():
    # A child, whose place by the size of the body is far too deep.
    smoother, near, far = PoseSmoother(), np.array((0, 0, 2.0)), np.array((0, 0, 3.5))
    for i, source in enumerate([RootSource.INTRINSICS] * 5 + [RootSource.DEPTH] * 2):
        root = near if source is RootSource.DEPTH else far
        (pose,) = smoother.smooth([person(root, source=source)], 1 + i * FRAME, ON)
        np.testing.assert_allclose(pose.root, root)


@pytest.mark.parametrize("step", [1e-6, 100.0])
def test_odd_steps_stay_finite(step):
    smooth = OneEuroFilter()
    for points in np.random.default_rng(0).normal(size=(5, 17, 3)):
        assert np.isfinite(smooth(points, step, 0.1, 10.0)).all()


def test_a_joint_that_is_unknown_once_is_not_unknown_for_ever():
    smoother, joints = PoseSmoother(), np.zeros((17, 3))
    smoother.smooth([person(np.zeros(3), joints)], 1.0, ON)
    hidden = joints.copy()
    hidden[5] = np.nan
    (pose,) = smoother.smooth([person(np.zeros(3), hidden)], 1.1, ON)
    np.testing.assert_array_equal(np.isnan(pose.joints), np.isnan(hidden))
    (pose,) = smoother.smooth([person(np.zeros(3), joints + 1)], 1.2, ON)
    np.testing.assert_array_equal(pose.joints[5], 1.0)
    assert (pose.joints[:5] < 1).all()
    (pose,) = smoother.smooth([person(np.zeros(3), joints)], 1.3, ON)
    assert (pose.joints > 0).all()
    assert (pose.joints < 1).all()
