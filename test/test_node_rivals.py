"""Two pose_nodes that give different people one name on topics that all share."""

import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

from pandapose_ros.node import rivals
from pandapose_ros.node.pose_node import PoseNode


@pytest.fixture
def start(graph, monkeypatch):
    monkeypatch.setattr(rivals, "_PERIOD", 0.2)
    monkeypatch.setattr(rivals, "_LEAST_TIME", 0.5)

    def start(namespace, **overrides):
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        node = graph.add(
            PoseNode(context=graph.context, namespace=namespace, parameter_overrides=parameters)
        )
        assert node.start()
        return node

    return start


def test_people_of_two_nodes_on_tf_and_in_lists_are_warned_of(foreign_messages, graph, start, log):
    start("left", threads=1, publish_tf=True, publish_hri=True)
    start("right", threads=1, publish_tf=True, publish_hri=True)
    told = [
        f"[WARN] [{me}.pose_node]: /{other}/pose_node publishes people on {topic} too"
        for me, other in (("left", "right"), ("right", "left"))
        for topic in ("/tf", "/humans/bodies/tracked")
    ]

    def times(text):
        level, rest = text.split(" ", 1)
        lines = [line for line in log.text.splitlines() if line.startswith(level)]
        return sum(rest in line for line in lines)

    graph.spin_until(lambda: all(times(text) for text in told))
    graph.spin_for(1)
    assert [times(text) for text in told] == [1] * 4


def test_other_publishers_of_tf_are_no_rivals(graph, start, make_camera, log):
    node = start("left", threads=1, publish_tf=True)
    other = start("right", threads=1)  # it publishes skeletons only
    robot = make_camera().node
    robot.create_publisher(TFMessage, "/tf", QoSProfile(depth=1))
    graph.spin_until(lambda: node.count_publishers("/tf") == 2)
    graph.spin_until(lambda: node.count_publishers(other.cameras[0].outputs.skeletons_topic))
    graph.spin_for(1.5)
    assert "publishes people on" not in log.text
    assert "there is another node" not in log.text


def test_a_node_that_was_started_twice_is_told(graph, start, log):
    told = "there is another node /left/pose_node: skeletons of both come on the same topics"
    start("left", threads=1)
    graph.spin_for(1.5)
    assert told not in log.text
    start("left", threads=1)
    graph.spin_until(lambda: log.text.count(told) == 2)
    graph.spin_for(1)
    assert log.text.count(told) == 2
