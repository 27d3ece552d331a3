# A webcam's images are published as they come: none that has waited in the driver's queue.
import threading
import time
from collections import deque

import cv2
import numpy as np
import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.video_camera import VideoCamera
from pandapose_ros.node.webcam import Pace

QUEUE = 4  # buffers of OpenCV's V4L2


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, duration):
        self.now += duration


class Webcam:
    """What OpenCV makes of a webcam: a queue that its images go into while there is room."""

    def __init__(self, rate, images=10**9, clock=time):
        self.rate, self.images, self._clock = rate, images, clock
        self.number = -1
        self.stalls = {}  # seconds, by which decoding it is
        self.decoded = 0
        self.plug = threading.Event()  # cleared: it hangs
        self.plug.set()
        self.is_released = False
        self._queue, self._next, self._start = deque(), 0, None

    def isOpened(self):  # noqa: N802  OpenCV calls it so
        return True

    def get(self, _property):
        return self.rate

    def set(self, _property, _value):
        return True

    def grab(self):
        self.plug.wait(20)
        if self._start is None:
            self._start, self.start_in_ros = self._clock.monotonic(), time.time()
        self._take_in()
        if not self._queue:
            self._clock.sleep(max(0, self._time_of(self._next) - self._clock.monotonic()))
            self._take_in()
        self.number = self._queue.popleft()
        return self.number < self.images

    def retrieve(self):
        time.sleep(self.stalls.get(self.decoded, 0))
        self.decoded += 1
        return True, np.full((48, 64, 3), self.number % 256, np.uint8)

    def release(self):
        self.is_released = True

    def age(self):
        """Seconds since the image that was grabbed was taken."""
        return self._clock.monotonic() - self._time_of(self.number)

    def _time_of(self, number):
        return self._start + (number + 1) / self.rate

    def _take_in(self):
        while self._time_of(self._next) <= self._clock.monotonic() + 1e-9:
            if len(self._queue) < QUEUE:
                self._queue.append(self._next)
            self._next += 1


def take(rate, seconds, work=0.005, stalls=()):
    """Numbers and ages of the images that a reader takes of a 30 Hz webcam."""
    clock = Clock()
    webcam, pace, stalls = Webcam(30, clock=clock), Pace(rate), list(stalls)
    taken = []
    while clock.now < seconds:
        asked = clock.now
        webcam.grab()
        if pace.takes(asked, clock.now):
            taken.append((webcam.number, webcam.age()))
            clock.sleep(work)
        if stalls and clock.now > stalls[0]:
            stalls.pop(0)
            clock.sleep(0.2)
    return np.array(taken).T


@pytest.mark.parametrize(
    ("rate", "expected"), [(0, 30), (60, 30), (29, 29), (20, 20), (15, 15), (10, 10), (7, 7)]
)
def test_a_webcam_gives_its_own_rate_or_the_lower_one_asked_for(rate, expected):
    numbers, ages = take(rate, seconds=4)
    assert len(numbers) == pytest.approx(4 * expected, abs=1)
    assert max(ages) < 1e-6
    gaps = np.diff(numbers)
    assert max(gaps) - min(gaps) <= 1


def test_every_third_image_of_30_hz_is_10_hz():
    numbers, _ = take(10, seconds=2)
    assert set(np.diff(numbers)) == {3}


@pytest.mark.parametrize("rate", [0, 10])
def test_no_image_that_waited_through_a_stall_is_taken(rate):
    numbers, ages = take(rate, seconds=3, stalls=(0.5, 1.0, 1.5))
    assert max(ages) < 1e-6
    after = numbers[numbers > 1.8 * 30]
    assert set(np.diff(after)) == {3 if rate else 1}


def test_of_a_camera_whose_grab_never_waits_images_are_taken_still():
    pace = Pace(0)
    assert sum(pace.takes(moment, moment) for moment in np.arange(0, 11, 0.1)) == 10


@pytest.fixture
def make_webcam(graph, monkeypatch):
    """A function that starts the node on a webcam; the images that arrive are beside."""

    def make(webcam, **overrides):
        monkeypatch.setattr(cv2, "VideoCapture", lambda _index: webcam)
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        parameters += [Parameter("source", value="0"), Parameter("wait_for_subscribers", value=1)]
        listener, images = graph.add(Node("listener", context=graph.context)), []
        listener.create_subscription(Image, "image_raw", images.append, QoSProfile(depth=100))
        node = VideoCamera(context=graph.context, parameter_overrides=parameters)
        return graph.add(node), images

    return make


def numbers_and_ages(webcam, images):
    """Which images were published, and how long after they were taken they are stamped."""
    numbers = np.array([image_from_message(image)[0, 0, 0] for image in images], np.int64)
    stamps = [image.header.stamp.sec + image.header.stamp.nanosec / 1e9 for image in images]
    return numbers, np.array(stamps) - webcam.start_in_ros - (numbers + 1) / webcam.rate


def test_images_are_fresh_after_stalls_of_decoder_and_executor(graph, make_webcam):
    webcam = Webcam(rate=20)
    webcam.stalls[8] = 0.4
    _node, images = make_webcam(webcam)
    graph.spin_until(lambda: len(images) > 35)
    time.sleep(0.4)
    graph.spin_until(lambda: len(images) > 70)
    numbers, ages = numbers_and_ages(webcam, images)
    # A queue that is never emptied holds up everything by 150 to 200 ms.
    for part in (slice(12, 34), slice(48, 70)):
        assert np.median(ages[part]) < 0.05
        assert np.median(np.diff(numbers[part])) == 1


def test_a_lower_rate_is_of_fresh_images(graph, make_webcam):
    webcam = Webcam(rate=20)
    _node, images = make_webcam(webcam, rate=5.0)
    graph.spin_until(lambda: len(images) > 12)
    numbers, ages = numbers_and_ages(webcam, images)
    assert np.median(np.diff(numbers)) == 4
    assert np.median(ages) < 0.05


def test_a_webcam_that_is_unplugged_ends_the_node(graph, make_webcam):
    node, images = make_webcam(Webcam(rate=20, images=5))
    graph.spin_until(node.finished.done)
    with pytest.raises(OSError, match="webcam 0 gives no more images"):
        node.finished.result()
    graph.spin_for(0.3)
    numbers = [int(image_from_message(image)[0, 0, 0]) for image in images]
    assert numbers
    assert set(numbers) <= set(range(5))


def test_a_calibration_for_another_size_ends_the_node(graph, make_webcam, tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text(
        "image_width: 640\nimage_height: 48\ncamera_matrix: {data: [9, 0, 32, 0, 9, 24, 0, 0, 1]}"
        "\ndistortion_model: plumb_bob\ndistortion_coefficients: {data: [0, 0, 0, 0, 0]}\n"
    )
    node, _ = make_webcam(Webcam(rate=20), calibration=str(file))
    graph.spin_until(node.finished.done)
    with pytest.raises(ValueError, match="is for 640x48 pixels, but 0 has 64x48"):
        node.finished.result()


def test_a_webcam_that_hangs_holds_up_neither_executor_nor_end(graph, make_webcam):
    webcam = Webcam(rate=20)
    node, images = make_webcam(webcam)
    graph.spin_until(lambda: images)
    webcam.plug.clear()
    graph.spin_for(0.2)
    start = time.monotonic()
    graph.spin_for(0.5)
    graph.executor.remove_node(node)
    graph.nodes.remove(node)
    node.destroy_node()
    assert time.monotonic() - start < 5
    # Released while the thread is in it, it would crash.
    assert not webcam.is_released
    published = node.published
    webcam.plug.set()
    time.sleep(0.3)
    assert node.published == published


def test_a_webcam_is_released_at_the_end(graph, make_webcam):
    webcam = Webcam(rate=20)
    node, images = make_webcam(webcam)
    graph.spin_until(lambda: images)
    graph.executor.remove_node(node)
    graph.nodes.remove(node)
    node.destroy_node()
    assert webcam.is_released
