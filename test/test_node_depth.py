"""Depth images beside the images, over real DDS."""

import array
import threading
import time

import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.depth import DepthBuffer, depth_from_message
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.stamps import nanoseconds


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


def test_the_buffer_finds_the_nearest_within_the_window():
    buffer = DepthBuffer()
    assert not buffer.is_alive
    for milliseconds in (1000, 1033, 1066):
        buffer.add(depth_message(np.ones((1, 1)), "16UC1", stamp_ns=milliseconds * 10**6))
    assert buffer.is_alive
    found = buffer.find(1040 * 10**6, 0.02)
    assert nanoseconds(found.header.stamp) == 1033 * 10**6
    buffer.add(depth_message(np.ones((1, 1)), "16UC1", stamp_ns=1000 * 10**9))
    started = time.monotonic()
    assert buffer.find(900 * 10**9, 60.0) is None  # later ones have come: no use in waiting
    assert time.monotonic() - started < 30


def test_the_buffer_waits_for_what_may_still_come():
    buffer = DepthBuffer()
    buffer.add(depth_message(np.ones((1, 1)), "16UC1", stamp_ns=10**9))
    late = depth_message(np.ones((1, 1)), "16UC1", stamp_ns=2 * 10**9)
    timer = threading.Timer(0.05, buffer.add, [late])
    timer.start()
    assert buffer.find(2 * 10**9, 0.5) is late
    waited = []
    for _ in range(5):  # a busy machine may wake it late
        started = time.monotonic()
        assert buffer.find(3 * 10**9, 0.1) is None
        waited.append(time.monotonic() - started)
    assert 0.09 < min(waited) < 0.3
    timer.join()


def test_depth_places_people_and_its_absence_is_counted(graph, make_camera, walker, capfd):
    overrides = {"threads": 1, "depth_window": 0.3}
    parameters = [Parameter(name, value=value) for name, value in overrides.items()]
    node = graph.add(PoseNode(context=graph.context, parameter_overrides=parameters))
    camera = make_camera()
    depths = camera.node.create_publisher(Image, "depth", 5)
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: depths.get_subscription_count() == 1)
    height, width = walker.shape[:2]
    camera.infos.publish(camera_info_from_field_of_view(1.0, width, height))
    graph.spin_until(lambda: node.cameras[0].input._camera_info is not None)

    def source(depth=None, *, apart=0):
        message = camera.message(walker)
        if depth is not None:
            stamp_ns = nanoseconds(message.header.stamp) + apart
            depths.publish(depth_message(depth, "16UC1", stamp_ns=stamp_ns))
        (skeleton,) = camera.exchange(message).skeletons
        return skeleton

    plain = source()
    assert plain.root_source == Skeleton3D.ROOT_INTRINSICS
    assert node.statistics.missed_depth == 0  # nobody sends any
    distance = plain.root_position.z - 0.4
    surface = np.full((height, width), distance, np.float32)
    placed = source(surface)
    assert placed.root_source == Skeleton3D.ROOT_DEPTH
    assert 0.05 < placed.root_position.z - distance < 0.25
    assert placed.root_position_covariance[0] > 0
    graph.spin_for(0.4)  # the last depth image leaves the window
    assert source(surface, apart=10**9).root_source == Skeleton3D.ROOT_INTRINSICS
    assert source(surface[:100]).root_source == Skeleton3D.ROOT_INTRINSICS
    log = capfd.readouterr().err
    assert "no depth image within 0.3 s of an image (depth_window)" in log
    assert "100 is not registered to the image of" in log
    counts = node.statistics
    assert (counts.missed_depth, counts.refused_depth, counts.failed) == (1, 1, 0)
