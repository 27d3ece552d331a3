"""A node that works only while somebody listens, over real DDS."""

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from pandapose_ros.msg import AnchorSet3DArray, Skeleton3D, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node import inputs, jumps

pytestmark = pytest.mark.usefixtures("opened_once")
RESULTS = {
    "skeletons": Skeleton3DArray,
    "markers": MarkerArray,
    "anchors": AnchorSet3DArray,
    "anchor_markers": MarkerArray,
    "depth_markers": MarkerArray,
    "debug_image": Image,
    "debug_image/compressed": CompressedImage,
}


class Listener:
    """Subscribes to a result and gives it up again."""

    def __init__(self, camera, topic="skeletons", kind=Skeleton3DArray, **qos):
        self.camera = camera
        camera.listen(kind, f"pose_node/{topic}", **qos)
        self.subscription = list(camera.node.subscriptions)[-1]

    def leave(self):
        self.camera.node.destroy_subscription(self.subscription)


@pytest.fixture
def camera(make_camera):
    """A camera beside which nobody listens yet."""
    camera = make_camera()
    (own,) = (s for s in camera.node.subscriptions if s.topic_name.endswith("/skeletons"))
    camera.node.destroy_subscription(own)
    return camera


@pytest.fixture
def start(make_node):
    def start(**overrides):
        node = make_node(threads=1, **{"lazy": True, **overrides})
        assert node.start()
        return node

    return start


def wait_for(camera, subscribed):
    camera.graph.spin_until(lambda: (camera.images.get_subscription_count() > 0) == subscribed)


def states(message):
    return [(skeleton.id, skeleton.tracking_state) for skeleton in message.skeletons]


def test_every_result_that_is_subscribed_to_wakes_the_node(graph, camera, start):
    node = start()
    published = {
        name.removeprefix("/pose_node/")
        for name, _ in node.get_publisher_names_and_types_by_node("pose_node", "/")
        if name.startswith("/pose_node/")
    }
    assert published - RESULTS.keys() <= {"skeleton_info", "transition_event", "annotations"}
    wait_for(camera, False)
    Listener(camera, "skeleton_info", SkeletonInfo, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.spin_for(1.2)
    assert camera.images.get_subscription_count() == 0  # it is there without an image
    for topic, kind in RESULTS.items():
        listener = Listener(camera, topic, kind)
        wait_for(camera, True)
        listener.leave()
        wait_for(camera, False)
    assert node.statistics.received == 0


def test_whoever_pauses_says_so_and_is_not_silent(graph, camera, start, log):
    start(image_timeout=0.5)
    arrays = camera.listen(DiagnosticArray, "/diagnostics")

    def told(name):
        found = [s for a in arrays[-1:] for s in a.status if s.name == f"pose_node: {name}"]
        return {(s.level, s.message) for s in found}

    why = "nobody subscribes to a result (lazy)"
    expected = {(DiagnosticStatus.OK, f"not subscribed to /image: {why}")}
    graph.spin_until(lambda: told("input") == expected)
    graph.spin_until(lambda: told("pipeline") == {(DiagnosticStatus.OK, why)})
    graph.spin_for(1.0)
    assert "no image" not in log.text
    Listener(camera)
    wait_for(camera, True)
    graph.spin_until(lambda: "no image on /image for 0.5 s" in log.text)


def test_after_a_pause_people_are_followed_on_or_lost_as_ever(camera, start, walker, monkeypatch):
    monkeypatch.setattr(jumps, "_LEAP_NS", 60 * 10**9)  # only stamps pass here, not time
    start()
    received = []

    def listen():
        kept = camera.node.create_subscription(
            Skeleton3DArray, "pose_node/skeletons", received.append, 5
        )
        camera.skeletons = received
        camera.wait_for_node()
        return kept

    start_sec = camera.message(walker).header.stamp.sec

    def person_at(second):
        message = camera.message(walker)
        message.header.stamp = Time(sec=start_sec + second)
        return states(camera.exchange(message))

    first = listen()
    assert person_at(0) == [("person_0", Skeleton3D.TRACKING_NEW)]
    for second in (1, 15):
        camera.node.destroy_subscription(first)
        wait_for(camera, False)
        first = listen()
        if second == 1:
            assert person_at(1) == [("person_0", Skeleton3D.TRACKING_TRACKED)]
    assert person_at(15) == [
        ("person_1", Skeleton3D.TRACKING_NEW),
        ("person_0", Skeleton3D.TRACKING_LOST),
    ]


def test_images_on_their_way_are_counted(graph, camera, start, blank, monkeypatch):
    monkeypatch.setattr(inputs, "_WATCH_PERIOD", 60.0)  # so that it stays subscribed
    node = start(lazy=False)
    wait_for(camera, True)
    camera.images.publish(camera.message(blank))
    graph.spin_until(lambda: node.statistics.processed == 1)
    node.set_parameters([Parameter("lazy", value=True)])
    camera.images.publish(camera.message(blank))
    graph.spin_until(lambda: node.statistics.dropped_unwanted == 1)
    assert (node.statistics.received, node.statistics.processed) == (2, 1)


def test_it_is_live_and_a_frame_on_tf_is_a_result_too(graph, camera, start):
    node = start(lazy=False)
    wait_for(camera, True)
    node.set_parameters([Parameter("lazy", value=True)])
    wait_for(camera, False)
    node.set_parameters([Parameter("lazy", value=False)])
    wait_for(camera, True)
    node.trigger_deactivate()
    wait_for(camera, False)
    start(publish_tf=True)
    wait_for(camera, True)
    graph.spin_for(1.2)
    assert camera.images.get_subscription_count() == 1
