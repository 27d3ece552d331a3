"""What the launch file gives the camera drivers that it starts."""

import ast
from pathlib import Path

import pytest
import rclpy
import yaml

from pandapose_ros.node.launch_arguments import (
    device_value,
    driver_remappings,
    images_frame,
    input_topics,
    parameter_files,
)

LAUNCH_FILE = Path(__file__).parents[1] / "launch" / "camera.launch.py"
PANDAPOSE_FILE = LAUNCH_FILE.with_name("pandapose.launch.py")
SHOW_FILE = LAUNCH_FILE.with_name("show.launch.py")


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


@pytest.mark.parametrize(
    ("driver", "device", "received"),
    [
        ("usb_cam", "/dev/video2", "/dev/video2"),
        ("camera_ros", "1", 1),
        ("camera_ros", "Virtual0", "Virtual0"),
        # The driver takes the _ away, which keeps the number a text.
        ("realsense2_camera", "827112070341", "_827112070341"),
        ("realsense2_camera", "038322250306", "_038322250306"),
        ("realsense2_camera", "_038322250306", "_038322250306"),
    ],
)
def test_a_driver_gets_its_device_with_the_type_that_it_declares(
    graph, tmp_path, driver, device, received
):
    # launch_ros writes parameters to a file like this.
    path = tmp_path / "parameters.yaml"
    parameters = {"device": device_value(driver, device)}
    path.write_text(yaml.dump({"/camera": {"ros__parameters": parameters}}))
    arguments = ["--ros-args", "--params-file", str(path)]
    node = graph.add(rclpy.create_node("camera", context=graph.context, cli_args=arguments))
    assert node.declare_parameter("device", type(received)()).value == received


def test_drivers_are_started_with_this_device():
    source = LAUNCH_FILE.read_text()
    assert "parameters[driver.device] = device_value(camera, device)" in source


def test_a_realsense_starts_only_the_streams_that_are_used():
    # Started without a launch file of its own, the driver starts all.
    (values,) = (
        node.value
        for node in ast.parse(LAUNCH_FILE.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REALSENSE_PARAMETERS"
    )
    parameters = ast.literal_eval(values)
    unused = ("infra", "infra1", "infra2", "gyro", "accel", "motion")
    assert parameters == {"align_depth.enable": True} | {
        f"enable_{name}": False for name in unused
    }
    assert "parameters |= REALSENSE_PARAMETERS" in LAUNCH_FILE.read_text()


def test_rviz_starts_in_the_frame_of_the_camera_that_is_started():
    assert images_frame("v4l2_camera", "front_optical_frame") == "front_optical_frame"
    assert images_frame("none", "camera_optical_frame") == "camera_optical_frame"
    # It names its frames itself.
    assert images_frame("realsense2_camera", "front") == "camera_color_optical_frame"
    source = SHOW_FILE.read_text()
    assert 'values["fixed_frame"] = values["fixed_frame"] or started_frame(context)' in source


def test_a_file_of_parameters_that_is_not_there_is_refused(tmp_path):
    # launch_ros warns of it, and starts the node with other parameters than were asked for.
    with pytest.raises(RuntimeError, match=r"^params_file:=~/mine.yaml is not there"):
        parameter_files("params_file", "~/mine.yaml")
    file = tmp_path / "mine.yaml"
    file.touch()
    assert parameter_files("params_file", str(file)) == [str(file)]
    assert parameter_files("params_file", "") == []
    assert 'parameter_files("camera_params_file"' in LAUNCH_FILE.read_text()
    assert '*parameter_files("params_file"' in PANDAPOSE_FILE.read_text()
