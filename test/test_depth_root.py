import cv2
import numpy as np
import pytest

from pandapose_ros import geometry
from pandapose_ros.camera.depth_root import (
    DepthImage,
    _torso_depth,
    check_depth,
    root_from_depth,
)
from pandapose_ros.camera.lens import Distortion
from pandapose_ros.skeleton import H36M_17

K = np.array([[500.0, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
SIZE = (640, 480)
J = {name: i for i, name in enumerate(H36M_17.joint_names)}
ROOT = np.array([0.3, 0.1, 3.0])


def standing(facing=0.0):
    """Somebody upright, turned by an angle round the vertical; pelvis-relative, y down."""
    sides = {"hip": (0.1, 0.0), "knee": (0.11, 0.45), "ankle": (0.11, 0.87)}
    sides |= {"shoulder": (0.17, -0.48), "elbow": (0.25, -0.2), "wrist": (0.27, 0.05)}
    joints = np.zeros((17, 3))
    for name, (x, y) in sides.items():
        joints[J[f"left_{name}"]] = (x, y, 0)
        joints[J[f"right_{name}"]] = (-x, y, 0)
    for name, y in (("spine", -0.24), ("thorax", -0.48), ("nose", -0.6), ("head", -0.75)):
        joints[J[name], 1] = y
    c, s = np.cos(facing), np.sin(facing)
    return joints @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def seen(facing, root=ROOT, wall=5.0, breadth=0.16, thickness=0.1, lean=0.0):
    """What a depth camera sees of that body: an elliptic cylinder in front of a wall."""
    u, v = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    rays = geometry.back_project(np.stack((u, v), -1), np.ones(u.shape), K)
    c, s = np.cos(facing), np.sin(facing)
    flat = np.array([[c, 0, -s], [s, 0, c]]) / np.array([[breadth], [thickness]])
    direction, height = rays @ flat.T, np.zeros(u.shape)
    a = (direction**2).sum(-1)
    for _ in range(5 if lean else 1):  # how far the middle is leant hangs on the height
        start = -(root + height[..., None] * (0, 0, lean)) @ flat.T
        b = (direction * start).sum(-1)
        root_term = b**2 - a * ((start**2).sum(-1) - 1)
        surface = (-b - np.sqrt(np.maximum(root_term, 0))) / a
        height = (rays * surface[..., None] - root)[..., 1]
    hit = (root_term > 0) & (np.abs(height + 0.2) < 0.35)
    return np.where(hit, surface, wall).astype(np.float32)


def find(depth, joints=None, K=K, root=ROOT, distortion=None, hidden=()):
    joints = standing() if joints is None else joints
    keypoints, scores = geometry.project(joints + root, K), np.ones(17)
    scores[[J[name] for name in hidden]] = 0.68  # as much as guessed ones have
    return root_from_depth(joints, keypoints, scores, K, DepthImage(depth, SIZE), distortion)


def sigmas_off(root, covariance, truth=ROOT):
    error = root - truth
    return np.sqrt(error @ np.linalg.solve(covariance, error))


def behind_a_counter(distance, share=0.6):
    """That body, with something in front of it from the ground to a share of the torso."""
    depth = seen(0)
    rows = geometry.project(standing() + ROOT, K)[:, 1]
    hips, shoulders = rows[J["left_hip"]], rows[J["left_shoulder"]]
    depth[round(hips + share * (shoulders - hips)) :] = distance
    return depth


@pytest.mark.parametrize("lean", [-0.5, 0.5])
def test_the_pelvis_of_somebody_who_leans_is_not_where_the_chest_is(lean):
    joints = standing()
    joints[:, 2] += lean * joints[:, 1]
    root, _ = find(seen(0.0, lean=lean), joints)
    np.testing.assert_allclose(root, ROOT, atol=0.04)


@pytest.mark.parametrize("facing", [0.0, 0.8, np.pi / 2, np.pi])
def test_the_pelvis_is_behind_the_surface_whichever_way_the_body_faces(facing):
    root, covariance = find(seen(facing), standing(facing))
    np.testing.assert_allclose(root, ROOT, atol=0.04)
    assert root[2] - seen(facing)[:, 340:400].min() > 0.05
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    # Along the ray far better than from the body's size, whose error is a tenth of the distance.
    ray = ROOT / np.linalg.norm(ROOT)
    assert np.sqrt(ray @ covariance @ ray) < 0.03 * ROOT[2]


def test_a_wrong_body_size_does_not_change_the_distance():
    tall = 1.15 * standing()
    keypoints = geometry.project(standing() + ROOT, K)
    from_size = geometry.place_root(tall, keypoints, np.ones(17), K)
    from_depth, _ = root_from_depth(tall, keypoints, np.ones(17), K, DepthImage(seen(0), SIZE))
    assert abs(from_size[2] - ROOT[2]) > 0.4
    assert abs(from_depth[2] - ROOT[2]) < 0.05


def test_holes_an_arm_in_front_and_noise_do_not_matter():
    depth, rng = seen(0), np.random.default_rng(0)
    depth = depth + rng.normal(0, 0.01, depth.shape).astype(np.float32)
    depth[rng.random(depth.shape) < 0.3] = 0
    depth[::9] = np.nan
    depth[1::21] = np.inf
    depth[2::21] = -1
    depth[170:200] = 2.4  # a forearm across the chest
    root, _ = find(depth)
    np.testing.assert_allclose(root, ROOT, atol=0.05)


HIPS, SHOULDERS = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


@pytest.mark.parametrize("hidden", [(), HIPS], ids=["hips_guessed", "hips_hidden"])
def test_who_stands_behind_something_is_not_placed_on_it(hidden):
    root, covariance = find(behind_a_counter(1.9), hidden=hidden)
    np.testing.assert_allclose(root, ROOT, atol=0.06)
    assert sigmas_off(root, covariance) < 2


def test_a_torso_that_is_hidden_has_no_depth():
    covered = behind_a_counter(1.9, share=1.2)
    assert find(covered, hidden=HIPS) == (None, None)
    assert find(covered, hidden=HIPS + SHOULDERS) == (None, None)
    assert find(seen(0), hidden=HIPS + SHOULDERS) == (None, None)
    # OpenCV's fisheye model gives nothing for no points.
    fisheye = Distortion(np.zeros(4), is_fisheye=True)
    assert find(seen(0), hidden=HIPS + SHOULDERS, distortion=fisheye) == (None, None)
    # Taken for seen it looks like a child, of which nobody can be sure.
    root, covariance = find(covered)
    assert (ROOT - root)[2] < 2 * np.sqrt(covariance[2, 2])


def test_a_wall_behind_a_torso_of_holes_is_not_the_torso():
    depth = np.zeros_like(seen(0))
    depth[:, ::2] = 1.4 * ROOT[2]  # a half of the torso
    assert find(depth) == (None, None)


def test_what_stands_a_little_in_front_makes_the_place_unsure():
    # Nearer than the body by no more than its size may be wrong.
    root, covariance = find(behind_a_counter(2.3, share=0.7))
    assert ROOT[2] - root[2] > 0.5
    assert sigmas_off(root, covariance) < 2
    root, covariance = find(behind_a_counter(2.3, share=0.475))  # as many samples as the body
    assert sigmas_off(root, covariance) < 2


def test_a_torso_half_of_which_is_hidden_is_one_of_two():
    halves, fitted = np.repeat((2.3, 3.0), 55), 3.0
    z, variance = _torso_depth(halves, fitted, is_whole=False)
    assert z in (2.3, 3.0)
    assert variance == pytest.approx((z - fitted) ** 2)


def test_a_child_is_placed_by_depth_but_not_as_surely():
    child, small = 0.6 * standing(), np.array([0.3, 0.1, 1.8])
    keypoints, depth = geometry.project(child + small, K), seen(0, root=small)
    image = DepthImage(depth, SIZE)
    root, covariance = root_from_depth(standing(), keypoints, np.ones(17), K, image)
    by_size = geometry.place_root(standing(), keypoints, np.ones(17), K)
    assert by_size[2] - small[2] > 1
    assert abs(root[2] - small[2]) < 0.1
    assert sigmas_off(root, covariance, small) < 1
    assert 1.5 < (by_size - root)[2] / np.sqrt(covariance[2, 2]) <= 2


def test_what_tells_nothing_gives_no_root():
    nothing, gone = np.zeros(SIZE[::-1], np.float32), (None, None)
    assert find(nothing) == gone
    assert find(np.full_like(nothing, np.nan)) == gone
    few = nothing.copy()
    few[:, 355:362] = 2.9  # a seventh of the torso
    assert find(few) == gone
    assert find(np.full_like(nothing, 0.6)) == gone  # a hand before the lens
    assert find(np.full_like(nothing, 9.0)) == gone  # the wall behind
    noise = np.random.default_rng(0).uniform(0.5, 8, nothing.shape).astype(np.float32)
    root, _ = find(noise)
    assert root is None or np.isfinite(root).all()


def test_from_the_side_one_hip_and_one_shoulder_are_enough():
    facing = np.pi / 2
    root, _ = find(seen(facing), standing(facing), hidden=("left_hip", "left_shoulder"))
    np.testing.assert_allclose(root, ROOT, atol=0.04)


def test_farther_away_a_sensor_is_less_sure():
    far = np.array([0.0, 0.1, 8.0])
    root, covariance = find(seen(0, root=far, wall=12.0), root=far)
    np.testing.assert_allclose(root, far, atol=0.06)
    assert 0.1 < np.sqrt(covariance[2, 2]) < 0.2


def test_depths_are_those_of_the_pixels_that_cover_the_place():
    image = DepthImage(np.array([[1.0, 2, 0], [-1, np.inf, 6]]), (6, 4))  # a half of the image
    u, v = np.meshgrid(np.arange(6.0), np.arange(4.0))
    nan = np.nan
    expected = np.repeat(np.repeat([[1, 2, nan], [nan, nan, 6]], 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(image.at(np.stack((u, v), axis=-1)), expected)
    outside = np.array([[-1.0, 0], [6, 0], [0, -1], [0, 4], [nan, 0]])
    assert np.isnan(image.at(outside)).all()


def test_smaller_depth_images_and_people_at_the_edge():
    half = seen(0)[::2, ::2]
    root, _ = find(half)
    np.testing.assert_allclose(root, ROOT, atol=0.04)
    outside = np.array([2.1, 0.1, 3.0])  # the torso lies beyond the image's right edge
    assert find(seen(0), root=outside) == (None, None)


def test_depths_are_looked_up_where_the_lens_shows_them():
    lens = Distortion(np.array([-0.45, 0.12, 0, 0, 0.0]))
    aside = np.array([1.6, 0.1, 3.0])
    ideal = seen(0, root=aside)
    u, v = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    # For every pixel of the real image, where the ideal one shows the same.
    real = np.stack((u, v), -1).astype(float).reshape(-1, 1, 2)
    guess = cv2.undistortPoints(real, K, lens.coefficients, P=K).reshape(*u.shape, 2)
    columns, rows = np.moveaxis(np.clip(np.rint(guess), 0, np.array(SIZE) - 1).astype(int), -1, 0)
    distorted = ideal[rows, columns]
    root, _ = find(distorted, root=aside, distortion=lens)
    np.testing.assert_allclose(root, aside, atol=0.05)
    # The ideal image may have a focal length of its own.
    short = K * np.array([[0.8], [0.8], [1]])
    keypoints = geometry.project(standing() + aside, short)
    seen_so = (standing(), keypoints, np.ones(17), short, DepthImage(distorted, SIZE), lens)
    root, _ = root_from_depth(*seen_so, K)
    np.testing.assert_allclose(root, aside, atol=0.05)
    without, _ = find(distorted, root=aside)
    assert without is None or abs(without[2] - aside[2]) > 0.1


def test_depth_of_another_shape_is_refused():
    assert check_depth(np.zeros((240, 320)), SIZE).depth.shape == (240, 320)
    with pytest.raises(ValueError, match="640x360 is not registered to the image of 640x480"):
        check_depth(np.zeros((360, 640)), SIZE)
    with pytest.raises(ValueError, match="640x360 is not registered"):
        check_depth(np.zeros((360, 640)), (640, 400))
    for shape in ((0, 4), (4,), (4, 4, 1)):
        with pytest.raises(ValueError, match="shape"):
            check_depth(np.zeros(shape), SIZE)
