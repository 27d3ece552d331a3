"""Where the topics of a camera driver go that the launch file starts."""

import ast
from pathlib import Path

import pytest
import rclpy

from pandapose_ros.node.launch_arguments import driver_remappings, input_topics

LAUNCH_FILE = Path(__file__).parents[1] / "launch" / "camera.launch.py"


@pytest.mark.parametrize("prefix", ["", "~/"])
def test_a_drivers_topics_come_where_the_node_listens(graph, prefix):
    arguments = ["--ros-args"]
    for old, new in driver_remappings(prefix, input_topics("front/image", "info", "depth")):
        arguments += ["-r", f"{old}:={new}"]
    driver = rclpy.create_node(
        "camera", context=graph.context, namespace="/robot", cli_args=arguments
    )
    graph.add(driver)
    published = {
        f"{prefix}image_raw": "/robot/front/image",
        f"{prefix}image_raw/compressed": "/robot/front/image/compressed",
        f"{prefix}camera_info": "/robot/info",
        "/robot/front/camera_info": "/robot/info",  # by image_transport, from Kilted on
        "~/aligned_depth_to_color/image_raw": "/robot/depth",
    }
    assert {topic: driver.resolve_topic_name(topic) for topic in published} == published


def test_drivers_are_started_with_these_remappings():
    (call,) = (
        node
        for node in ast.walk(ast.parse(LAUNCH_FILE.read_text()))
        if isinstance(node, ast.Call)
        and "name='camera'" in [ast.unparse(keyword) for keyword in node.keywords]
    )
    given = [ast.unparse(keyword) for keyword in call.keywords]
    assert "remappings=driver_remappings(driver.prefix, topics)" in given
