# SROS 2's own tools are not at hand; what they would allow is compared with what the nodes do.
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatch
from pathlib import Path

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter

from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.video_camera import VideoCamera

ROOT = Path(__file__).parents[1]
POLICIES = ElementTree.parse(ROOT / "config" / "sros2" / "policies.xml")


def allowed(profile, kind, right, node):
    """The full names, with * in some, that a profile allows a node a right to."""
    rules = POLICIES.find(f".//profile[@node='{profile}']")
    found = [item.text for group in rules.iter(f"{kind}s") if group.get(right) for item in group]
    return [name.replace("~/", f"/{node}/") if name[0] in "~/" else f"/{name}" for name in found]


def names(watcher, what, node):
    found = getattr(watcher, f"get_{what}_names_and_types_by_node")(node, "/")
    return {name for name, _ in found}


def check(watcher, profile, node):
    for what, kind, right in (
        ("publisher", "topic", "publish"),
        ("subscriber", "topic", "subscribe"),
        ("service", "service", "reply"),
    ):
        used, granted = names(watcher, what, node), allowed(profile, kind, right, node)
        refused = {n for n in used if not any(fnmatch(n, pattern) for pattern in granted)}
        assert not refused, f"{profile} may not {right} {refused}"
    assert names(watcher, "client", node) == set()


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_policies_allow_all_that_pose_node_does(graph, transport):
    switches = {
        "image_transport": transport,
        "target_frame": "map",
        "publish_tf": True,
        "use_sim_time": True,
    }
    overrides = [Parameter(name, value=value) for name, value in switches.items()]
    # Names of their own: nodes of other tests that have just died are still known for a while.
    name = f"secured_{transport}"
    renamed = ["--ros-args", "-r", f"__node:={name}"]
    node = graph.add(
        PoseNode(context=graph.context, parameter_overrides=overrides, cli_args=renamed)
    )
    watcher = graph.add(Node("watcher", context=graph.context))
    assert node.start()
    graph.spin_until(lambda: "/rosout" in names(watcher, "publisher", name))
    graph.spin_until(lambda: "/clock" in names(watcher, "subscriber", name))
    graph.spin_for(0.3)
    check(watcher, "pose_node", name)
    # Nor do they allow what no longer exists, but for what only comes with other packages.
    used = names(watcher, "publisher", name) | names(watcher, "service", name)
    granted = set(allowed("pose_node", "topic", "publish", name))
    granted |= set(allowed("pose_node", "service", "reply", name))
    assert granted - used <= {f"/{name}/annotations", "/humans/bodies/*"}


def test_the_policies_allow_all_that_video_camera_does(graph):
    source = Parameter("source", value=str(ROOT / "config" / "demo" / "walk.mp4"))
    graph.add(VideoCamera(context=graph.context, parameter_overrides=[source]))
    watcher = graph.add(Node("watcher", context=graph.context))
    graph.spin_until(lambda: "/image_raw" in names(watcher, "publisher", "video_camera"))
    graph.spin_for(0.3)
    check(watcher, "video_camera", "video_camera")


def test_everything_that_is_not_allowed_is_refused():
    # SROS 2 adds a rule of its own for each ALLOW and denies the rest: no wildcard of ours may
    # open more than what the bodies' names, which come and go, need.
    for item in POLICIES.iter():
        if item.tag in ("topic", "service") and "*" in item.text:
            assert item.text == "/humans/bodies/*"
    rights = [v for i in POLICIES.iter() for k, v in i.items() if k in ("publish", "reply")]
    assert set(rights) == {"ALLOW"}
