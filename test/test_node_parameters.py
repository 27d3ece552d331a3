import math
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from pandapose_ros.config import (
    EstimatorConfig,
    NodeConfig,
    PictureConfig,
    VideoCameraConfig,
    WorldConfig,
)
from pandapose_ros.node.parameters import Parameters

CONFIGS = (EstimatorConfig, NodeConfig, WorldConfig, PictureConfig)


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(arguments=(), **overrides):
        node = Node(
            "declared",
            context=context,
            cli_args=["--ros-args", *arguments] if arguments else None,
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()],
        )
        nodes.append(node)
        return node, Parameters(node, *CONFIGS)

    yield make
    for node in nodes:
        node.destroy_node()
    context.shutdown()


def test_defaults_are_those_of_the_dataclasses(make_node):
    _, parameters = make_node()
    assert parameters.problems == []
    for config in CONFIGS:
        assert asdict(parameters.get(config)) == asdict(config())


def test_every_parameter_is_described_and_bounded(make_node):
    node, _ = make_node()
    for config in CONFIGS:
        for item in fields(config):
            descriptor = node.describe_parameter(item.name)
            assert descriptor.description == item.metadata["doc"]
            assert descriptor.read_only != item.metadata["live"]
            spans = [*descriptor.floating_point_range, *descriptor.integer_range]
            if item.metadata["low"] is not None:
                assert [span.from_value for span in spans] == [item.metadata["low"]]
            for choice in item.metadata["choices"]:
                assert f"'{choice}'" in descriptor.additional_constraints


def test_overrides_are_taken_over(make_node):
    _, parameters = make_node(detection_score=0.7, max_people=2, device="cpu", tracking=False)
    config = parameters.get(EstimatorConfig)
    assert (config.detection_score, config.max_people) == (0.7, 2)
    assert (config.device, config.tracking) == ("cpu", False)
    _, parameters = make_node(cameras=["left", "right"])
    assert parameters.get(NodeConfig).cameras == ("left", "right")
    assert parameters.problems == []


def test_whole_numbers_do_for_numbers_and_texts(make_node):
    _, parameters = make_node(max_image_age=1, frame_id=3)
    assert parameters.problems == []
    assert parameters.get(NodeConfig).max_image_age == 1.0
    assert parameters.get(NodeConfig).frame_id == "3"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            {"detection_scor": 0.7},
            "unknown parameter 'detection_scor'; did you mean 'detection_score'",
        ),
        ({"zzz": 1}, "unknown parameter 'zzz'; known: .*max_people"),
        ({"detection_score": "high"}, "'detection_score' must be a number, got 'high'"),
        (
            {"detection_score": 1.5},
            "'detection_score' must be at least 0.0 and at most 1.0, got 1.5",
        ),
        ({"max_people": 2.5}, "'max_people' must be a whole number, got 2.5"),
        ({"max_image_age": -1.0}, "'max_image_age' must be at least 0.0 and at most .*, got -1.0"),
        ({"tracking": 1}, "'tracking' must be true or false, got 1"),
        ({"cameras": 3}, "'cameras' must be a list of texts, got 3"),
        (
            {"image_transport": "compresed"},
            "must be one of 'raw', 'compressed'; got 'compresed'",
        ),
        (
            {"anchor_joint": "elbow"},
            "'anchor_joint' must be one of '', 'pelvis', .*'right_wrist'; got 'elbow'",
        ),
    ],
)
def test_what_is_wrong_is_named(make_node, overrides, text):
    _, parameters = make_node(**overrides)
    (problem,) = parameters.problems
    assert re.search(text, problem), problem


def test_parameters_of_ros_itself_are_known(make_node):
    _, parameters = make_node(
        use_sim_time=False, **{"qos_overrides./image.subscription.reliability": "reliable"}
    )
    assert parameters.problems == []


def test_live_parameters_change_and_others_do_not(make_node):
    node, parameters = make_node()
    before = parameters.get(PictureConfig)
    assert parameters.get(PictureConfig) is before
    (result,) = node.set_parameters([Parameter("marker_score", value=0.6)])
    assert result.successful
    assert parameters.get(PictureConfig).marker_score == 0.6
    for name, value in (
        ("device", "cpu"),
        ("marker_score", 2.0),
        ("marker_score", math.nextafter(1.0, 2.0)),  # a sum of tenths; rclpy would let it pass
        ("marker_score", "high"),
        ("marker_colour", "red"),
    ):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert not result.successful
        assert result.reason
    assert "one of 'side', 'id', 'confidence'; got 'red'" in result.reason
    assert parameters.get(PictureConfig).marker_score == 0.6


def commented_parameters(path):
    """The parameters of a YAML file, with those that are commented out."""
    lines = path.read_text().splitlines()
    start = lines.index("  ros__parameters:")
    options = [
        re.sub("^ *# ", "    ", line)
        for line in lines[start + 1 :]
        if ":" in line and "---" not in line
    ]
    return yaml.safe_load("\n".join(options))


def test_the_yaml_file_shows_every_parameter_with_its_default(make_node):
    path = Path(__file__).parents[1] / "config" / "pandapose.yaml"
    defaults = {name: v for config in CONFIGS for name, v in asdict(config()).items()}
    defaults = {n: list(v) if isinstance(v, tuple) else v for n, v in defaults.items()}
    assert commented_parameters(path) == {"use_sim_time": False, **defaults}
    # It would hide that of an including launch file's SetParameter.
    assert yaml.safe_load(path.read_text()) == {"/**": {"ros__parameters": {"autostart": True}}}
    _, parameters = make_node(["--params-file", str(path)])
    assert parameters.problems == []


def test_video_camera_takes_a_webcam_index_as_a_number():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("camera", context=context, parameter_overrides=[Parameter("source", value=2)])
    assert Parameters(node, VideoCameraConfig).get(VideoCameraConfig).source == "2"
    node.destroy_node()
    context.shutdown()


def test_without_news_of_changes_values_are_read_each_time(make_node, monkeypatch):
    # Humble's Node has no add_post_set_parameters_callback.
    monkeypatch.delattr(Node, "add_post_set_parameters_callback")
    node, parameters = make_node()
    assert parameters.get(EstimatorConfig).max_people == EstimatorConfig().max_people
    node.set_parameters([Parameter("max_people", value=2)])
    assert parameters.get(EstimatorConfig).max_people == 2


def test_an_empty_list_of_cameras_is_none(make_node, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text("/**: {ros__parameters: {cameras: []}}")
    _, parameters = make_node(["--params-file", str(path)])
    assert parameters.problems == []
    assert parameters.get(NodeConfig) == NodeConfig()
