import ast
import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml

from pandapose_ros.config import VideoCameraConfig, ViewerConfig
from pandapose_ros.frames.transform import rotation_from_quaternion
from pandapose_ros.node import launch_arguments
from pandapose_ros.node.launch_arguments import (
    camera_names,
    input_topics,
    logger_name,
    misspelt,
    of_cameras,
    upright_frame,
)
from pandapose_ros.node.pose_node import PoseNode

ROOT = Path(__file__).parents[1]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def calls(path, name):
    """The calls of a function or class in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def keyword(call, name):
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def defined(name, *functions):
    """Functions of a launch file, without launch itself."""
    names = {"Node": dict, **vars(launch_arguments)}
    source = (ROOT / "launch" / f"{name}.launch.py").read_text()
    wanted = [n for n in ast.parse(source).body if getattr(n, "name", "") in functions]
    exec(compile(ast.Module(wanted, []), name, "exec"), names)
    return [names[function] for function in functions]


def test_there_are_launch_files():
    names = ["camera", "demo", "pandapose", "show"]
    assert [path.name for path in LAUNCH_FILES] == [f"{name}.launch.py" for name in names]


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_compile_and_describe_every_argument(path):
    module = compile(path.read_text(), path, "exec", ast.PyCF_ONLY_AST)
    functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    assert "generate_launch_description" in functions
    arguments = list(calls(path, "DeclareLaunchArgument"))
    assert arguments
    for argument in arguments:
        assert keyword(argument, "description"), ast.unparse(argument)
        if keyword(argument, "default_value") in ("'true'", "'false'"):
            choices = ast.literal_eval(keyword(argument, "choices"))
            is_clock = ast.unparse(argument.args[0]) == "'use_sim_time'"
            assert choices == ["true", "false"] + ["True", "False"] * is_clock


def test_true_from_the_launch_files_of_others_is_true():
    # Each file that reads it compares it with "true".
    for path in LAUNCH_FILES:
        source = path.read_text()
        if '"use_sim_time"] == "true"' in source:
            assert re.search(r'values\["use_sim_time"\] = .*\.lower\(\)\n', source), path


@pytest.mark.parametrize(("typed", "clock"), [("", {}), ("false", {"use_sim_time": False})])
def test_a_clock_that_nobody_asked_for_hides_no_other(typed, clock):
    """Of the params_file, or of SetParameter in an including launch file."""
    values = defaultdict(str, use_sim_time=typed)
    (pose_node,) = defined("pandapose", "pose_node")
    assert pose_node(values, "pose_node")["parameters"] == [clock]
    viewer, *_ = defined("show", "viewer", "topics_of", "clock_of")
    assert viewer(values)["parameters"][-1] == clock


def test_arguments_of_several_files_have_one_default():
    # launch takes the default of whichever file declares the argument first.
    defaults, declared = {}, 0
    for path in LAUNCH_FILES:
        if path.name == "demo.launch.py":  # what it starts with is its own
            continue
        for argument in calls(path, "DeclareLaunchArgument"):
            declared += 1
            default = keyword(argument, "default_value")
            assert defaults.setdefault(ast.unparse(argument.args[0]), default) == default
    assert declared > len(defaults)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("front", ["front"]),
        ("left,right", ["left", "right"]),
        ("[left, 'right']", ["left", "right"]),
        ("a/b", ["a/b"]),  # for the node to refuse
    ],
)
def test_names_of_cameras_are_read(text, names):
    assert camera_names(text) == names


@pytest.mark.parametrize("cameras", [[], ["left", "right"]])
def test_a_launched_node_listens_to_the_topics_that_were_given(graph, cameras):
    topics = input_topics("usb/image_raw", "", "aligned")
    assert topics["camera_info"] == "usb/camera_info"
    assert input_topics("usb/image_raw", "mine", "")["camera_info"] == "mine"
    beside = input_topics("usb/image_raw/compressed", "", "")["camera_info"]
    assert beside == "usb/camera_info"
    assert input_topics("image", "", "", "yolo/boxes")["detections"] == "yolo/boxes"
    assert "detections" not in topics
    arguments = ["--ros-args", "-r", "__ns:=/robot", "-r", f"__node:=launched_{len(cameras)}"]
    for old, new in of_cameras(topics, cameras).items():
        arguments += ["-r", f"{old}:={new}"]
    if cameras:
        arguments += ["-p", f"cameras:={cameras}"]
    node = graph.add(PoseNode(context=graph.context, cli_args=arguments))
    assert node.start()

    def heard():
        found = node.get_subscriber_names_and_types_by_node(node.get_name(), "/robot")
        return {name for name, _ in found if not name.startswith("/parameter")}

    places = [f"/robot/{name}" for name in cameras] or ["/robot"]
    ends = ("usb/image_raw", "usb/camera_info", "aligned")
    expected = {f"{place}/{end}" for place in places for end in ends}
    graph.spin_until(lambda: heard() == expected)


def test_an_absolute_topic_cannot_be_that_of_several_cameras():
    topics = input_topics("/usb/image_raw", "", "depth")
    assert of_cameras(topics, []) == topics
    with pytest.raises(RuntimeError, match=r"in front of /usb/image_raw: .* namespace:=NAME"):
        of_cameras(topics, ["left"])


@pytest.mark.parametrize(
    ("pushed", "namespace", "whole"),
    [
        ("", "", "/"),
        ("", "left/front", "/left/front"),
        ("/robot", "", "/robot"),
        ("/robot", "front/", "/robot/front"),
        ("/robot", "/front", "/front"),
    ],
)
def test_the_log_level_is_that_of_the_node_in_its_namespace(graph, pushed, namespace, whole):
    node = graph.add(PoseNode(context=graph.context, namespace=whole))
    assert node.get_logger().name == logger_name(pushed, namespace)


def test_a_misspelt_argument_is_told():
    known = {"namespace", "image_topic"}
    typed = ["image_topics:=/front/image:=x", "namespace:=a", "map:=house.yaml"]
    assert misspelt(typed, known) == [
        "there is no argument 'image_topics'; did you mean 'image_topic'?"
    ]


@pytest.mark.parametrize(
    ("frame", "upright"),
    [
        ("camera_optical_frame", "camera_optical_frame_upright"),
        ("left/default_cam", "left/default_cam_upright"),
        ("map", ""),
        ("robot/odom", ""),
        ("base", ""),
        ("base_footprint", ""),
        ("camera_link", ""),
        ("camera0/camera_optical_link", "camera0/camera_optical_link_upright"),
        ("base_camera_optical_frame", "base_camera_optical_frame_upright"),
    ],
)
def test_a_camera_has_a_frame_with_z_up(frame, upright):
    assert upright_frame(frame) == upright


def test_rviz_looks_at_a_frame_whose_z_is_up():
    """The published rotation takes the frame's axes to those of an optical frame (REP 103)."""
    (call,) = calls(ROOT / "launch" / "show.launch.py", "upright_publisher")
    assert ast.unparse(call.args[0]) == "values['fixed_frame']"
    source = (ROOT / "launch" / "show.launch.py").read_text()
    x, y, z, w = (float(re.search(rf'"--q{axis}", "([-.\d]+)"', source)[1]) for axis in "xyzw")
    axes = rotation_from_quaternion((x, y, z, w))
    # Ahead is the optical z, left is -x, up is -y.
    np.testing.assert_allclose(axes.T, [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    shown = yaml.safe_load((ROOT / "config" / "pandapose.rviz").read_text())
    default = shown["Visualization Manager"]["Global Options"]["Fixed Frame"]
    assert default == upright_frame("camera_optical_frame")


@pytest.mark.parametrize(
    ("cameras", "place"), [("", "/robot/pose_node"), ("left,right", "/robot/pose_node/left")]
)
def test_displays_look_into_the_namespace_that_they_are_in(graph, cameras, place):
    """Whether by the argument or by an including launch file, only the node itself is told."""
    (topics_of,) = defined("show", "topics_of")
    topics = topics_of({"cameras": cameras, "namespace": ""})
    arguments = ["--ros-args", "-r", f"/pose_node/markers:={topics}/markers"]
    display = rclpy.create_node(
        "rviz", context=graph.context, namespace="/robot", cli_args=arguments
    )
    graph.add(display)
    assert display.resolve_topic_name("/pose_node/markers") == f"{place}/markers"
    assert display.resolve_topic_name(f"{topics}/skeletons") == f"{place}/skeletons"


def test_whichever_name_fast_dds_reads_its_profile_by_is_set():
    # Of Kilted and later, and of Jazzy and before.
    names = ["FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"]
    path = ROOT / "launch" / "pandapose.launch.py"
    (line,) = (s for s in path.read_text().splitlines() if s.startswith("DDS_PROFILES = "))
    assert list(ast.literal_eval(line.removeprefix("DDS_PROFILES = "))) == names
    (call,) = calls(path, "SetEnvironmentVariable")
    assert ast.unparse(call.args[0]) == "variable"
    assert f"{ast.unparse(call)} for variable in DDS_PROFILES" in ast.unparse(
        ast.parse(path.read_text())
    )


def test_launched_executables_are_installed():
    installed = (ROOT / "CMakeLists.txt").read_text()
    nodes = [n for path in LAUNCH_FILES for n in calls(path, "Node")]
    ours = [n for n in nodes if keyword(n, "package") == "'pandapose_ros'"]
    assert {keyword(n, "executable") for n in ours} == {
        "'pose_node'",
        "'video_camera'",
        "'viewer'",
    }
    for node in ours:
        assert ast.literal_eval(keyword(node, "executable")) in installed


@pytest.mark.parametrize(
    ("program", "config"), [("video_camera", VideoCameraConfig), ("viewer", ViewerConfig)]
)
def test_launched_nodes_get_parameters_that_they_have(program, config):
    (node,) = (
        n
        for path in LAUNCH_FILES
        for n in calls(path, "Node")
        if keyword(n, "executable") == f"'{program}'"
    )
    dictionary, *files = next(k.value for k in node.keywords if k.arg == "parameters").elts
    names = {ast.literal_eval(key) for key in dictionary.keys}
    if program == "video_camera":
        # After the arguments, as of the drivers.
        assert [ast.unparse(part) for part in files] == ["*files"]
    assert names <= {item.name for item in fields(config)} | {"use_sim_time"}


def test_no_launch_file_needs_a_network():
    for path in LAUNCH_FILES:
        assert not re.search(r"urllib|requests|http|download|subprocess|pip", path.read_text())


def test_files_that_launch_files_name_exist():
    for path in LAUNCH_FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.BinOp) and ast.unparse(node).startswith("SHARE / "):
                expression = ast.unparse(node).removeprefix("SHARE / ")
                parts = [ast.literal_eval(part) for part in expression.split(" / ")]
                assert ROOT.joinpath(*parts).exists(), parts


def rviz_topics(content):
    """Every topic in a tree of RViz's settings."""
    if isinstance(content, dict):
        topic = content.get("Topic")
        if isinstance(topic, dict) and topic.get("Value"):
            yield topic["Value"]
        for value in content.values():
            yield from rviz_topics(value)
    elif isinstance(content, list):
        for value in content:
            yield from rviz_topics(value)


def test_every_topic_in_rviz_is_published_and_moves_with_the_namespace(graph):
    topics = set(rviz_topics(yaml.safe_load((ROOT / "config" / "pandapose.rviz").read_text())))
    assert len(topics) >= 3
    node = graph.add(PoseNode(context=graph.context))
    node.trigger_configure()
    graph.spin_until(lambda: all(node.count_publishers(topic) == 1 for topic in topics))
    source = (ROOT / "launch" / "show.launch.py").read_text()
    (line,) = (line for line in source.splitlines() if line.startswith("RVIZ_TOPICS = "))
    moved = ast.literal_eval(line.removeprefix("RVIZ_TOPICS = "))
    assert {f"/pose_node/{name}" for name in moved} == topics
