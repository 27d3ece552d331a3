import cv2
import numpy as np
import pytest

from pandapose_ros import geometry
from pandapose_ros.camera.lens import (
    Distortion,
    ImageUndistorter,
    check_distortion,
    distort_pixels,
    ideal_intrinsics,
    undistort_pixels,
)
from pandapose_ros.camera.lens_boxes import distort_box

K = np.array([[600.0, 0, 320], [0, 610, 250], [0, 0, 1]])
PLUMB_BOB = Distortion(np.array([-0.2, 0.05, 0.001, -0.002, 0.01]))
RATIONAL = Distortion(np.array([0.3, -0.2, 0.001, -0.002, 0.05, 0.6, -0.15, 0.02]))
FISHEYE = Distortion(np.array([0.05, -0.01, 0.004, -0.001]), is_fisheye=True)
LENSES = pytest.mark.parametrize(
    "lens", [PLUMB_BOB, RATIONAL, FISHEYE], ids=["plumb_bob", "rational", "fisheye"]
)
# A wide barrel lens, of 85 degrees from side to side without it, of 103 with it.
WIDE_K = np.array([[350.0, 0, 319.5], [0, 350, 239.5], [0, 0, 1]])
WIDE = Distortion(np.array([-0.33, 0.1, 0.0, 0.0, 0.0]))
# Models that turn back at 53, 46 and 64 degrees, and one with a pole at 60.
TURNING = {
    "plumb_bob": Distortion(np.array([-0.41, 0.22, 0.001, -0.002, -0.06])),
    "rational": Distortion(np.array([0.3, -0.2, 0.0, 0.0, 0.0, 0.5, 0.0, 0.02])),
    "fisheye": Distortion(np.array([-0.25, -0.01, 0.0, 0.0]), is_fisheye=True),
    "pole": Distortion(np.array([0.0, 0.0, 0.0, 0.0, 0.0, -1 / 3, 0.0, 0.0])),
}
SIZE = (640, 480)
RNG = np.random.default_rng(0)


def photograph(points, lens):
    """Where OpenCV's own camera with this lens shows points [N, 3]."""
    still, points = np.zeros(3), points.reshape(-1, 1, 3)
    if lens.is_fisheye:
        pixels, _ = cv2.fisheye.projectPoints(points, still, still, K, lens.coefficients)
    else:
        pixels, _ = cv2.projectPoints(points, still, still, K, lens.coefficients)
    return pixels.reshape(-1, 2)


@LENSES
def test_distorted_pixels_are_those_of_the_real_camera(lens):
    points = RNG.uniform((-0.4, -0.4, 1), (0.4, 0.4, 3), size=(20, 3))
    ideal, real = geometry.project(points, K), photograph(points, lens)
    assert np.abs(real - ideal).max() > 1
    np.testing.assert_allclose(distort_pixels(ideal, K, lens), real, atol=1e-4)


@LENSES
def test_undistorted_image_shows_a_point_where_the_pinhole_does(lens):
    point = np.array([0.35, -0.25, 1.0])
    image = np.zeros((480, 640, 3), np.uint8)
    ((u, v),) = photograph(point, lens)
    cv2.circle(image, (round(u * 16), round(v * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    ideal = ImageUndistorter().undistort(image, K, lens)
    rows, columns = np.nonzero(ideal[..., 0] > 127)
    np.testing.assert_allclose((columns.mean(), rows.mean()), geometry.project(point, K), atol=0.3)
    assert np.linalg.norm(geometry.project(point, K) - (u, v)) > 4


def test_undistorter_follows_a_change_of_camera():
    image = RNG.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    small = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    undistorter = ImageUndistorter()
    first = undistorter.undistort(image, small, PLUMB_BOB)
    second = undistorter.undistort(image, small, FISHEYE)
    four = Distortion(FISHEYE.coefficients)  # the same numbers of another model
    assert (undistorter.undistort(image, small, four) != second).any()
    np.testing.assert_array_equal(undistorter.undistort(image, small, PLUMB_BOB), first)
    short = small * np.array([[0.8], [0.8], [1]])
    assert (undistorter.undistort(image, small, PLUMB_BOB, short) != first).any()
    assert undistorter.undistort(image[:40], small, PLUMB_BOB, short).shape == (40, 64, 3)


def test_the_ideal_camera_is_that_of_the_last_lens_and_size():
    undistorter, image = ImageUndistorter(), np.zeros((480, 640, 3), np.uint8)
    for pixels, lens in ((image, WIDE), (image, PLUMB_BOB), (image, WIDE), (image[:400], WIDE)):
        size = (pixels.shape[1], pixels.shape[0])
        _, K_ideal = undistorter.show(pixels, WIDE_K, lens)
        np.testing.assert_array_equal(K_ideal, ideal_intrinsics(WIDE_K, lens, size))


def test_a_wide_lens_loses_no_columns():
    image = np.zeros((480, 640, 3), np.uint8)
    image[200:280, 2:12] = 255
    image[200:280, -12:-2] = 255
    ideal, K_ideal = ImageUndistorter().show(image, WIDE_K, WIDE)
    rows, columns = np.nonzero(ideal[..., 0] > 127)
    for left, u in ((True, 6.5), (False, 632.5)):
        side = columns < 320 if left else columns >= 320
        middle = np.array([columns[side].mean(), rows[side].mean()])
        real = distort_pixels(middle, K_ideal, WIDE, WIDE_K)
        np.testing.assert_allclose(real, (u, 239.5), atol=0.5)
    np.testing.assert_array_equal(K_ideal[:, 2], WIDE_K[:, 2])
    assert 0.7 < K_ideal[0, 0] / WIDE_K[0, 0] < 0.76
    # Data sets have an ideal image of the same K.
    assert (ImageUndistorter().undistort(image, WIDE_K, WIDE) == 0).all()


def test_mild_lenses_and_fisheyes_keep_their_focal_length():
    for lens in (PLUMB_BOB, RATIONAL, FISHEYE):
        assert ideal_intrinsics(K, lens, SIZE) is K
        image = RNG.integers(0, 255, (480, 640, 3), dtype=np.uint8)
        shown, K_ideal = ImageUndistorter().show(image, K, lens)
        assert K_ideal is K
        np.testing.assert_array_equal(shown, ImageUndistorter().undistort(image, K, lens))
    round_about = Distortion(np.zeros(4), is_fisheye=True)  # of 180 degrees
    K_wide = np.array([[204.0, 0, 319.5], [0, 204, 239.5], [0, 0, 1]])
    assert ideal_intrinsics(K_wide, round_about, SIZE) is K_wide
    for centre in ((0.0, 239.5), (700.0, 239.5)):  # of a cut image
        cut = WIDE_K.copy()
        cut[:2, 2] = centre
        assert ideal_intrinsics(cut, WIDE, SIZE) is cut


def test_people_shrink_to_seven_tenths_at_most():
    extreme = Distortion(np.array([-0.4, 0.12, 0.0, 0.0, 0.0]))
    K_ideal = ideal_intrinsics(WIDE_K, extreme, SIZE)
    np.testing.assert_allclose(K_ideal[:2, :2], 0.7 * WIDE_K[:2, :2])


def test_nobody_is_shown_twice_where_a_polynomial_turns_back():
    turning = Distortion(np.array([-0.33, 0.0, 0.0, 0.0, 0.0]))  # back from 45 degrees on
    K_ideal = ideal_intrinsics(WIDE_K, turning, SIZE)
    assert K_ideal is WIDE_K


def test_box_of_a_near_person_holds_the_head():
    box = np.array([200.0, 5, 440, 475])
    left, top, right, bottom = distort_box(box, WIDE_K, WIDE, SIZE)
    head, side = distort_pixels(np.array([[319.5, 5.0], [200, 239.5]]), WIDE_K, WIDE)
    assert top <= head[1] + 0.1
    assert left <= side[0] + 0.1
    assert right - left < 240
    assert bottom - top < 470


def test_box_stays_in_the_image():
    box = distort_box(np.array([-500.0, 10, 900, 470]), K, PLUMB_BOB, (640, 480))
    assert (box[0], box[2]) == (0, 639)
    assert 0 <= box[1] < 20
    assert 440 < box[3] <= 479


@pytest.mark.parametrize("lens", TURNING.values(), ids=TURNING)
def test_what_is_further_from_the_axis_is_shown_further_out(lens):
    angles = np.linspace(0, np.radians(85), 500)[:, None, None]
    around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ways = np.tan(angles) * np.stack((np.cos(around), np.sin(around)), axis=-1)
    ideal = ways @ K[:2, :2].T + K[:2, 2]
    real = distort_pixels(ideal, K, lens)
    steps = np.diff(np.linalg.norm((real - K[:2, 2]) / np.diag(K)[:2], axis=-1), axis=0)
    assert steps.min() > -1e-3  # tangential distortion moves the turn a little
    # Continuous: no step is longer than one of a pinhole, but near a pole.
    longest = np.diff(np.tan(angles[:, 0]), axis=0)
    assert (steps <= 3 * longest).all() or lens is TURNING["pole"]
    near = np.tan(angles[:, 0, 0]) < 0.7
    rays = np.concatenate((ways[near], np.ones_like(ways[near][..., :1])), axis=-1)
    expected = photograph(rays.reshape(-1, 3), lens).reshape(-1, 16, 2)
    np.testing.assert_allclose(real[near], expected, atol=1e-4)
    back = undistort_pixels(real[near].reshape(-1, 2), K, lens)
    np.testing.assert_allclose(back, ideal[near].reshape(-1, 2), atol=0.5)
    assert np.isnan(undistort_pixels(real[-1], K, lens)).all()


def test_no_distortion_is_none_but_a_fisheye_always_distorts():
    assert check_distortion(None) is None
    for count in (4, 5, 8, 12, 14):
        assert check_distortion(np.zeros(count)) is None
    np.testing.assert_array_equal(check_distortion([0.1, 0, 0, 0]).coefficients, [0.1, 0, 0, 0, 0])
    fisheye = check_distortion(Distortion([0.0] * 4, is_fisheye=True))
    assert fisheye.is_fisheye
    u, v = distort_pixels(K[:2, 2] + (K[0, 0], 0), K, fisheye)
    np.testing.assert_allclose((u, v), K[:2, 2] + (K[0, 0] * np.pi / 4, 0))  # at 45 degrees


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3), "expected 4, 5, 8, 12, 14 .* got 3"),
        ([np.nan] * 5, "finite"),
        (Distortion(np.ones(5), is_fisheye=True), "expected 4 fisheye coefficients, got 5"),
    ],
)
def test_bad_distortion_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        check_distortion(bad)
