"""Depth that comes less often than images: what is counted, and what is told."""

import array

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.logging import get_logger
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from test_node_depth import DepthCamera
from test_node_diagnostics import Watcher

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.depth_reader import DepthReader
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics

IMAGE_MS = 100 / 3


def depth_at(milliseconds):
    sec, nanosec = divmod(round(milliseconds * 10**6), 10**9)
    data = array.array("B", [232, 3])
    header = Header(stamp=Time(sec=sec, nanosec=nanosec))
    return Image(header=header, height=1, width=1, encoding="16UC1", step=2, data=data)


class Stream:
    """Images at 30 Hz, each read when all depth images up to its stamp have come."""

    def __init__(self, depth_times, window=0.04):
        self.counts = NodeStatistics()
        self.buffer = DepthBuffer()
        self.reader = DepthReader(self.buffer, self.counts, Notices(get_logger("depth")))
        self._due = list(depth_times)
        self._window = window

    def read(self, numbers, offset=0.0):
        """Return for how many of some images there is depth."""
        found = 0
        for number in numbers:
            time = 1000 + number * IMAGE_MS + offset
            while self._due and self._due[0] <= time + 1e-3:
                self.buffer.add(depth_at(self._due.pop(0)))
            depth = self.reader.read(round(time * 10**6), (1, 1), "", self._window)
            found += depth is not None
        return found


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 60.0)  # however slow an image


@pytest.mark.parametrize("period", [100, 200, 300])
def test_images_between_two_depth_images_are_no_fault(period, capfd):
    stream = Stream(range(1000, 4000, period))
    found = stream.read(range(60))
    assert found >= 2000 // period
    assert stream.counts.missed_depth == 0
    assert stream.counts.between_depth == 60 - found > 0
    assert (
        stream.reader.state == f"in use, one every {period / 1000:g} s: images between have none"
    )
    log = capfd.readouterr().err
    assert log.count(f"depth comes every {period / 1000:g} s, less often than images") == 1
    assert "no depth image" not in log


def test_a_depth_image_that_is_lost_is_missed_with_the_images_after_it():
    times = [1000, 1200, 1400, 1600, 2000, 2200]
    stream = Stream(times)
    stream.read(range(18))
    before = stream.counts.between_depth
    assert stream.counts.missed_depth == 0
    stream.read(range(18, 30))
    assert stream.reader.state.startswith("none within")
    stream.read(range(30, 36))
    assert stream.reader.state.startswith("in use, one every 0.2 s")
    # From 1.8 s, when one is due, to 2 s, when the next one is there.
    assert stream.counts.missed_depth == 6
    assert stream.counts.between_depth == before + 8


def test_depth_as_often_as_images_is_missed_where_it_lacks():
    lost = {20, 21, 40}
    stream = Stream([1000 + n * IMAGE_MS for n in range(60) if n not in lost], window=0.01)
    assert stream.read(range(60)) == 57
    assert (stream.counts.missed_depth, stream.counts.between_depth) == (3, 0)
    assert stream.reader.state == "in use"


def test_depth_that_no_image_can_use_is_a_fault_however_often_it_comes(capfd):
    stream = Stream(range(1000, 3000, 200), window=0.01)
    assert stream.read(range(60), offset=15.0) == 0
    assert stream.counts.between_depth == 0
    assert stream.counts.missed_depth > 50
    assert "no depth image within 0.01 s of an image" in capfd.readouterr().err


def test_sparse_depth_is_no_warning_on_diagnostics(graph, make_node, make_camera, walker):
    node = make_node(threads=1, max_image_age=600.0, image_timeout=60.0)
    depth_camera = DepthCamera(graph, make_camera(), node, walker)
    camera = depth_camera.camera
    watcher = Watcher(camera)
    surface = depth_camera.wall(depth_camera.person().root_position.z - 0.4)
    start = nanoseconds(camera.message(walker).header.stamp)
    sources = []
    for number in range(9):
        message = camera.message(walker)
        stamp_ns = start + number * 100_000_000
        message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        if number % 3 == 0:
            received = node.cameras[0].pipeline.depths.received
            depth_camera.send_depth(surface, stamp_ns)
            graph.spin_until(lambda n=received: node.cameras[0].pipeline.depths.received > n)
        sources.append(camera.exchange(message).skeletons[0].root_source)
    assert (
        sources
        == [
            Skeleton3D.ROOT_DEPTH,
            Skeleton3D.ROOT_INTRINSICS,
            Skeleton3D.ROOT_INTRINSICS,
        ]
        * 3
    )
    assert (node.statistics.missed_depth, node.statistics.between_depth) == (0, 6)
    watcher.arrays.clear()
    told = watcher.wait_for("input", DiagnosticStatus.OK, "images per second")["input"]
    assert (told["depth missed"], told["images between depth images"]) == ("0", "6")
