"""Which depth image belongs to which image, and how long an image waits for it."""

import array
import threading
import time

import pytest
from builtin_interfaces.msg import Time
from rclpy.logging import get_logger
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pandapose_ros.node.depth import DepthBuffer
from pandapose_ros.node.depth_reader import DepthReader
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics


def stamped(milliseconds, data=()):
    sec, nanosec = divmod(round(milliseconds * 10**6), 10**9)
    header = Header(stamp=Time(sec=sec, nanosec=nanosec))
    return Image(header=header, data=array.array("B", data))


def test_the_buffer_finds_the_nearest_within_the_window():
    buffer = DepthBuffer()
    assert not buffer.is_alive
    for milliseconds in (1000, 1033, 1066):
        buffer.add(stamped(milliseconds))
    assert buffer.is_alive
    found = buffer.find(1040 * 10**6, 0.02)
    assert nanoseconds(found.header.stamp) == 1033 * 10**6
    buffer.add(stamped(1000 * 1000))
    started = time.monotonic()
    assert buffer.find(900 * 10**9, 60.0) is None  # later ones have come: no use in waiting
    assert time.monotonic() - started < 30


def test_the_buffer_waits_for_what_may_still_come():
    buffer = DepthBuffer()
    buffer.add(stamped(1000))
    late = stamped(2000)
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


def test_the_depth_before_an_images_own_is_the_last_resort(monkeypatch):
    buffer = DepthBuffer()
    before, own = stamped(967), stamped(1000)
    for message in (stamped(934), before):
        buffer.add(message)
    started = time.monotonic()
    # The next one comes at 1000, which is further away.
    assert buffer.find(980 * 10**6, 60.0) is before
    assert time.monotonic() - started < 30
    started = time.monotonic()
    assert buffer.find(1000 * 10**6, 0.1) is before  # its own is lost
    assert time.monotonic() - started > 0.09
    timer = threading.Timer(0.05, buffer.add, [own])
    timer.start()
    assert buffer.find(1000 * 10**6, 5.0) is own
    timer.join()
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 0.0)
    started = time.monotonic()
    assert buffer.find(1033 * 10**6, 60.0) is own  # nobody sends any more
    assert time.monotonic() - started < 30


def waits(buffer, milliseconds, window=0.2):
    """Tell whether an image of this stamp, whose depth does not come, waits for it."""
    started = time.monotonic()
    assert buffer.find(round(milliseconds * 10**6), window) is None
    return time.monotonic() - started > 0.9 * window


@pytest.mark.parametrize("jitter", [0, 15])
def test_an_image_between_two_depth_images_waits_for_neither(jitter):
    buffer = DepthBuffer()
    for milliseconds in (1000, 2000 + jitter, 3000 - jitter, 4000):
        buffer.add(stamped(milliseconds))
    started = time.monotonic()
    for milliseconds in (4300, 4400, 4500, 4600):
        assert buffer.find(milliseconds * 10**6, 0.2) is None
    assert time.monotonic() - started < 0.2
    # Depth may come a little early, or late.
    assert waits(buffer, 4800)
    assert waits(buffer, 5000)
    assert waits(buffer, 5300)


def test_nothing_is_due_for_sure_after_one_depth_image():
    buffer = DepthBuffer()
    buffer.add(stamped(1000))
    assert waits(buffer, 1500)


def test_depth_that_jitters_is_waited_for_in_a_narrow_window():
    buffer = DepthBuffer()
    for milliseconds in (1000, 1200, 1400):
        buffer.add(stamped(milliseconds))
    assert waits(buffer, 1585, 0.01)


@pytest.mark.parametrize("rate", [15, 30, 90])
def test_an_image_finds_its_own_depth_though_it_comes_late(rate):
    buffer = DepthBuffer()
    for number in range(rate):  # of a second
        buffer.add(stamped(10_000 + 1000 * number / rate))
    found = buffer.find(10_200 * 10**6, 0.01)
    assert abs(nanoseconds(found.header.stamp) - 10_200 * 10**6) <= 0.5e9 / rate + 1


def test_depth_is_forgotten_after_a_second_and_by_its_size():
    buffer = DepthBuffer()
    for milliseconds in range(1000, 4000, 100):
        buffer.add(stamped(milliseconds))
    assert buffer.oldest_ns == 2900 * 10**6
    image = bytes(8 << 20)
    for milliseconds in range(4000, 4900, 50):
        buffer.add(stamped(milliseconds, image))
    assert buffer.oldest_ns == 4500 * 10**6  # eight of them
    # As many as are needed to tell when the next one is due stay in any case.
    for milliseconds in range(10_000, 90_000, 10_000):
        buffer.add(stamped(milliseconds))
    assert buffer.oldest_ns == 50 * 10**9


def test_depth_that_jumps_back_or_stands_still_is_kept():
    buffer = DepthBuffer()
    for milliseconds in (8000, 8500, 9000, 9500):
        buffer.add(stamped(milliseconds))
    restarted = [stamped(milliseconds) for milliseconds in range(1000, 2000, 250)]
    for message in restarted:
        buffer.add(message)
    assert [buffer.find(n * 10**6, 0.01) for n in range(1000, 2000, 250)] == restarted
    latest = stamped(1750)
    buffer.add(latest)
    assert buffer.find(1750 * 10**6, 0.01) is latest


def test_it_is_said_whether_depth_is_missing_or_gone(capfd):
    buffer, counts = DepthBuffer(), NodeStatistics()
    reader = DepthReader(buffer, counts, Notices(get_logger("depth")))
    for milliseconds in range(5000, 8000, 100):
        buffer.add(stamped(milliseconds))
    assert reader.read(8050 * 10**6, (1, 1), "", 0.01) is None
    assert reader.state == "none within 0.01 s of an image (depth_window)"
    assert reader.read(6500 * 10**6, (1, 1), "", 0.01) is None
    assert "already gone: the oldest one kept is 0.4 s later than the image" in reader.state
    assert reader.fault == reader.state
    assert counts.missed_depth == 2
    assert "already gone" in capfd.readouterr().err


@pytest.mark.parametrize(("depth_ms", "image_ms"), [(0, 1.8e12), (1.8e12, 0), (60_000, 1.8e12)])
def test_depth_of_another_clock_is_told_and_not_waited_for(depth_ms, image_ms, capfd):
    buffer, counts = DepthBuffer(), NodeStatistics()
    reader = DepthReader(buffer, counts, Notices(get_logger("depth")))
    for _ in range(3):  # as from a driver without stamps, or one that stands still
        buffer.add(stamped(depth_ms))
    started = time.monotonic()
    assert reader.read(round(image_ms * 10**6), (1, 1), "", 0.9) is None
    assert time.monotonic() - started < 0.45
    assert "stamped by different clocks, or one has no stamp" in reader.state
    assert "stamped by different clocks" in capfd.readouterr().err


def test_slow_depth_is_waited_for_and_dead_depth_is_not(monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.depth._ALIVE", 0.1)
    buffer = DepthBuffer()
    for milliseconds in (1000, 1400, 1800):
        buffer.add(stamped(milliseconds))
        time.sleep(0.4)
    own = stamped(2200)
    timer = threading.Timer(0.05, buffer.add, [own])
    timer.start()
    assert buffer.find(2200 * 10**6, 0.5) is own
    timer.join()
    time.sleep(1.1)
    assert not buffer.is_alive
    started = time.monotonic()
    assert buffer.find(3300 * 10**6, 60.0) is own  # nobody sends any more
    assert time.monotonic() - started < 30


def test_a_pause_of_depth_is_no_period_of_it(monkeypatch):
    buffer, clock = DepthBuffer(), iter(())
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    # Two come, a quarter of an hour apart, and are waited for 10 s, not for longer.
    clock = iter((100.0, 1000.0, 1009.0, 1011.0))
    for milliseconds in (1000, 900_000):
        buffer.add(stamped(milliseconds))
    assert buffer.is_alive
    assert not buffer.is_alive
    clock = iter((1012.0, 1012.033, 1013.5))
    for milliseconds in (912_000, 912_033):
        buffer.add(stamped(milliseconds))
    assert not buffer.is_alive
