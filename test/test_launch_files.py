import ast
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from pandapose_ros.config import VideoCameraConfig
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


def test_there_are_launch_files():
    assert [path.name for path in LAUNCH_FILES] == ["demo.launch.py", "pandapose.launch.py"]


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
            assert keyword(argument, "choices") == "['true', 'false']"


def test_launched_executables_are_installed():
    installed = (ROOT / "CMakeLists.txt").read_text()
    nodes = [n for path in LAUNCH_FILES for n in calls(path, "Node")]
    ours = [n for n in nodes if keyword(n, "package") == "'pandapose_ros'"]
    assert {keyword(n, "executable") for n in ours} == {"'pose_node'", "'video_camera'"}
    for node in ours:
        assert ast.literal_eval(keyword(node, "executable")) in installed


def test_launched_camera_gets_parameters_that_it_has():
    (camera,) = (
        n
        for path in LAUNCH_FILES
        for n in calls(path, "Node")
        if keyword(n, "executable") == "'video_camera'"
    )
    (dictionary,) = next(k.value for k in camera.keywords if k.arg == "parameters").elts
    names = {ast.literal_eval(key) for key in dictionary.keys}
    assert names <= {item.name for item in fields(VideoCameraConfig)}


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
    source = (ROOT / "launch" / "pandapose.launch.py").read_text()
    (line,) = (line for line in source.splitlines() if line.startswith("RVIZ_TOPICS = "))
    moved = ast.literal_eval(line.removeprefix("RVIZ_TOPICS = "))
    assert {f"/pose_node/{name}" for name in moved} == topics
