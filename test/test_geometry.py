import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pandapose_ros import geometry

K = np.array([[600.0, 0, 320], [0, 610, 250], [0, 0, 1]])
RNG = np.random.default_rng(0)


def random_rotation(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.array([1, 1, np.linalg.det(q)])


def person(root):
    joints = RNG.normal(scale=0.4, size=(17, 3))
    return joints - joints[0], np.asarray(root, float)


def test_grid_agrees_with_grid_sample():
    columns = torch.arange(7.0).expand(5, 7)[None, None]
    points = torch.tensor([[0.0, 0.0], [2.25, 3.0], [6.0, 4.0]])
    grid = geometry.pixel_to_grid(points, 7, 5)
    sampled = F.grid_sample(columns, grid[None, None], align_corners=False)
    torch.testing.assert_close(sampled.flatten(), points[:, 0])


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_grid_round_trip(kind):
    points = kind([[-3.0, 2.0], [10.5, 99.0]])
    back = geometry.grid_to_pixel(geometry.pixel_to_grid(points, 192, 256), 192, 256)
    np.testing.assert_allclose(np.asarray(back), np.asarray(points), atol=1e-4)


def test_affine_round_trip():
    affine = np.array([[0.5, -0.2, 30], [0.2, 0.5, -10]])
    points = RNG.normal(size=(6, 2)) * 100
    there = geometry.transform_points(affine, points)
    back = geometry.transform_points(geometry.invert_affine(affine), there)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_project_known_point():
    np.testing.assert_allclose(geometry.project(np.array([1.0, -0.5, 2.0]), K), [620, 97.5])


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(geometry.project(np.array([[0.1, 0.1, -1.0], [0.0, 0.0, 0.0]]), K)).all()


def test_back_project_inverts_project():
    points = RNG.uniform((-1, -1, 1), (1, 1, 5), size=(9, 3))
    back = geometry.back_project(geometry.project(points, K), points[:, 2], K)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_field_of_view():
    K = geometry.intrinsics_from_field_of_view(np.pi / 2, 640, 480)
    np.testing.assert_allclose(K, [[320, 0, 319.5], [0, 320, 239.5], [0, 0, 1]])
    for bad in (0.0, 1.5 * np.pi):
        with pytest.raises(ValueError, match="field of view"):
            geometry.intrinsics_from_field_of_view(bad, 640, 480)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 3)), "calibrate"),
        (np.diag([500.0, 0.0, 1.0]), "calibrate"),
        (np.full((3, 3), np.nan), "not finite"),
        (np.diag([500.0, np.inf, 1.0]), "not finite"),
        (np.eye(4), "shape"),
        (np.diag([500.0, 500.0, 2.0]), "last row"),
    ],
)
def test_bad_intrinsics_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        geometry.check_intrinsics(bad)


def test_crop_camera_of_a_centred_upright_crop_is_the_image_camera():
    affine = np.array([[0.5, 0, 127.5 - 160], [0, 0.5, 127.5 - 125]])
    _, R = geometry.perspective_crop(affine, (256, 256), K)
    np.testing.assert_allclose(R, np.eye(3), atol=1e-12)


def upright_crop(pixel, scale):
    return np.array([[scale, 0, 127.5 - scale * pixel[0]], [0, scale, 127.5 - scale * pixel[1]]])


def test_person_in_the_image_corner_looks_the_same_in_its_crop():
    # The same body, turned with the viewing ray, must give the same crop wherever it stands.
    joints, _ = person((0, 0, 4))
    crops = []
    for pixel in ((320.0, 250.0), (30.0, 20.0)):
        ray = geometry.back_project(np.array(pixel), np.array(1.0), K)
        affine = upright_crop(pixel, 0.6)
        homography, R = geometry.perspective_crop(affine, (256, 256), K)
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12)
        placed = joints @ R.T + 4 * ray / np.linalg.norm(ray)
        crops.append(geometry.transform_pixels(homography, geometry.project(placed, K)) - 127.5)
    np.testing.assert_allclose(crops[0][0], (0, 0), atol=1e-9)
    ratio = np.linalg.norm(crops[1]) / np.linalg.norm(crops[0])
    np.testing.assert_allclose(crops[1], ratio * crops[0], atol=1e-9)


@pytest.mark.parametrize("pixel", [(320.0, 250.0), (500.0, 100.0), (30.0, 20.0)])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
def test_perspective_crop_keeps_the_centre_and_the_circle_point(pixel, angle):
    affine = turned_crop(pixel, 0.6, angle)
    homography, _ = geometry.perspective_crop(affine, (256, 256), K)
    kept = np.array([[127.5, 127.5], [127.5, 127.5 - 0.4 * 256]])
    image = geometry.transform_points(geometry.invert_affine(affine), kept)
    np.testing.assert_allclose(geometry.transform_pixels(homography, image), kept, atol=1e-8)


def turned_crop(pixel, scale, angle):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, s], [-s, c]])
    return np.concatenate((linear, (127.5 - linear @ np.array(pixel))[:, None]), axis=1)


def test_perspective_crop_of_a_far_camera_is_the_affine_crop():
    affine = turned_crop((500.0, 100.0), 0.6, 0.4)
    far = geometry.intrinsics_from_field_of_view(1e-3, 640, 480)
    homography, _ = geometry.perspective_crop(affine, (256, 256), far)
    pixels = np.array([[300.0, 100.0], [640, 480], [500, 0]])
    np.testing.assert_allclose(
        geometry.transform_pixels(homography, pixels),
        geometry.transform_points(affine, pixels),
        atol=0.1,
    )


@pytest.mark.parametrize(("pixel", "scale"), [((320.0, 900.0), 0.15), ((900.0, 250.0), 0.12)])
def test_a_crop_that_reaches_out_of_sight_stays_affine(pixel, scale):
    affine = turned_crop(pixel, scale, 0.1)
    homography, R = geometry.perspective_crop(affine, (256, 256), K)
    np.testing.assert_array_equal(homography[:2], affine)
    np.testing.assert_array_equal(homography[2], (0, 0, 1))
    centre = geometry.back_project(np.array(pixel), np.array(1.0), K)
    np.testing.assert_allclose(R[:, 2], centre / np.linalg.norm(centre), atol=1e-12)


def test_a_crop_that_a_very_wide_camera_sees_in_part_is_narrowed_not_stretched():
    wide = geometry.intrinsics_from_field_of_view(np.radians(130), 1280, 960)
    middle = np.array((1192.0, 539.0))
    affine = turned_crop(middle, 256 / 487, -0.3)
    homography, R = geometry.perspective_crop(affine, (256, 256), wide)
    np.testing.assert_allclose(geometry.transform_pixels(homography, middle), 127.5)
    points = np.array([[-0.5, -0.5], [255.5, -0.5], [-0.5, 255.5], [255.5, 255.5], [127.5, 127.5]])
    pixels = np.linalg.inv(homography) @ np.column_stack((points, np.ones(5))).T
    rays = np.linalg.solve(wide, pixels).T
    np.testing.assert_allclose(min(rays[:, 2] / rays[4, 2]), 0.2)
    rays = rays @ R / np.linalg.norm(rays[4])  # of the crop's camera, whose pixels are square
    np.testing.assert_allclose(
        (rays - rays[4]) / (rays[1, 0] - rays[4, 0]) * 128 + 127.5,
        np.column_stack((points, np.full(5, 127.5))),
        atol=1e-9,
    )


@pytest.mark.parametrize(("pixel", "degrees"), [((1400.0, 539.0), 130), ((1192.0, 539.0), 100)])
def test_narrowed_are_only_crops_whose_middle_a_very_wide_camera_sees(pixel, degrees):
    camera = geometry.intrinsics_from_field_of_view(np.radians(degrees), 1280, 960)
    affine = turned_crop(pixel, 256 / 1200, -0.3)
    homography, _ = geometry.perspective_crop(affine, (256, 256), camera)
    np.testing.assert_array_equal(homography[:2], affine)


def test_a_near_person_in_the_image_is_still_seen_without_stretch():
    homography, R = geometry.perspective_crop(upright_crop((500.0, 300.0), 0.15), (256, 256), K)
    middle = np.linalg.inv(homography) @ (127.5, 127.5, 1)
    beside = np.linalg.inv(homography) @ (0, 127.5, 1)
    rays = np.linalg.solve(K, np.stack((middle, beside), axis=1)).T @ R
    # The crop's camera looks through its middle, and its row is that camera's x axis.
    np.testing.assert_allclose(rays[0, :2] / rays[0, 2], (0, 0), atol=1e-9)
    np.testing.assert_allclose(rays[1, 1] / rays[1, 2], 0, atol=1e-9)


@pytest.mark.parametrize("size", [100.0, 400.0, 900.0])
def test_every_pixel_of_a_perspective_crop_lies_before_the_camera(size):
    for pixel in np.stack(np.meshgrid([0.0, 320, 640], [-200.0, 250, 700]), -1).reshape(-1, 2):
        homography, _ = geometry.perspective_crop(
            turned_crop(pixel, 256 / size, 0.3), (256, 256), K
        )
        corners = np.array([[0, 0, 1], [255, 0, 1], [0, 255, 1], [255, 255, 1], [127.5, 127.5, 1]])
        depth = corners @ np.linalg.inv(homography)[2]
        assert (depth / depth[-1] > 0.15).all()


def test_rolled_crop_turns_the_camera():
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s], [s, c]])
    affine = np.concatenate((turn, (127.5 - turn @ (320.0, 250.0))[:, None]), axis=1)
    _, R = geometry.perspective_crop(
        affine, (256, 256), np.array([[600.0, 0, 320], [0, 600, 250], [0, 0, 1]])
    )
    np.testing.assert_allclose(R, [[c, s, 0], [-s, c, 0], [0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize("root", [(0, 0, 3), (1.5, -0.8, 4), (-2, 1, 6)])
def test_root_is_found_from_exact_keypoints(root):
    joints, root = person(root)
    found = geometry.place_root(joints, geometry.project(joints + root, K), np.ones(17), K)
    np.testing.assert_allclose(found, root, atol=1e-6)


def test_doubtful_keypoints_do_not_move_the_root():
    joints, root = person((0.5, 0, 4))
    keypoints, scores = geometry.project(joints + root, K), np.ones(17)
    keypoints[3] += 200
    scores[3] = 0.29
    joints[5] = np.nan
    found = geometry.place_root(joints, keypoints, scores, K)
    np.testing.assert_allclose(found, root, atol=1e-6)


def test_keypoints_count_by_their_scores():
    joints, root = person((0.5, 0, 4))
    keypoints = geometry.project(joints + root, K)
    keypoints[3] += 200
    errors = []
    for score in (0.31, 0.6, 1.0):
        scores = np.ones(17)
        scores[3] = score
        found = geometry.place_root(joints, keypoints, scores, K)
        errors.append(np.linalg.norm(found - root))
    assert 0.01 < errors[0] < 0.8 * errors[1] < 0.8 * errors[2]


def test_somebody_seen_badly_is_placed_by_what_there_is():
    joints, root = person((0.5, 0, 4))
    keypoints = geometry.project(joints + root, K)
    found = geometry.place_root(joints, keypoints, np.full(17, 0.2), K)
    np.testing.assert_allclose(found, root, atol=1e-6)


def test_root_unknown_where_keypoints_tell_no_distance_or_a_negative_one():
    joints, root = person((0.5, 0, 4))
    keypoints = geometry.project(joints + root, K)
    upside_down = 2 * K[:2, 2] - keypoints
    for bad in (upside_down, np.tile(keypoints[:1], (17, 1))):
        assert geometry.place_root(joints, bad, np.ones(17), K) is None


def test_root_unknown_with_too_few_keypoints():
    joints, root = person((0, 0, 3))
    keypoints = geometry.project(joints + root, K)
    keypoints[3:] = np.nan
    assert geometry.place_root(joints, keypoints, np.ones(17), K) is None


def test_align_recovers_a_similarity():
    source = RNG.normal(size=(17, 3))
    R = random_rotation(RNG)
    scale, R_found, t = geometry.best_similarity(source, 1.7 * source @ R.T + (1, 2, 3))
    np.testing.assert_allclose(scale, 1.7)
    np.testing.assert_allclose(R_found, R, atol=1e-9)
    np.testing.assert_allclose(t, (1, 2, 3), atol=1e-9)


def test_align_never_mirrors():
    source = RNG.normal(size=(17, 3))
    target = source * (-1, 1, 1)
    scale, R, t = geometry.best_similarity(source, target)
    np.testing.assert_allclose(np.linalg.det(R), 1)

    def error(scale, R):
        moved = scale * (source - source.mean(0)) @ R.T + target.mean(0)
        return ((moved - target) ** 2).sum()

    np.testing.assert_allclose(t, target.mean(0) - scale * R @ source.mean(0), atol=1e-12)
    for factor in (0.9, 1.1):  # of all that are no mirror images it is the best
        assert error(factor * scale, R) > error(scale, R)
    others = (random_rotation(np.random.default_rng(i)) for i in range(100))
    assert all(error(scale, other) > error(scale, R) for other in others)
