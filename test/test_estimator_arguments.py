"""What the estimator refuses, and that it goes on as if nothing had been."""

from dataclasses import replace

import numpy as np
import pytest

from pandapose_ros.camera_image import CameraImage
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.pose import TrackState

CONFIG = EstimatorConfig(device="cpu", threads=1)


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(CONFIG)


@pytest.fixture(autouse=True)
def forget_people(estimator):
    estimator.reset()


@pytest.mark.parametrize("stamp", [np.inf, -np.inf, np.nan, 1.7e18])
def test_a_stamp_that_is_no_time_in_seconds_is_refused(estimator, walker, stamp):
    estimator.estimate(walker, stamp=1.0)
    with pytest.raises(ValueError, match="expected a stamp in seconds, got"):
        estimator.estimate(walker, stamp=stamp)
    (pose,) = estimator.estimate(walker, stamp=1.1)
    assert pose.state is TrackState.TRACKED
    assert pose.age == pytest.approx(0.1)


def test_reset_renews_the_clock(estimator, walker):
    estimator.estimate(walker, stamp=1e11)
    estimator.estimate(walker, stamp=2e11)
    estimator.reset()
    estimator.estimate(walker, stamp=5.0)
    (pose,) = estimator.estimate(walker, stamp=5.1)
    # Rounded to 1e-5 s at the time before.
    assert pose.age == pytest.approx(0.1, abs=1e-9)


def test_two_images_of_one_camera_are_refused(estimator, walker):
    images = [CameraImage(walker, camera=name) for name in ("left", "right", "left")]
    with pytest.raises(ValueError, match="two images of the camera 'left' at once"):
        estimator.estimate_together(images)


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_depth_in_whole_numbers_is_refused(estimator, walker, kind):
    height, width = walker.shape[:2]
    depth = np.full((height, width), 3000, kind)
    K = intrinsics_from_field_of_view(1.0, width, height)
    with pytest.raises(ValueError, match="expected metres as floats"):
        estimator.estimate(walker, K, depth=depth)


def test_depth_may_be_a_list(estimator, walker):
    height, width = walker.shape[:2]
    K = intrinsics_from_field_of_view(1.0, width, height)
    depth = np.full((height, width), 3.0)
    (first,), (second,) = (
        estimator.estimate(walker, some_K, depth=some)
        for some_K, some in ((K, depth), (K.tolist(), depth.tolist()))
    )
    assert second.root == pytest.approx(first.root, abs=0.05)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("threads", 10**6, "threads must be at least 0 and at most 256, got 1000000"),
        ("max_people", 0, "max_people must be at least 1"),
        ("detection_score", float("nan"), "detection_score must be at least 0.0"),
        ("precision", "fp8", "precision must be one of auto, fp32, fp16, bf16, got 'fp8'"),
    ],
)
def test_settings_out_of_their_bounds_are_refused(estimator, option, value, reason):
    config = replace(CONFIG, **{option: value})
    with pytest.raises(ValueError, match=reason):
        PoseEstimator(config)
    with pytest.raises(ValueError, match=reason):
        estimator.update(config)
    assert estimator.config == CONFIG


def test_poses_can_be_compared_and_kept_in_sets(estimator, walker):
    (first,) = estimator.estimate(walker)
    (second,) = estimator.estimate(walker)
    for part in (lambda pose: pose, lambda pose: pose.anchors, lambda pose: pose.depth):
        assert part(first) == part(first)
        assert part(first) != part(second)
        assert len({part(first), part(second)}) == 2
