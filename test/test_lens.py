import cv2
import numpy as np
import pytest

from pandapose_ros import geometry
from pandapose_ros.lens import ImageUndistorter, check_distortion, distort_box, distort_pixels

K = np.array([[600.0, 0, 320], [0, 610, 250], [0, 0, 1]])
DISTORTION = np.array([-0.2, 0.05, 0.001, -0.002, 0.01])
RNG = np.random.default_rng(0)


def test_distorted_pixels_are_those_of_the_distorted_projection():
    points = RNG.uniform((-0.4, -0.4, 1), (0.4, 0.4, 3), size=(20, 3))
    ideal, real = geometry.project(points, K), geometry.project(points, K, DISTORTION)
    assert np.abs(real - ideal).max() > 1
    np.testing.assert_allclose(distort_pixels(ideal, K, DISTORTION), real, atol=1e-6)


def test_undistorted_image_shows_a_point_where_the_pinhole_does():
    point = np.array([0.35, -0.25, 1.0])
    image = np.zeros((480, 640, 3), np.uint8)
    u, v = geometry.project(point, K, DISTORTION)
    cv2.circle(image, (round(u * 16), round(v * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    ideal = ImageUndistorter().undistort(image, K, DISTORTION)
    rows, columns = np.nonzero(ideal[..., 0] > 127)
    np.testing.assert_allclose((columns.mean(), rows.mean()), geometry.project(point, K), atol=0.3)
    assert np.linalg.norm(geometry.project(point, K) - (u, v)) > 5


def test_undistorter_follows_a_change_of_camera():
    image = RNG.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    small = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    undistorter = ImageUndistorter()
    first = undistorter.undistort(image, small, DISTORTION)
    undistorter.undistort(image, small, 2 * DISTORTION)
    np.testing.assert_array_equal(undistorter.undistort(image, small, DISTORTION), first)


def test_box_stays_in_the_image():
    box = distort_box(np.array([-500.0, 10, 900, 470]), K, DISTORTION, (640, 480))
    assert (box >= 0).all()
    assert (box <= (639, 479, 639, 479)).all()


def test_no_distortion_is_none():
    assert check_distortion(None) is None
    assert check_distortion(np.zeros(5)) is None
    np.testing.assert_array_equal(check_distortion([0.1, 0, 0, 0]), [0.1, 0, 0, 0, 0])


@pytest.mark.parametrize(("bad", "message"), [(np.ones(3), "4 or 5"), ([np.nan] * 5, "finite")])
def test_bad_distortion_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        check_distortion(bad)
