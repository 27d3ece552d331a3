import threading

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from services import call
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.msg import Skeleton3D

SUCCESS = TransitionCallbackReturn.SUCCESS


class Caller:
    """Calls the node's services as another node does."""

    def __init__(self, camera):
        self.graph = camera.graph
        self.enable_client = camera.node.create_client(SetBool, "pose_node/enable")
        self.reset_client = camera.node.create_client(Trigger, "pose_node/reset")

    def are_ready(self):
        return self.enable_client.service_is_ready() and self.reset_client.service_is_ready()

    def meet(self):
        """Ask an enabled node without people for what it has, so that no answer is lost."""
        call(self.graph, self.enable_client, SetBool.Request(data=True))
        call(self.graph, self.reset_client, Trigger.Request())

    def enable(self, on):
        return self._call(self.enable_client, SetBool.Request(data=on))

    def reset(self):
        return self._call(self.reset_client, Trigger.Request())

    def _call(self, client, request):
        self.graph.spin_until(self.are_ready)
        future = client.call_async(request)
        self.graph.spin_until(future.done)
        assert future.result().success
        return future.result().message


@pytest.fixture
def node(make_node):
    return make_node(threads=1)


@pytest.fixture
def caller(camera):
    return Caller(camera)


def only_skeleton(message):
    (skeleton,) = people(message)
    return skeleton


def people(message):
    return [(skeleton.id, skeleton.tracking_state) for skeleton in message.skeletons]


def actions(array):
    return {marker.action for marker in array.markers}


def test_a_disabled_node_works_on_nothing(graph, node, camera, caller, walker):
    arrays = camera.listen(MarkerArray, "pose_node/markers")
    assert node.start()
    camera.wait_for_node()
    caller.meet()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/markers") == 1)
    first = only_skeleton(camera.exchange(camera.message(walker)))
    assert first == ("person_0", Skeleton3D.TRACKING_NEW)
    graph.spin_until(lambda: arrays)
    drawn = {(m.ns, m.id) for m in arrays[0].markers}
    assert caller.enable(False) == "disabled"
    graph.spin_until(lambda: len(arrays) == 2)
    assert actions(arrays[1]) == {Marker.DELETE}
    assert {(m.ns, m.id) for m in arrays[1].markers} == drawn
    # Or a robot would wait for ever for somebody who may be gone.
    graph.spin_until(lambda: len(camera.skeletons) == 2)
    assert people(camera.skeletons[1]) == [("person_0", Skeleton3D.TRACKING_LOST)]
    assert camera.skeletons[1].header == camera.skeletons[0].header
    assert np.isnan(camera.skeletons[1].skeletons[0].joints[0].position.x)

    assert caller.enable(False) == "already disabled"
    # Images are not even received: that would cost more than all else a disabled node does.
    graph.spin_until(lambda: camera.images.get_subscription_count() == 0)
    assert camera.infos.get_subscription_count() == 0
    for _ in range(5):
        camera.images.publish(camera.message(walker))
    graph.spin_for(0.7)
    assert (len(camera.skeletons), len(arrays)) == (2, 2)
    assert (node.statistics.received, node.statistics.processed) == (1, 1)

    assert caller.enable(True) == "enabled"
    camera.wait_for_node()
    second = only_skeleton(camera.exchange(camera.message(walker)))
    assert second == ("person_1", Skeleton3D.TRACKING_NEW)
    graph.spin_until(lambda: len(arrays) == 3)
    assert actions(arrays[2]) == {Marker.ADD}


def test_a_waiting_image_is_dropped_when_disabled(graph, node, camera, walker):
    assert node.start()
    camera.wait_for_node()
    camera.exchange(camera.message(walker))
    in_estimator, go_on = threading.Event(), threading.Event()
    estimate = node._estimator.estimate_together

    def slow_estimate(*args):
        in_estimator.set()
        assert go_on.wait(60)
        return estimate(*args)

    node._estimator.estimate_together = slow_estimate
    for received in (2, 3):  # the first at work, the second waiting
        camera.images.publish(camera.message(walker))
        graph.spin_until(lambda count=received: node.statistics.received == count)
        assert in_estimator.wait(60)
    assert node.enable(False) == "disabled"
    go_on.set()
    graph.spin_until(lambda: len(camera.skeletons) == 3)
    graph.spin_for(0.2)
    states = [[state for _, state in people(message)] for message in camera.skeletons]
    assert states[1:] == [[Skeleton3D.TRACKING_TRACKED], [Skeleton3D.TRACKING_LOST]]
    counts = node.statistics
    assert (counts.processed, counts.dropped_disabled, counts.failed) == (2, 1, 0)


def test_reset_forgets_people_between_two_images(graph, node, camera, caller, walker):
    arrays = camera.listen(MarkerArray, "pose_node/markers")
    assert node.start()
    camera.wait_for_node()
    caller.meet()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/markers") == 1)
    for state in (Skeleton3D.TRACKING_NEW, Skeleton3D.TRACKING_TRACKED):
        skeleton = only_skeleton(camera.exchange(camera.message(walker)))
        assert skeleton == ("person_0", state)
    threads, reset = [], node._estimator.reset

    def watched_reset(camera):
        threads.append(threading.current_thread().name)
        reset(camera)

    node._estimator.reset = watched_reset
    graph.spin_until(lambda: len(arrays) == 2)
    assert caller.reset() == "all people forgotten; their ids are not used again"
    graph.spin_until(lambda: len(arrays) == 3)
    assert actions(arrays[2]) == {Marker.DELETE}
    assert threads == ["pose worker"]
    assert people(camera.exchange(camera.message(walker))) == [
        ("person_1", Skeleton3D.TRACKING_NEW),
        ("person_0", Skeleton3D.TRACKING_LOST),
    ]


def test_services_live_from_configure_to_cleanup(graph, node, camera, caller, blank, log):
    graph.spin_until(lambda: "pose_node" in camera.node.get_node_names())
    assert not caller.are_ready()
    assert node.trigger_configure() == SUCCESS
    caller.meet()
    assert caller.reset() == "inactive: there is nobody to forget"
    assert caller.enable(False) == "disabled"
    assert node.trigger_activate() == SUCCESS
    active = "active: /image -> /pose_node/skeletons"
    assert f"{active}, but disabled (call ~/enable with true)\n" in log.text
    graph.spin_for(0.7)
    assert camera.images.get_subscription_count() == 0
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS
    graph.spin_until(lambda: not caller.enable_client.service_is_ready())
    assert node.trigger_configure() == SUCCESS
    caller.meet()
    assert caller.enable(True) == "already enabled"
    assert node.trigger_activate() == SUCCESS
    assert f"{active}\n" in log.text
    camera.wait_for_node()
    camera.exchange(camera.message(blank))
