"""What becomes of people whose transform to the target frame comes late, or never."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.time import Time as RosTime
from robot import Robot, shifted
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.outputs import MOST_AT_ONCE
from pandapose_ros.node.stamps import nanoseconds

pytestmark = pytest.mark.usefixtures("opened_once")
SUCCESS = TransitionCallbackReturn.SUCCESS
MS = 10**6


class Crowd:
    """A node whose results wait for tf, and the camera that it listens to."""

    def __init__(self, graph, node, camera):
        self.graph, self.node, self.camera, self.robot = graph, node, camera, Robot(camera)
        assert node.start()
        camera.wait_for_node()

    @property
    def waiting(self):
        pipeline = self.node.cameras[0].pipeline
        return len(pipeline.delivery._waiting)

    def send(self, pixels, stamp=None):
        """Send an image and return its message when the worker is done with it."""
        message = self.camera.message(pixels)
        message.header.stamp = stamp or message.header.stamp
        count = self.node.statistics.received + 1
        self.camera.images.publish(message)
        self.graph.spin_until(lambda: self.node.statistics.received == count and self.adds_up())
        return message

    def adds_up(self):
        """Tell whether every image has ended in one figure, or waits.

        Asked in the worker's thread, between two pieces of work.
        """
        counts, answers = self.node.statistics, []

        def count():
            done = counts.processed + sum(counts.losses().values())
            answers.append(counts.received == done + self.waiting)

        self.node._worker.request(count)
        self.graph.spin_until(lambda: answers)
        return answers[0]

    def locate(self, stamp, *deltas_ms):
        """Tell by tf where the camera is, some time from a stamp: 1 m further in every 100 ms."""
        for delta in deltas_ms:
            place = (delta / 100, 0, 0)
            at = shifted(stamp, delta * MS)
            self.robot.moving.publish(self.robot.message("lens", "map", place, stamp=at))


@pytest.fixture
def make_crowd(graph, make_node, make_camera):
    def make(**overrides):
        node = make_node(threads=1, target_frame="map", **overrides)
        return Crowd(graph, node, make_camera())

    return make


def stamps(messages):
    return [nanoseconds(message.header.stamp) for message in messages]


def test_tf_that_is_late_costs_no_images(make_crowd, graph, blank):
    crowd = make_crowd(transform_timeout=0.5)
    node, camera = crowd.node, crowd.camera
    now, sent = camera.node.get_clock().now, []

    def tell():
        crowd.locate(RosTime(nanoseconds=now().nanoseconds).to_msg(), -150)

    def look():
        message = camera.message(blank)
        sent.append(message)
        camera.images.publish(message)

    camera.node.create_timer(0.1, tell)  # what covers an image comes 150 to 250 ms after it
    graph.spin_for(0.4)
    timer = camera.node.create_timer(1 / 15, look)
    graph.spin_for(4.0)
    timer.cancel()
    graph.spin_until(lambda: crowd.adds_up() and not crowd.waiting)
    assert len(sent) >= 20
    counts = node.statistics
    assert counts.received >= 0.9 * len(sent)
    # What a slow machine has no time for costs no less with tf in time.
    assert counts.processed >= 0.95 * (counts.received - counts.dropped_busy)
    graph.spin_until(lambda: len(camera.skeletons) == counts.processed)
    assert stamps(camera.skeletons) == sorted(set(stamps(camera.skeletons)))
    assert {s.header.frame_id for s in camera.skeletons} == {"map"}
    middle, _ = node.cameras[0].timings.latencies()["message"]
    assert 0.1 < middle < 0.5  # the wait is part of it


def test_nobody_is_published_before_who_waits_and_everything_in_its_own_place(
    make_crowd, graph, walker
):
    crowd = make_crowd(transform_timeout=10.0, publish_tf=True)
    camera = crowd.camera
    markers = camera.listen(MarkerArray, "pose_node/markers")
    pictures = camera.listen(Image, "pose_node/debug_image")
    frames = camera.listen(TFMessage, "/tf")
    graph.spin_until(lambda: crowd.node.count_subscribers("/pose_node/debug_image") == 1)
    first = crowd.send(walker)
    second = crowd.send(walker, shifted(first.header.stamp, 100 * MS))
    crowd.locate(first.header.stamp, 50, 150)  # the second image's time only
    graph.spin_for(0.3)
    assert crowd.waiting == 2
    assert [camera.skeletons, markers, pictures] == [[], [], []]
    assert {t.child_frame_id for m in frames for t in m.transforms} == {"lens"}
    assert "no image placed in map yet" in crowd.node.cameras[0].report().pipeline.transforms
    crowd.locate(first.header.stamp, -50)
    graph.spin_until(lambda: len(camera.skeletons) == len(pictures) == len(markers) == 2)
    expected = stamps([first, second])
    assert stamps(camera.skeletons) == stamps(pictures) == expected
    assert [nanoseconds(array.markers[0].header.stamp) for array in markers] == expected
    roots = [message.skeletons[0].root_position.x for message in camera.skeletons]
    assert np.diff(roots) == pytest.approx(1.0, abs=0.1)  # as far as the camera has moved
    graph.spin_until(lambda: len(frames) == 5)
    bodies = [t for m in frames for t in m.transforms if t.child_frame_id.startswith("body")]
    assert [body.transform.translation.x for body in bodies] == pytest.approx(roots)
    assert (crowd.node.statistics.processed, crowd.waiting) == (2, 0)


def test_markers_of_what_waited_together_last_until_the_next(make_crowd, graph, walker):
    crowd = make_crowd(transform_timeout=10.0)
    markers = crowd.camera.listen(MarkerArray, "pose_node/markers")
    graph.spin_until(lambda: crowd.node.count_subscribers("/pose_node/markers") == 1)
    first = crowd.send(walker)
    crowd.locate(first.header.stamp, -100, 100)
    graph.spin_until(lambda: len(markers) == 1)
    graph.spin_for(1.0)
    late = [shifted(first.header.stamp, (1000 + 20 * n) * MS) for n in range(4)]
    for stamp in late:
        crowd.send(walker, stamp)
    assert crowd.waiting == len(late)
    crowd.locate(late[0], -100, 300)
    graph.spin_until(lambda: len(markers) == 1 + len(late))
    lifetimes = [m.lifetime.sec for array in markers[1:] for m in array.markers if m.lifetime.sec]
    assert len(lifetimes) >= len(late)
    assert min(lifetimes) >= 2
    assert all(m.action != m.ADD or m.lifetime.sec for a in markers[1:] for m in a.markers)


def test_transforms_that_never_come_cost_their_images_only(make_crowd, graph, blank, log):
    crowd = make_crowd(transform_timeout=1.0)
    pictures = crowd.camera.listen(Image, "pose_node/debug_image")
    graph.spin_until(lambda: crowd.node.count_subscribers("/pose_node/debug_image") == 1)
    most, count = 0, MOST_AT_ONCE - 5
    for _ in range(count):
        crowd.send(blank)
        most = max(most, crowd.waiting)
        graph.spin_for(0.08)
    assert 2 <= most < count
    graph.spin_until(lambda: not crowd.waiting)
    counts = crowd.node.statistics
    assert counts.received == counts.dropped_untransformed == count
    assert crowd.camera.skeletons == []
    graph.spin_until(lambda: len(pictures) == counts.received)  # whoever looks sees why
    assert log.text.count("people dropped: no transform from 'lens' to 'map': frame 'map'") == 1
    assert "waited 1 s; set transform_timeout" in log.text
    assert "frame 'map'" in crowd.node.cameras[0].report().pipeline.transforms


def test_no_more_than_a_few_images_are_kept_for_tf(make_crowd, graph, blank, log):
    crowd = make_crowd(transform_timeout=10.0)
    first = crowd.send(blank)
    later = [shifted(first.header.stamp, 10 * MS * n) for n in range(1, MOST_AT_ONCE + 3)]
    images = [first, *(crowd.send(blank, stamp) for stamp in later)]
    assert crowd.waiting == MOST_AT_ONCE
    assert crowd.node.statistics.dropped_untransformed == 3
    assert f"{MOST_AT_ONCE} images are already waiting for tf" in log.text
    crowd.locate(images[0].header.stamp, -100, 5000)
    graph.spin_until(lambda: len(crowd.camera.skeletons) == MOST_AT_ONCE)
    # The newest have gone: with tf later than the many take, the oldest would all go.
    assert stamps(crowd.camera.skeletons) == stamps(images[:MOST_AT_ONCE])
    # What a network loses of them can be sent again.
    (publisher,) = (p for p in crowd.node.publishers if p.topic_name == "/pose_node/skeletons")
    assert publisher.qos_profile.depth == MOST_AT_ONCE


def test_who_waits_at_deactivation_is_never_published(make_crowd, graph, blank):
    crowd = make_crowd(transform_timeout=10.0)
    node, camera = crowd.node, crowd.camera
    last = [crowd.send(blank) for _ in range(3)][-1]
    assert crowd.waiting == 3
    assert node.trigger_deactivate() == SUCCESS
    counts = node.statistics
    assert (counts.received, counts.processed, counts.dropped_inactive) == (3, 0, 3)
    crowd.locate(last.header.stamp, -1000, 1000)
    graph.spin_for(0.3)
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    crowd.locate(last.header.stamp, -1000, 8000)
    graph.spin_for(0.3)
    assert camera.skeletons == []
    crowd.send(blank)
    graph.spin_until(lambda: len(camera.skeletons) == 1)
    assert node.statistics.processed == 1


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("reset", "dropped_untransformed"),
        ("jump", "dropped_untransformed"),
        ("disable", "dropped_disabled"),
    ],
)
def test_who_waits_is_forgotten_with_all_people(make_crowd, graph, blank, what, cause):
    crowd = make_crowd(transform_timeout=10.0)
    node = crowd.node
    for second in (1000, 1001):
        crowd.send(blank, Time(sec=second))
    last = Time(sec=1002)
    if what == "reset":
        node.reset_people()
    elif what == "disable":
        node.enable(False)
    else:
        crowd.send(blank, Time(sec=499))  # alone, it might be a wrong stamp
        last = Time(sec=500)
        crowd.send(blank, last)
    graph.spin_until(lambda: getattr(node.statistics, cause) == 2)
    if what == "disable":
        graph.spin_until(lambda: crowd.camera.images.get_subscription_count() == 0)
        node.enable(True)
        crowd.camera.wait_for_node()
    if what != "jump":
        crowd.send(blank, last)
    crowd.locate(last, -3000, 100)
    graph.spin_until(lambda: crowd.camera.skeletons)
    assert stamps(crowd.camera.skeletons) == [nanoseconds(last)]
    assert node.statistics.losses()[cause] == 2
    assert crowd.adds_up()


def test_images_of_another_size_do_not_cost_those_that_wait(make_crowd, graph, blank):
    crowd = make_crowd(transform_timeout=10.0)
    images = [crowd.send(blank), crowd.send(blank[:200])]
    crowd.locate(images[0].header.stamp, -100, 5000)
    graph.spin_until(lambda: len(crowd.camera.skeletons) == 2)
    assert stamps(crowd.camera.skeletons) == stamps(images)


def test_no_camera_waits_for_the_transforms_of_another(graph, make_node, make_camera, blank):
    node = make_node(threads=1, target_frame="map", transform_timeout=10.0, cameras=["a", "b"])
    camera = make_camera()
    robot, images, skeletons = Robot(camera), {}, {}
    for name in ("a", "b"):
        images[name] = camera.node.create_publisher(Image, f"{name}/image", 5)
        skeletons[name] = camera.listen(Skeleton3DArray, f"pose_node/{name}/skeletons")
    assert node.start()
    robot.still.publish(robot.message("b_lens", "map"))
    graph.spin_until(lambda: all(p.get_subscription_count() == 1 for p in images.values()))
    graph.spin_for(0.3)
    waits, goes = node.cameras
    for name in ("a", "b"):
        message = camera.message(blank)
        message.header.frame_id = f"{name}_lens"
        images[name].publish(message)
        graph.spin_until(lambda: waits.statistics.received == 1)
    graph.spin_until(lambda: skeletons["b"])
    assert (waits.statistics.processed, goes.statistics.processed) == (0, 1)
    robot.still.publish(robot.message("a_lens", "map"))
    graph.spin_until(lambda: skeletons["a"])
    assert waits.statistics.processed == 1
