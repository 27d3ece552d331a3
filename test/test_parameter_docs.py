from dataclasses import fields
from pathlib import Path

import pytest

from pandapose_ros.config import (
    EstimatorConfig,
    NodeConfig,
    PictureConfig,
    VideoCameraConfig,
    WorldConfig,
)
from pandapose_ros.config.parameter_docs import parameters_page
from pandapose_ros.tools.main import main

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"


def test_the_committed_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == parameters_page(), "run: pandapose parameters --out docs/parameters.md"


@pytest.mark.parametrize(
    ("node", "configs"),
    [
        ("pose_node", (EstimatorConfig, NodeConfig, WorldConfig, PictureConfig)),
        ("video_camera", (VideoCameraConfig,)),
    ],
)
def test_every_parameter_has_a_row_in_its_nodes_table(node, configs):
    section = parameters_page().split(f"## {node}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    items = [item for config in configs for item in fields(config)]
    assert [row[0] for row in rows] == [f"| `{item.name}`" for item in items]
    assert [row[4] == "live" for row in rows] == [item.metadata["live"] for item in items]
    assert [row[5] for row in rows] == [item.metadata["doc"] + " |" for item in items]


def test_types_defaults_and_ranges_read_as_in_yaml():
    page = parameters_page()
    assert '| `device` | string | `"auto"` |  |  | auto, cpu' in page
    assert "| `tracking` | bool | `true` |  | live |" in page
    assert "| `detection_score` | double | `0.2` | 0 to 1 | live |" in page
    assert '| `"side"`, `"id"`, `"confidence"` | live |' in page
    assert "| `threads` | integer | `0` | 0 to 256 |  |" in page


def test_the_tool_writes_or_prints_the_page(tmp_path, capsys):
    out = tmp_path / "parameters.md"
    assert main(["parameters", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == parameters_page()
    assert main(["parameters"]) == 0
    assert capsys.readouterr().out == parameters_page()
    assert main(["parameters", "--out", str(tmp_path / "absent" / "file.md")]) == 1
    assert "absent" in capsys.readouterr().err
