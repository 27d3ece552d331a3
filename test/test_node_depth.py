"""Depth images beside the images, over real DDS."""

import array
import functools

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.depth import depth_from_message
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view
from pandapose_ros.node.stamps import nanoseconds

pytestmark = pytest.mark.usefixtures("opened_once")
WARN = DiagnosticStatus.WARN


def depth_message(depth, encoding, *, padding=0, big_endian=False, stamp_ns=0):
    """Pack metres as a depth camera does."""
    kind = {"16UC1": "u2", "32FC1": "f4"}[encoding]
    values = np.round(depth * 1000) if kind == "u2" else depth
    rows = np.ascontiguousarray(values, (">" if big_endian else "<") + kind).view(np.uint8)
    rows = np.pad(rows.reshape(len(depth), -1), ((0, 0), (0, padding)), constant_values=255)
    message = Image(
        height=depth.shape[0],
        width=depth.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=int(big_endian),
        data=array.array("B", rows.tobytes()),
    )
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_both_encodings_become_metres(encoding, big_endian, padding):
    depth = np.array([[0.0, 0.5, 1.234], [65.535, 7.0, 2.0]], np.float32)
    packed = depth_message(depth, encoding, padding=padding, big_endian=big_endian)
    np.testing.assert_allclose(depth_from_message(packed), depth, rtol=1e-6)


def test_other_depth_images_are_refused_with_the_reason():
    good = depth_message(np.ones((4, 4)), "16UC1")
    for changes, text in (
        ({"encoding": "rgb8"}, "'rgb8', expected 16UC1 .mm. or 32FC1"),
        ({"width": 0}, "without pixels: 0x4"),
        ({"step": 5}, "step of 5 bytes is too small"),
        ({"data": good.data[:9]}, "too short"),
    ):
        values = {name: getattr(good, name) for name in ("width", "height", "step", "data")}
        with pytest.raises(ValueError, match=text):
            depth_from_message(Image(**{"encoding": "16UC1", **values, **changes}))


class DepthCamera:
    """A node, and the camera of colours and depth that it listens to."""

    def __init__(self, graph, camera, node, pixels, *, is_calibrated=True):
        self.graph, self.camera, self.node, self.pixels = graph, camera, node, pixels
        self.height, self.width = pixels.shape[:2]
        self.publisher = camera.node.create_publisher(Image, "depth", 5)
        assert node.start()
        self.wait_for_node()
        if not is_calibrated:
            return
        camera.infos.publish(camera_info_from_field_of_view(1.0, self.width, self.height))
        graph.spin_until(lambda: node.cameras[0].input.camera_info is not None)

    def wait_for_node(self):
        self.camera.wait_for_node()
        self.graph.spin_until(lambda: self.publisher.get_subscription_count() == 1)

    def wall(self, distance):
        return np.full((self.height, self.width), distance, np.float32)

    def send_depth(self, depth, stamp_ns, frame=""):
        message = depth_message(depth, "16UC1", stamp_ns=stamp_ns)
        message.header.frame_id = frame
        self.publisher.publish(message)

    def person(self, depth=None, *, apart=0, frame=""):
        """Send an image after its depth, and return who is there."""
        message = self.camera.message(self.pixels)
        if depth is not None:
            self.send_depth(depth, nanoseconds(message.header.stamp) + apart, frame)
        (skeleton,) = self.camera.exchange(message).skeletons
        return skeleton

    def person_before(self, depth, stamp_ns):
        """Send an image before its depth, and return who is there."""
        message = self.camera.message(self.pixels)
        message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        count = self.node.statistics.received + 1
        self.camera.images.publish(message)
        self.graph.spin_until(lambda: self.node.statistics.received == count)
        self.graph.spin_for(0.1)  # what depth lags behind
        self.send_depth(depth, stamp_ns)

        def has_come():
            return self.camera.skeletons[-1:] and (
                self.camera.skeletons[-1].header.stamp == message.header.stamp
            )

        self.graph.spin_until(has_come)
        return self.camera.skeletons[-1].skeletons[0]


@pytest.fixture
def rgbd(graph, make_camera, make_node, walker):
    def make(*, is_calibrated=True, **overrides):
        node = make_node(threads=1, **overrides)
        return DepthCamera(graph, make_camera(), node, walker, is_calibrated=is_calibrated)

    return make


def test_depth_places_people_and_its_absence_is_counted(graph, rgbd, capfd):
    camera = rgbd(depth_window=0.3)
    counts = camera.node.statistics
    plain = camera.person()
    assert plain.root_source == Skeleton3D.ROOT_INTRINSICS
    assert counts.missed_depth == 0  # nobody sends any
    distance = plain.root_position.z - 0.4
    surface = camera.wall(distance)
    placed = camera.person(surface)
    assert placed.root_source == Skeleton3D.ROOT_DEPTH
    assert 0.05 < placed.root_position.z - distance < 0.25
    assert placed.root_position_covariance[0] > 0
    graph.spin_for(0.4)  # the last depth image leaves the window
    assert camera.person(surface, apart=10**9).root_source == Skeleton3D.ROOT_INTRINSICS
    assert camera.person(surface[:100]).root_source == Skeleton3D.ROOT_INTRINSICS
    assert camera.person(surface, frame="depth_lens").root_source == Skeleton3D.ROOT_INTRINSICS
    assert camera.person(surface, frame="lens").root_source == Skeleton3D.ROOT_DEPTH
    log = capfd.readouterr().err
    assert "it is in depth_lens, not in the images' lens: give the topic" in log
    assert "no depth image within 0.3 s of an image (depth_window)" in log
    assert "100 is not registered to the image of" in log
    assert (counts.missed_depth, counts.refused_depth, counts.failed) == (1, 2, 0)


def test_whoever_names_the_frame_vouches_for_depth_of_any(rgbd):
    camera = rgbd(depth_window=0.3, frame_id="robot/lens")
    surface = camera.wall(camera.person().root_position.z - 0.4)
    assert camera.person(surface, frame="depth_lens").root_source == Skeleton3D.ROOT_DEPTH
    assert camera.node.statistics.refused_depth == 0


def test_depth_of_no_use_without_calibration_is_counted(graph, rgbd, monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 60.0)  # however slow the image
    camera = rgbd(depth_window=0.3, is_calibrated=False)
    camera.send_depth(
        camera.wall(2.0), nanoseconds(camera.camera.message(camera.pixels).header.stamp)
    )
    graph.spin_until(lambda: camera.node.cameras[0].pipeline.depths.is_alive)
    assert camera.person().root_source == Skeleton3D.ROOT_ASSUMED_FIELD_OF_VIEW
    assert camera.node.statistics.missed_depth == 1
    assert "without camera_info" in camera.node.cameras[0].pipeline.depth.state


def test_depth_that_comes_after_its_image_is_waited_for(graph, rgbd, monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 60.0)  # however slow the first image
    camera = rgbd(depth_window=1.0)
    distance = camera.person().root_position.z - 0.4
    stamp_ns = 50 * 10**9
    camera.send_depth(camera.wall(distance + 0.8), stamp_ns - 33 * 10**6)
    graph.spin_until(lambda: camera.node.cameras[0].pipeline.depths.is_alive)
    seen = camera.person_before(camera.wall(distance), stamp_ns)
    assert seen.root_source == Skeleton3D.ROOT_DEPTH
    assert 0.05 < seen.root_position.z - distance < 0.25
    # A recording starts again: that later ones have come says nothing now.
    seen = camera.person_before(camera.wall(distance), 10 * 10**9)
    assert seen.root_source == Skeleton3D.ROOT_DEPTH
    assert camera.node.statistics.missed_depth == 0


def test_a_depth_camera_that_dies_is_told_as_long_as_it_is_away(graph, rgbd, log, monkeypatch):
    camera = rgbd(depth_window=1.0)
    arrays = camera.camera.listen(DiagnosticArray, "/diagnostics")
    surface = camera.wall(camera.person().root_position.z - 0.4)
    assert camera.person(surface).root_source == Skeleton3D.ROOT_DEPTH
    counts = camera.node.statistics

    def is_told(old):
        missed = counts.missed_depth
        assert camera.person().root_source == Skeleton3D.ROOT_INTRINSICS
        assert counts.missed_depth == missed + 1
        inputs = [s for a in arrays[old:] for s in a.status if s.name == "pose_node: input"]
        return any("depth none for" in s.message and s.level == WARN for s in inputs)

    for _ in range(2):  # a warning that ends by itself would not be there the second time
        graph.spin_for(1.2)
        graph.spin_until(functools.partial(is_told, len(arrays)))
    assert "no depth image for " in log.text
    # A pause in which nothing could come is no silence.
    missed = counts.missed_depth
    camera.node.enable(False)
    graph.spin_until(lambda: camera.publisher.get_subscription_count() == 0)
    graph.spin_for(1.2)
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 60.0)  # however slow what follows
    camera.node.enable(True)
    camera.wait_for_node()
    stamp_ns = nanoseconds(camera.camera.message(camera.pixels).header.stamp)
    assert camera.person_before(surface, stamp_ns).root_source == Skeleton3D.ROOT_DEPTH
    assert counts.missed_depth == missed
