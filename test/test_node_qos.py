"""Quality of service that a user sets: wrong values, and names that nobody reads."""

import pytest
from rclpy.duration import Duration
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.qos_report import endpoint_names, explain_subscriptions

pytestmark = pytest.mark.usefixtures("opened_once")
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
IMAGE = "qos_overrides./image.subscription"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("policy", "value", "text"),
    [
        ("reliability", "relable", "must be one of system_default, reliable, best_effort"),
        ("reliability", True, "must be one of system_default, reliable, best_effort"),
        ("durability", "latched", "must be one of system_default, transient_local, volatile"),
        ("history", "unknown", "must be one of system_default, keep_last, keep_all; got"),
        ("depth", "10", "must be a whole number from 0 on; got '10'"),
        ("depth", -1, "must be a whole number from 0 on; got -1"),
    ],
)
def test_a_wrong_value_is_refused_at_once(make_node, log, policy, value, text, lazy):
    # Were it found when subscribing, a lazy node would end at its first listener.
    node = make_node(lazy=lazy, **{f"{IMAGE}.{policy}": value})
    assert node.trigger_configure() == FAILURE
    assert f"parameter '{IMAGE}.{policy}' {text}" in log.text


@pytest.mark.parametrize(
    ("overrides", "ignored", "hint"),
    [
        ({}, "qos_overrides./imag.subscription.reliability", f"read: {IMAGE}.reliability"),
        ({}, f"{IMAGE}.durabilty", f"{IMAGE}.durability"),
        ({}, "qos_overrides./image.publisher.depth", f"read: {IMAGE}.depth"),
        ({"depth_window": 0.0}, "qos_overrides./depth.subscription.depth", "read: "),
        (
            {"image_transport": "compressed"},
            f"{IMAGE}.depth",
            "qos_overrides./image/compressed.subscription.depth",
        ),
        ({"cameras": ["left", "right"]}, f"{IMAGE}.depth", "qos_overrides./left/image.subscr"),
        ({}, "qos_overrides.zzz", f"read: {IMAGE}.history, {IMAGE}.reliability, "),
    ],
)
def test_a_name_that_nobody_reads_is_told_once(make_node, log, overrides, ignored, hint):
    node = make_node(threads=1, **overrides, **{ignored: 5})
    assert node.start()
    told = f"parameter '{ignored}' is ignored; "
    (line,) = [line for line in log.text.splitlines() if told in line]
    assert "[WARN]" in line
    assert hint in line
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    assert log.text.count(told) == 1


def test_names_that_nobody_reads_are_all_told(make_node, log):
    ignored = [f"qos_overrides./cam{n}/imag.subscription.depth" for n in (1, 2)]
    node = make_node(threads=1, cameras=["cam1", "cam2"], **dict.fromkeys(ignored, 5))
    assert node.start()
    for name in ignored:
        assert log.text.count(f"parameter '{name}' is ignored; ") == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_read_is_not_warned_of(graph, make_node, make_camera, log, lazy):
    overrides = {
        "qos_overrides./camera_info.subscription.history": "KEEP_LAST",
        "qos_overrides./depth.subscription.depth": 3,
        f"{IMAGE}.reliability": "reliable",
        f"{IMAGE}.depth": 7,
    }
    node, camera = make_node(threads=1, lazy=lazy, **overrides), make_camera()
    for _ in range(2):
        assert node.start()
        graph.spin_until(lambda: camera.images.get_subscription_count() == 1)
        (image,) = [s for s in node.subscriptions if s.topic_name == "/image"]
        assert (image.qos_profile.depth, image.qos_profile.reliability.name) == (7, "RELIABLE")
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
    assert "qos_overrides" not in log.text


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"durability": DurabilityPolicy.TRANSIENT_LOCAL}, "Volatile publisher and transient"),
        ({"deadline": Duration(seconds=1)}, "Subscription has a deadline"),
    ],
)
def test_only_who_asks_for_more_is_named_and_only_for_that(graph, make_camera, asked, reason):
    # DDS tells times that nobody set as endless, and they are zero in our profile.
    offered, topic = QoSProfile(depth=1), "/pose_node/skeletons"
    greedy, modest = make_camera("greedy"), make_camera("modest")
    for camera, profile in ((greedy, asked), (modest, {})):
        camera.listen(Skeleton3DArray, topic, **profile)
    count = greedy.node.count_subscribers
    graph.spin_until(lambda: count(topic) == 2)
    text = explain_subscriptions(greedy.node, topic, offered)
    assert "/greedy/camera requests" in text
    assert reason in text
    assert "modest" not in text
    assert text.count("ERROR") == 1


def test_a_node_whose_name_has_not_come_is_called_so():
    # As rmw tells it, at the moment when the endpoints find each other.
    node = {"node_namespace": "_NODE_NAMESPACE_UNKNOWN_", "node_name": "_NODE_NAME_UNKNOWN_"}
    unnamed = TopicEndpointInfo(**node, qos_profile=QoSProfile(depth=1))
    assert endpoint_names([unnamed]) == "a node whose name has not come yet"
