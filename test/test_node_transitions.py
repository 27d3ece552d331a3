"""What becomes of people, memory and a busy worker when the node changes its state."""

import gc
import threading
import weakref

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from tf2_msgs.msg import TFMessage

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node import pose_node
from pandapose_ros.node.worker import Frame

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def hold(graph):
    """Return a function that gets a node's worker stuck, and returns what lets it go on."""
    events = []

    def hold(node, image):
        is_stuck, go_on = threading.Event(), threading.Event()
        events.append(go_on)
        estimate = node._estimator.estimate_together

        def slow_estimate(images):
            is_stuck.set()
            assert go_on.wait(60)
            return estimate(images)

        node._estimator.estimate_together = slow_estimate
        node._on_frame(node.cameras[0], Frame(image, None))
        graph.spin_until(is_stuck.is_set)
        return go_on.set

    yield hold
    for event in events:
        event.set()


def test_a_worker_that_does_not_end_costs_a_cleanup_and_not_the_process(
    graph, make_node, make_camera, hold, blank, monkeypatch, log
):
    monkeypatch.setattr(pose_node, "_STOP_TIMEOUT", 0.2)
    node, camera = make_node(threads=1), make_camera()
    arrays = camera.listen(DiagnosticArray, "/diagnostics")
    assert node.start()
    go_on = hold(node, camera.message(blank))
    assert node.trigger_deactivate() == SUCCESS
    remedy = "the worker is still busy after 0.2 s: clean up and configure again"
    assert remedy in log.text

    def is_told():
        statuses = [status for array in arrays[-1:] for status in array.status]
        return statuses and all(
            (s.level, s.message) == (DiagnosticStatus.ERROR, f"inactive: {remedy}")
            for s in statuses
        )

    graph.spin_until(is_told)  # the diagnostics go on
    assert node.trigger_activate() == FAILURE
    assert f"cannot be activated: {remedy}" in log.text
    assert node.trigger_cleanup() == SUCCESS
    assert node.start()
    camera.wait_for_node()
    assert camera.exchange(camera.message(blank)).skeletons == []
    # The old worker wakes up, and finds that nobody wants its result.
    go_on()
    graph.spin_for(0.5)
    assert camera.exchange(camera.message(blank)).skeletons == []
    assert node.statistics.processed == 2
    assert len(camera.skeletons) == 2


def test_a_worker_that_wakes_up_in_an_inactive_node_publishes_nothing(
    graph, make_node, make_camera, hold, walker, monkeypatch
):
    monkeypatch.setattr(pose_node, "_STOP_TIMEOUT", 0.2)
    node, camera = make_node(threads=1, publish_tf=True), make_camera()
    frames = camera.listen(TFMessage, "/tf")
    assert node.start()
    camera.wait_for_node()
    camera.exchange(camera.message(walker))
    graph.spin_until(lambda: frames)
    go_on = hold(node, camera.message(walker))
    assert node.trigger_deactivate() == SUCCESS
    go_on()
    graph.spin_until(lambda: node.statistics.processed == 2)
    graph.spin_for(0.5)
    (_, lost) = camera.skeletons
    assert [s.tracking_state for s in lost.skeletons] == [Skeleton3D.TRACKING_LOST]
    assert len(frames) == 1


def test_an_activation_that_fails_says_why_and_leaves_nothing_behind(
    graph, make_node, make_camera, log
):
    node, camera = make_node(threads=1), make_camera()
    assert node.trigger_configure() == SUCCESS
    # Set by a program, not by what a user writes, which is checked before.
    name = "qos_overrides./image.subscription.reliability"
    node.declare_parameter(name, "relable")
    for _ in range(2):
        assert node.trigger_activate() == FAILURE
        assert "cannot be activated: Unexpected QoS override for policy `reliability`" in log.text
        assert [s.topic_name for s in node.subscriptions if "camera_info" in s.topic_name] == []
    graph.spin_for(1.2)  # inactive, with diagnostics
    assert camera.infos.get_subscription_count() == 0
    node.undeclare_parameter(name)
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()


def test_cleanup_collects_what_holds_on_to_memory(make_node):
    node = make_node(threads=1)
    assert node.trigger_configure() == SUCCESS

    class Garbage:
        def __init__(self):
            self.itself = self

    gc.disable()
    try:
        garbage = weakref.ref(Garbage())
        estimator = weakref.ref(node._estimator)
        assert garbage() is not None
        assert node.trigger_cleanup() == SUCCESS
        assert (garbage(), estimator()) == (None, None)
    finally:
        gc.enable()


def test_no_id_is_given_again_after_cleanup_and_configure(graph, make_node, make_camera, walker):
    node, camera = make_node(threads=1), make_camera()
    for number in range(2):
        assert node.start()
        camera.wait_for_node()
        (skeleton,) = camera.exchange(camera.message(walker)).skeletons
        assert (skeleton.id, skeleton.tracking_state) == (
            f"person_{number}",
            Skeleton3D.TRACKING_NEW,
        )
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        graph.spin_until(lambda: camera.images.get_subscription_count() == 0)
