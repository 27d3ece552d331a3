# What the files for RViz and Foxglove show: topics that the node has, and no more.
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.node import Node
from test_launch_files import defined

from pandapose_ros.node.launch_arguments import upright_frame
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.pose_node import PoseNode

ROOT = Path(__file__).parents[1]
RVIZ = yaml.safe_load((ROOT / "config" / "pandapose.rviz").read_text())
FOXGLOVE = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())


def leaves(layout):
    if isinstance(layout, str):
        return {layout}
    return leaves(layout["first"]) | leaves(layout["second"])


@pytest.fixture
def topics(graph):
    # In a namespace of its own: nodes of this name that other tests have killed are still known.
    node = graph.add(PoseNode(context=graph.context, namespace="/views"))
    outputs = Outputs(node, None)
    watcher = graph.add(Node("watcher", context=graph.context))

    def published():
        found = watcher.get_publisher_names_and_types_by_node("pose_node", "/views")
        return {name.removeprefix("/views"): types[0] for name, types in found}

    graph.spin_until(lambda: "/pose_node/depth_markers" in published())
    yield published()
    outputs.destroy()


def test_rviz_and_foxglove_show_every_marker_and_the_picture(topics):
    markers = {name for name, kind in topics.items() if kind.endswith("/MarkerArray")}
    assert len(markers) == 3
    displays = {d["Name"]: d for d in RVIZ["Visualization Manager"]["Displays"]}
    shown = {d["Topic"]["Value"]: d for d in displays.values() if "Topic" in d}
    assert set(shown) == {*markers, "/pose_node/debug_image"}
    for name in markers:
        assert shown[name]["Class"] == "rviz_default_plugins/MarkerArray"
        # Our publishers are volatile: who asks for more gets nothing.
        assert shown[name]["Topic"]["Durability Policy"] == "Volatile"
    # People at once; what explains them when it is asked for.
    assert {n for n, d in displays.items() if not d["Enabled"]} == {"Anchors", "Depth"}
    panels = FOXGLOVE["configById"]
    assert leaves(FOXGLOVE["layout"]) == set(panels)
    named = set(re.findall(r'"(/[\w/]+)"', json.dumps(panels)))
    assert markers <= named
    # Annotations come with foxglove_msgs, diagnostics with configure.
    assert named - set(topics) == {"/pose_node/annotations", "/diagnostics"}


def test_foxglove_draws_no_skeletons_on_those_of_the_debug_image():
    # Annotations are in pixels of the camera's image; the debug image may be smaller.
    panel = FOXGLOVE["configById"]["Image!camera"]["imageMode"]
    assert panel["imageTopic"] == "/pose_node/debug_image/compressed"
    assert panel["annotations"] == {"/pose_node/annotations": {"visible": False}}


def test_foxglove_looks_at_people_who_stand():
    # z is up on Foxglove's screen, so it has to be up in the frame. (How the view's place follows
    # from its settings is read in the sources of Lichtblick, the open fork of Foxglove.)
    panel = FOXGLOVE["configById"]["3D!people"]
    assert panel["followTf"] == upright_frame("camera_optical_frame")
    phi, theta = np.radians([panel["cameraState"]["phi"], -panel["cameraState"]["thetaOffset"]])
    aside = (np.sin(phi) * np.sin(theta), -np.sin(phi) * np.cos(theta), np.cos(phi))
    eye = panel["cameraState"]["targetOffset"] + panel["cameraState"]["distance"] * np.array(aside)
    # As in RViz: behind the camera, to its right, and higher than people are.
    np.testing.assert_allclose(eye, (-1.7, -1.8, 2.2), atol=0.1)
    floor = panel["layers"]["grid"]
    assert (floor["position"][2], floor["rotation"]) == (0, [0, 0, 0])


@pytest.mark.parametrize("display", ["rviz", "foxglove", "view"])
@pytest.mark.parametrize("frame", ["lens", "map"])
def test_a_frame_with_z_up_is_published_for_the_displays_that_need_it(display, frame):
    (needs_upright,) = defined("show", "needs_upright")
    values = {name: str(name == display).lower() for name in ("rviz", "foxglove", "view")}
    is_published = needs_upright({**values, "fixed_frame": frame})
    assert is_published == (display != "view" and frame == "lens")


def test_rviz_has_a_check_box_for_every_namespace():
    listed = set()
    for display in RVIZ["Visualization Manager"]["Displays"]:
        listed |= set(display.get("Namespaces", ()))
    folder = ROOT / "pandapose_ros" / "node"
    source = (folder / "markers.py").read_text() + (folder / "evidence_markers.py").read_text()
    drawn = set(re.findall(r'marker\(header, "(\w+)"', source))
    drawn |= set(re.findall(r'"(anchors_\w+)"', source))
    assert listed == drawn
    assert len(drawn) == 7


def test_rvizs_panels_are_not_hidden():
    # RViz reads these into a variable without a value: without them panels may be hidden.
    geometry = RVIZ["Window Geometry"]
    assert (geometry["Hide Left Dock"], geometry["Hide Right Dock"]) == (False, False)
