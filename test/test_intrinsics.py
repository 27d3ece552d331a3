import numpy as np
import pytest
import yaml
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from pandapose_ros.geometry import project
from pandapose_ros.node.intrinsics import (
    camera_info_from_field_of_view,
    camera_info_from_file,
    intrinsics_from_message,
)

K = [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]


def info(**changes):
    return CameraInfo(**{"width": 640, "height": 480, "k": K, **changes})


def test_pinhole_has_no_distortion():
    for model in ("", "plumb_bob", "rational_polynomial"):
        for d in ([], [0.0] * 5, [0.0] * 8):
            intrinsics, distortion = intrinsics_from_message(
                info(distortion_model=model, d=d), 640, 480
            )
            np.testing.assert_array_equal(intrinsics, np.reshape(K, (3, 3)))
            assert distortion is None


@pytest.mark.parametrize(
    ("model", "d", "is_fisheye"),
    [
        ("plumb_bob", [0.1, -0.2, 0.001, 0.002], False),
        ("plumb_bob", [0.1, -0.2, 0.001, 0.002, 0.05], False),
        ("rational_polynomial", [0.1, -0.2, 0.001, 0.002, 0.05, 0.3, 0.2, 0.1], False),
        ("equidistant", [0.1, -0.2, 0.01, 0.002], True),
        ("equidistant", [0.0] * 4, True),
    ],
)
def test_lens_models_are_handed_on(model, d, is_fisheye):
    _, distortion = intrinsics_from_message(info(distortion_model=model, d=d), 640, 480)
    assert distortion.is_fisheye == is_fisheye
    expected = d if is_fisheye or len(d) > 4 else [*d, 0.0]
    np.testing.assert_array_equal(distortion.coefficients, expected)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"k": [0.0] * 9}, "no focal length .* calibrate"),
        ({"k": [float("nan"), *K[1:]]}, "K is not finite; calibrate"),
        ({"width": 1280, "height": 720}, "1280x720 .* image has 640x480"),
        ({"distortion_model": "mei", "d": [0.1] * 4}, "unknown .* 'mei', .* equidistant.* rectif"),
        ({"distortion_model": "", "d": [0.1] * 5}, "unknown distortion model '', expected"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, "'equidistant': .* 4 .* got 5"),
        ({"distortion_model": "rational_polynomial", "d": [0.1] * 7}, "'rational.* got 7"),
        ({"distortion_model": "plumb_bob", "d": [0.1] * 3}, "'plumb_bob': .* got 3; calibrate"),
        ({"distortion_model": "plumb_bob", "d": [float("nan")] * 5}, "not finite"),
    ],
)
def test_unusable_calibration_is_refused_with_the_reason(changes, text):
    with pytest.raises(ValueError, match=text):
        intrinsics_from_message(info(**changes), 640, 480)


def test_a_message_without_a_size_is_taken_for_any_image():
    intrinsics, _ = intrinsics_from_message(info(width=0, height=0), 320, 240)
    np.testing.assert_array_equal(intrinsics, np.reshape(K, (3, 3)))


def test_binning_and_region_of_interest_move_the_pixels():
    cropped = info(
        binning_x=2,
        binning_y=2,
        roi=RegionOfInterest(x_offset=100, y_offset=40, width=400, height=200),
    )
    intrinsics, _ = intrinsics_from_message(cropped, 200, 100)
    point = np.array([[0.3, -0.2, 2.0]])
    u, v = project(point, np.reshape(K, (3, 3)))[0]
    expected = ((u - 100 + 0.5) / 2 - 0.5, (v - 40 + 0.5) / 2 - 0.5)
    np.testing.assert_allclose(project(point, intrinsics)[0], expected)


def test_a_rectified_image_has_the_projection_matrix_as_its_camera():
    message = info(distortion_model="equidistant", d=[0.1] * 4)
    message.p = [300.0, 0.0, 310.0, 0.0, 0.0, 305.0, 245.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    intrinsics, distortion = intrinsics_from_message(message, 640, 480, rectified=True)
    np.testing.assert_array_equal(intrinsics, [[300, 0, 310], [0, 305, 245], [0, 0, 1]])
    assert distortion is None


def test_field_of_view_becomes_a_calibration_that_reads_back():
    message = camera_info_from_field_of_view(np.pi / 2, 640, 480)
    intrinsics, distortion = intrinsics_from_message(message, 640, 480)
    np.testing.assert_allclose(intrinsics, [[320, 0, 319.5], [0, 320, 239.5], [0, 0, 1]])
    assert distortion is None
    np.testing.assert_allclose(np.reshape(message.p, (3, 4))[:, :3], intrinsics)


@pytest.fixture
def calibration():
    return {
        "image_width": 640,
        "image_height": 480,
        "camera_name": "narrow_stereo",
        "camera_matrix": {"rows": 3, "cols": 3, "data": K},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0, 0, 0.01]},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [*range(12)]},
    }


def test_calibration_file_reads_back(calibration, tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(calibration))
    message = camera_info_from_file(str(path))
    intrinsics, distortion = intrinsics_from_message(message, 640, 480)
    np.testing.assert_array_equal(intrinsics, np.reshape(K, (3, 3)))
    np.testing.assert_array_equal(distortion.coefficients, [0.1, -0.2, 0, 0, 0.01])
    np.testing.assert_array_equal(message.p, np.arange(12.0))


def test_calibration_file_may_leave_out_rectification(calibration, tmp_path):
    path = tmp_path / "camera.yaml"
    del calibration["rectification_matrix"], calibration["projection_matrix"]
    path.write_text(yaml.safe_dump(calibration))
    message = camera_info_from_file(str(path))
    np.testing.assert_array_equal(message.r, np.eye(3).ravel())
    np.testing.assert_array_equal(np.reshape(message.p, (3, 4))[:, :3], np.reshape(K, (3, 3)))


def test_bad_calibration_files_are_named(calibration, tmp_path):
    path = tmp_path / "camera.yaml"
    for content, text in (
        ("just text", "written by camera_calibration"),
        (yaml.safe_dump({**calibration, "camera_matrix": {"data": K[:8]}}), "expected 9 .* got 8"),
        (
            yaml.safe_dump({k: v for k, v in calibration.items() if k != "image_width"}),
            "'image_width' is missing",
        ),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=text):
            camera_info_from_file(str(path))
    with pytest.raises(FileNotFoundError):
        camera_info_from_file(str(tmp_path / "absent.yaml"))
