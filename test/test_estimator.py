from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import clip_frames
from followed_people import walk_of_the_demo

from pandapose_ros import geometry
from pandapose_ros.camera.lens import Distortion, check_distortion, distort_pixels
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator, select_device
from pandapose_ros.pose import RootSource, TrackState


@pytest.fixture(scope="module")
def truth():
    return walk_of_the_demo()


@pytest.fixture(scope="module")
def frames():
    return clip_frames(40)


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(EstimatorConfig(device="cpu"))


@pytest.fixture(autouse=True)
def forget_people(estimator):
    estimator.reset()


def test_pose_has_the_promised_shapes_and_ranges(estimator, frames, truth):
    (pose,) = estimator.estimate(frames[20], truth["K"])
    assert pose.joints.shape == (17, 3)
    assert pose.root.shape == (3,)
    assert pose.joint_scores.shape == (17,)
    assert pose.keypoints.shape == (17, 2)
    np.testing.assert_allclose(pose.joints[0], 0, atol=1e-6)
    assert ((pose.joint_scores >= 0) & (pose.joint_scores <= 1)).all()
    assert 0 <= pose.score <= 1
    left, top, right, bottom = pose.box_xyxy
    assert 0 <= left < right < frames[20].shape[1]
    assert 0 <= top < bottom < frames[20].shape[0]
    np.testing.assert_allclose(pose.anchors.weights.sum(0), 1, atol=1e-4)


def test_person_of_the_clip_is_near_the_truth(estimator, frames, truth):
    errors, roots = [], []
    for number in range(0, 40, 4):
        (pose,) = estimator.estimate(frames[number], truth["K"])
        exact = truth["joints"][number]
        errors.append(np.linalg.norm(pose.joints - (exact - exact[0]), axis=1).mean())
        roots.append(np.linalg.norm(pose.root - exact[0]))
    # Far above what is measured (see the model card), far below a wrong axis or a swapped side.
    assert np.mean(errors) < 0.15
    assert np.mean(roots) < 0.8


def test_skeleton_projects_onto_the_person(estimator, frames, truth):
    (pose,) = estimator.estimate(frames[20], truth["K"])
    pixels = geometry.project(pose.joints + pose.root, truth["K"])
    height_px = pose.box_xyxy[3] - pose.box_xyxy[1]
    assert np.linalg.norm(pixels - pose.keypoints, axis=1).mean() < 0.1 * height_px


def test_hidden_joints_have_a_place_and_say_that_they_are_hidden(estimator, frames, truth):
    ankles = [estimator.skeleton.joint_names.index(f"{side}_ankle") for side in ("right", "left")]
    (seen,) = estimator.estimate(frames[0], truth["K"])
    covered = frames[0].copy()
    for u, v in geometry.project(truth["joints"][0, ankles], truth["K"]).astype(int):
        covered[max(v - 30, 0) : v + 30, max(u - 30, 0) : u + 30] = 90
    estimator.reset()
    (pose,) = estimator.estimate(covered, truth["K"])
    assert np.isfinite(pose.joints).all()
    # A person's own ankles, not the surface in front of them or nothing.
    assert np.linalg.norm(pose.joints - seen.joints, axis=1)[ankles].max() < 0.6
    assert (pose.joint_scores[ankles] < 0.7 * seen.joint_scores[ankles]).all()
    sizes = [np.trace(p.joint_covariances[ankles], axis1=1, axis2=2) for p in (seen, pose)]
    assert (sizes[1] > 1.5 * sizes[0]).all()


def test_ids_last_and_images_are_not_written_to(estimator, frames):
    image = frames[0].copy()
    image.flags.writeable = False
    (first,) = estimator.estimate(image)
    (second,) = estimator.estimate(frames[1])
    assert (first.state, second.state) == (TrackState.NEW, TrackState.TRACKED)
    assert first.id == second.id


@pytest.mark.parametrize("name", ["keypoints", "joints", "root"])
def test_callers_may_write_to_the_arrays_of_a_pose(estimator, frames, name):
    expected = [estimator.estimate(image)[0] for image in (*frames[:5], 0 * frames[5])]
    assert expected[-1].state is TrackState.PREDICTED
    estimator.reset()
    for image, before in zip((*frames[:5], 0 * frames[5]), expected, strict=True):
        (pose,) = estimator.estimate(image)
        assert pose.state is before.state
        array = getattr(pose, name)
        np.testing.assert_array_equal(array, getattr(before, name))
        array *= 0.5  # as for a smaller picture


def test_view_with_any_strides_gives_the_same_as_a_copy(estimator, frames):
    mirrored = frames[10][:, ::-1]
    (from_view,) = estimator.estimate(mirrored)
    estimator.reset()
    (from_copy,) = estimator.estimate(mirrored.copy())
    np.testing.assert_array_equal(from_view.joints, from_copy.joints)


def test_two_people_in_one_image_match_each_alone(estimator, frames):
    (pose,) = estimator.estimate(frames[20])
    # People smaller than a fifth of the image are not found: cut a strip round the person.
    left = int(np.clip(pose.keypoints[0, 0] - 120, 0, frames[20].shape[1] - 240))
    alone, width = frames[20][100:460, left : left + 240], 240
    estimator.reset()
    both = np.concatenate((alone, alone[:, ::-1]), axis=1)
    people = estimator.estimate(both)
    assert len(people) == 2
    left, right = sorted(people, key=lambda pose: pose.keypoints[0, 0])
    # The mirror image of a person is the person with left and right swapped.
    mirror = list(estimator.skeleton.mirror)
    expected = 2 * width - 1 - left.keypoints[mirror, 0]
    assert np.abs(right.keypoints[:, 0] - expected).mean() < 0.03 * width


def test_root_source_tells_where_the_intrinsics_came_from(estimator, frames, truth):
    (pose,) = estimator.estimate(frames[20], truth["K"])
    assert pose.root_source is RootSource.INTRINSICS
    (pose,) = estimator.estimate(frames[20])
    assert pose.root_source is RootSource.ASSUMED_FIELD_OF_VIEW
    estimator.update(replace(estimator.config, field_of_view=0.0))
    (pose,) = estimator.estimate(frames[20])
    estimator.update(EstimatorConfig(device="cpu"))
    assert pose.root is None
    assert pose.root_source is RootSource.NONE


def test_nobody_in_an_empty_image(estimator):
    assert estimator.estimate(np.full((480, 640, 3), 90, np.uint8)) == []
    assert estimator.estimate(np.zeros((1, 1, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (None, "NoneType"),
    ],
)
def test_bad_images_are_refused(estimator, image, message):
    with pytest.raises(ValueError, match=message):
        estimator.estimate(image)


def test_bad_intrinsics_are_refused(estimator, frames):
    with pytest.raises(ValueError, match="calibrate"):
        estimator.estimate(frames[0], np.zeros((3, 3)))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        PoseEstimator(EstimatorConfig(weights=str(tmp_path / "nowhere.safetensors")))


@pytest.mark.parametrize("name", ["cuda:77", "tpu", "meta"])
def test_absent_devices_are_refused(name):
    with pytest.raises(ValueError, match="use auto"):
        select_device(name)


@pytest.mark.parametrize(
    "lens",
    [
        np.array([-0.25, 0.08, 0.0, 0.0, 0.0]),
        Distortion(np.array([0.02, -0.01, 0.0, 0.0]), is_fisheye=True),
    ],
    ids=["plumb_bob", "fisheye"],
)
def test_lens_distortion_does_not_change_the_skeleton(estimator, frames, truth, lens):
    # What a wide lens would have made of the frame: the ideal image looked up the other way.
    K, distortion = truth["K"], check_distortion(lens)
    height, width = frames[0].shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 1, 2)
    undistort = cv2.fisheye.undistortPoints if distortion.is_fisheye else cv2.undistortPoints
    ideal_of_real = undistort(grid.astype(np.float64), K, distortion.coefficients, P=K)
    maps = ideal_of_real.reshape(height, width, 2).astype(np.float32)
    real = cv2.remap(frames[0], maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    (ideal_pose,) = estimator.estimate(frames[0], K)
    estimator.reset()
    (pose,) = estimator.estimate(real, K, lens)
    assert np.linalg.norm(pose.joints - ideal_pose.joints, axis=1).mean() < 0.02
    np.testing.assert_allclose(pose.root, ideal_pose.root, atol=0.25)
    # The keypoints are those of the image as it came, nearer to its middle.
    moved = np.linalg.norm(pose.keypoints - ideal_pose.keypoints, axis=1)
    assert moved.mean() > 4
    expected = distort_pixels(ideal_pose.keypoints, K, distortion)
    assert np.linalg.norm(pose.keypoints - expected, axis=1).mean() < 2


def test_a_depth_image_places_the_person(estimator, frames, truth):
    exact, K = truth["joints"][20], truth["K"]
    height, width = frames[20].shape[:2]
    depth = np.full((height, width), exact[0, 2] + 2.0, np.float32)  # the wall
    corners = geometry.project(exact[[4, 1, 14, 11]], K).astype(np.int32)
    surface = exact[[1, 4, 11, 14], 2].mean() - 0.11
    cv2.fillConvexPoly(depth, cv2.convexHull(corners), float(surface))
    (pose,) = estimator.estimate(frames[20], K, depth=depth)
    assert pose.root_source is RootSource.DEPTH
    np.testing.assert_allclose(pose.root, exact[0], atol=0.12)
    (pose,) = estimator.estimate(frames[20], K, depth=np.zeros((height, width)))
    assert pose.root_source is RootSource.INTRINSICS


def test_a_depth_image_places_nobody_without_a_calibrated_camera(estimator, frames, truth):
    exact, (height, width) = truth["joints"][20], frames[20].shape[:2]
    depth = np.full((height, width), exact[0, 2], np.float32)
    (with_depth,) = estimator.estimate(frames[20], depth=depth)
    estimator.reset()
    (without,) = estimator.estimate(frames[20])
    assert with_depth.root_source is RootSource.ASSUMED_FIELD_OF_VIEW
    np.testing.assert_array_equal(with_depth.root, without.root)
    np.testing.assert_array_equal(with_depth.root_covariance, without.root_covariance)


def test_somebody_at_the_edge_of_a_wide_lens_is_seen(estimator, frames, truth):
    height, width = frames[20].shape[:2]
    K = geometry.intrinsics_from_field_of_view(1.476, width, height)
    lens = np.array([-0.33, 0.1, 0.0, 0.0, 0.0])
    # The clip's camera turned to its left, and looking through that lens.
    exact = truth["joints"][20]
    angle = 0.82 - np.arctan2(exact[0, 0], exact[0, 2])
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    turned = exact @ turn
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 1, 2)
    flat = cv2.undistortPoints(grid.astype(np.float64), K, lens).reshape(-1, 2)
    rays = np.column_stack((flat, np.ones(len(flat)))) @ turn.T
    maps = geometry.project(rays, truth["K"]).reshape(height, width, 2).astype(np.float32)
    real = cv2.remap(frames[20], maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    (pose,) = estimator.estimate(real, K, lens)
    pixels = geometry.project(turned, K, lens)
    assert pixels[:, 0].max() > 0.9 * width
    assert np.linalg.norm(pose.keypoints - pixels, axis=1).mean() < 0.03 * width
    assert np.linalg.norm(pose.root - turned[0]) < 0.8


@pytest.mark.parametrize(("width", "degrees", "number"), [(640, 130, 8), (1280, 140, 20)])
def test_somebody_far_off_the_axis_of_a_wide_pinhole_is_placed(
    estimator, truth, width, degrees, number
):
    size = (width, width * 3 // 4)
    K = geometry.intrinsics_from_field_of_view(np.radians(degrees), *size)
    exact = truth["joints"][number]
    angle = np.radians(60) - np.arctan2(exact[0, 0], exact[0, 2])
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    seen = K @ turn.T @ np.linalg.inv(truth["K"])
    image = cv2.warpPerspective(clip_frames(number + 1)[number], seen, size)
    (pose,) = estimator.estimate(image, K)
    assert np.linalg.norm(pose.root - exact[0] @ turn) < 0.05 * np.linalg.norm(exact[0])
    assert np.linalg.norm(pose.joints - (exact - exact[0]) @ turn, axis=1).mean() < 0.08


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_camera_may_hang_sideways_or_upside_down(estimator, frames, turns):
    upright, hung = [], []
    for poses, number in ((upright, 0), (hung, turns)):
        estimator.reset()
        for frame in frames[20:26]:
            poses.extend(estimator.estimate(np.ascontiguousarray(np.rot90(frame, number))))
    assert len(hung) == len(upright) == 6
    # A quarter turn counterclockwise takes x to -y, and y to x.
    turn = np.linalg.matrix_power(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]), turns)
    for pose, expected in zip(hung, upright, strict=True):
        off = np.linalg.norm(pose.joints - expected.joints @ turn.T, axis=-1)
        assert off.mean() < 0.04
