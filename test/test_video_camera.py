import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml
from clip_images import declare_1000_hz, write_video
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from pandapose_ros.config import VideoCameraConfig
from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.video_camera import VideoCamera, VideoSource
from pandapose_ros.node.viewer import Viewer

FRAMES = 12
SIZE = (64, 48)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip whose images are told apart by their grey."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50, SIZE)
    for number in range(FRAMES):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 20 * number, np.uint8))
    writer.release()
    return str(path)


@pytest.fixture
def make_video_camera(graph):
    def make(**overrides):
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        node = VideoCamera(context=graph.context, parameter_overrides=parameters)
        return graph.add(node)

    return make


@pytest.fixture
def listener(graph):
    """Lists of the images and calibrations that arrive."""
    from rclpy.node import Node

    node = graph.add(Node("listener", context=graph.context))
    images, infos = [], []
    node.create_subscription(CameraInfo, "camera_info", infos.append, QoSProfile(depth=100))
    node.create_subscription(Image, "image_raw", images.append, QoSProfile(depth=100))
    return images, infos


def greys(images):
    return [round(float(image_from_message(image).mean()) / 20) for image in images]


def test_a_file_is_played_once_and_whole(graph, make_video_camera, listener, clip):
    images, infos = listener
    camera = make_video_camera(source=clip, wait_for_subscribers=1, frame_id="lens")
    graph.spin_until(camera.finished.done)
    assert camera.finished.result() is None
    assert greys(images) == list(range(FRAMES))
    assert [i.header for i in images] == [i.header for i in infos]
    stamps = np.array([i.header.stamp.sec + i.header.stamp.nanosec / 1e9 for i in images])
    assert np.median(np.diff(stamps)) == pytest.approx(1 / 50, abs=0.015)
    first = images[0]
    assert (first.width, first.height, first.header.frame_id) == (*SIZE, "lens")
    assert (infos[0].width, infos[0].height) == SIZE
    focal = SIZE[0] / 2 / np.tan(1.05 / 2)
    np.testing.assert_allclose(infos[0].k, [focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1])


def test_a_loop_starts_again(graph, make_video_camera, listener, clip):
    images, _ = listener
    make_video_camera(source=clip, wait_for_subscribers=1, loop=True, rate=200.0)
    graph.spin_until(lambda: len(images) > 2 * FRAMES)
    assert greys(images)[: 2 * FRAMES] == [*range(FRAMES), *range(FRAMES)]


def test_an_image_file_is_a_video_of_one_image(graph, make_video_camera, listener, tmp_path):
    path = tmp_path / "still.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), pixels[..., ::-1])
    images, _ = listener
    camera = make_video_camera(source=str(path), wait_for_subscribers=1, loop=True, rate=50.0)
    graph.spin_until(lambda: len(images) == 3)
    assert not camera.finished.done()
    for image in images:
        np.testing.assert_array_equal(image_from_message(image), pixels)


def test_a_browsers_recording_is_played_at_its_own_rate(tmp_path):
    video = tmp_path / "browser.mkv"
    write_video(video, [np.zeros((48, 64, 3), np.uint8)] * 5)
    declare_1000_hz(video)
    assert VideoSource(VideoCameraConfig(source=str(video))).rate == pytest.approx(10)


def test_a_name_may_hold_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "12:30.avi", [np.zeros((48, 64, 3), np.uint8)])
    source = VideoSource(VideoCameraConfig(source="12:30.avi"))
    for _ in range(2):
        assert source.grab()
        source.rewind()


def test_nothing_is_published_before_enough_subscribers(graph, make_video_camera, listener, clip):
    images, _ = listener
    camera = make_video_camera(source=clip, wait_for_subscribers=2)
    graph.spin_for(0.8)
    assert (images, camera.published) == ([], 0)


def test_without_field_of_view_there_is_no_camera_info(graph, make_video_camera, listener, clip):
    images, infos = listener
    make_video_camera(source=clip, wait_for_subscribers=1, field_of_view=0.0)
    graph.spin_until(lambda: len(images) == 3)
    assert infos == []


def calibration(path, width):
    path.write_text(
        yaml.safe_dump(
            {
                "image_width": width,
                "image_height": SIZE[1],
                "camera_matrix": {"data": [50, 0, 32, 0, 51, 24, 0, 0, 1]},
                "distortion_model": "plumb_bob",
                "distortion_coefficients": {"data": [0.1, 0, 0, 0, 0]},
            }
        )
    )
    return str(path)


def test_calibration_comes_from_the_file(graph, make_video_camera, listener, clip, tmp_path):
    _, infos = listener
    file = calibration(tmp_path / "camera.yaml", SIZE[0])
    make_video_camera(source=clip, wait_for_subscribers=1, calibration=file)
    graph.spin_until(lambda: infos)
    np.testing.assert_array_equal(infos[0].k, [50, 0, 32, 0, 51, 24, 0, 0, 1])
    np.testing.assert_array_equal(infos[0].d, [0.1, 0, 0, 0, 0])


def test_calibration_for_another_size_is_refused(graph, make_video_camera, clip, tmp_path):
    file = calibration(tmp_path / "camera.yaml", 640)
    camera = make_video_camera(source=clip, calibration=file)
    graph.spin_until(camera.finished.done)
    with pytest.raises(ValueError, match=r"is for 640x48 pixels, but .* has 64x48"):
        camera.finished.result()


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        ({"source": "/absent.mp4"}, FileNotFoundError, "neither a file nor the index of a webcam"),
        ({"source": __file__}, ValueError, "not a video or image file"),
        ({"source": "97"}, FileNotFoundError, "cannot open webcam 97"),
        ({"rate": -1.0}, ValueError, "'rate' must be at least 0.0"),
        ({"sorce": "x.mp4"}, ValueError, "did you mean 'source'"),
        ({"calibration": "/absent.yaml"}, FileNotFoundError, "/absent.yaml"),
    ],
)
def test_what_cannot_be_opened_is_named(make_video_camera, clip, overrides, error, text):
    with pytest.raises(error, match=text) as failure:
        make_video_camera(**{"source": clip, **overrides})
    half_made(failure, VideoCamera).destroy_node()


def half_made(failure, kind):
    """The node that could not be made: from Kilted on, rclpy destroys it at shutdown."""
    frames = (entry.frame.f_locals for entry in failure.traceback)
    return next(values["self"] for values in frames if type(values.get("self")) is kind)


def test_a_viewer_that_is_half_made_can_be_destroyed(graph):
    with pytest.raises(ValueError, match="did you mean 'port'") as failure:
        Viewer(context=graph.context, parameter_overrides=[Parameter("prot", value=8080)])
    half_made(failure, Viewer).destroy_node()


def run(*arguments):
    command = [sys.executable, "-m", "pandapose_ros.node.video_camera", "--ros-args"]
    arguments = [part for argument in arguments for part in ("-p", argument)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_process_ends_well_at_the_end_of_a_file(clip):
    done = run(f"source:={clip}", "rate:=500.0")
    assert done.returncode == 0
    assert f"end of {clip}: {FRAMES} images" in done.stderr


def test_the_process_fails_in_one_line():
    done = run("source:=/absent.mp4")
    assert done.returncode == 1
    assert "source '/absent.mp4' is neither a file" in done.stderr
    assert "Traceback" not in done.stderr
