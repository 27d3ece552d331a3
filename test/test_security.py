# SROS 2's own tools are not at hand; what they would allow is compared with what the nodes do.
import re
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from viewing import Browser

from pandapose_ros.node.live_scene import LiveScene
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.video_camera import VideoCamera
from pandapose_ros.node.viewer import Viewer

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "config" / "sros2" / "policies.xml").read_text()
# As they are, and with the comments for a camera with a name written out.
POLICIES = {
    "": ElementTree.fromstring(TEXT),
    "left": ElementTree.fromstring(re.sub(r"<!-- cameras: left(.*?)-->", r"\1", TEXT, flags=re.S)),
}


def allowed(profile, kind, right, node, camera=""):
    """The full names, with * in some, that a profile allows a node a right to."""
    rules = POLICIES[camera].find(f".//profile[@node='{profile}']")
    found = [item.text for group in rules.iter(f"{kind}s") if group.get(right) for item in group]
    return [name.replace("~/", f"/{node}/") if name[0] in "~/" else f"/{name}" for name in found]


def names(watcher, what, node):
    found = getattr(watcher, f"get_{what}_names_and_types_by_node")(node, "/")
    return {name for name, _ in found}


def check(watcher, profile, node, camera="", heard="pose_node"):
    """Compare what a node does with what it may; `heard` is a pose_node by another name."""
    for what, kind, right in (
        ("publisher", "topic", "publish"),
        ("subscriber", "topic", "subscribe"),
        ("service", "service", "reply"),
        ("client", "service", "request"),
    ):
        used = {name.replace(f"/{heard}/", "/pose_node/") for name in names(watcher, what, node)}
        granted = allowed(profile, kind, right, node, camera)
        refused = {n for n in used if not any(fnmatch(n, pattern) for pattern in granted)}
        assert not refused, f"{profile} may not {right} {refused}"


@pytest.mark.parametrize("transport", ["raw", "compressed"])
@pytest.mark.parametrize("camera", POLICIES)
def test_the_policies_allow_all_that_pose_node_does(foreign_messages, graph, transport, camera):
    switches = {
        "cameras": [camera],
        "use_detections": True,
        "image_transport": transport,
        "target_frame": "map",
        "publish_tf": True,
        "use_sim_time": True,
    }
    overrides = [Parameter(name, value=value) for name, value in switches.items()]
    # Names of their own: nodes of other tests that have just died are still known for a while.
    name = f"secured_{transport}_{camera or 'one'}"
    renamed = ["--ros-args", "-r", f"__node:={name}"]
    node = graph.add(
        PoseNode(context=graph.context, parameter_overrides=overrides, cli_args=renamed)
    )
    watcher = graph.add(Node("watcher", context=graph.context))
    assert node.start()
    graph.spin_until(lambda: "/rosout" in names(watcher, "publisher", name))
    graph.spin_until(lambda: "/clock" in names(watcher, "subscriber", name))
    graph.spin_for(0.3)
    check(watcher, "pose_node", name, camera)
    # Nor do they allow what no longer exists, but for what only comes with other packages.
    used = names(watcher, "publisher", name) | names(watcher, "service", name)
    granted = set(allowed("pose_node", "topic", "publish", name, camera))
    granted |= set(allowed("pose_node", "service", "reply", name))
    if camera:  # in place of what there is for a camera without a name
        granted -= {t.replace(f"/{camera}/", "/") for t in granted if f"/{camera}/" in t}
    annotations = f"/{name}/{camera}/annotations".replace("//", "/")
    assert granted - used <= {annotations, "/humans/bodies/*"}
    assert f"/{camera}/detections".replace("//", "/") in names(watcher, "subscriber", name)


@pytest.mark.parametrize("transport", ["raw", "compressed"])
@pytest.mark.parametrize("camera", POLICIES)
def test_the_policies_allow_all_that_viewer_does(graph, transport, camera):
    switches = {"cameras": [camera], "image_transport": transport}
    heard = f"watched_{transport}_{camera or 'one'}"
    node = graph.add(
        PoseNode(
            context=graph.context,
            parameter_overrides=[Parameter(name, value=value) for name, value in switches.items()],
            cli_args=["--ros-args", "-r", f"__node:={heard}"],
        )
    )
    assert node.start()
    topic = f"{heard}/{camera}/skeletons".replace("//", "/")
    name = f"viewer_of_{heard}"
    overrides = [Parameter("skeletons", value=topic), Parameter("use_sim_time", value=True)]
    renamed = ["--ros-args", "-r", f"__node:={name}"]
    viewer = graph.add(
        Viewer(context=graph.context, parameter_overrides=overrides, cli_args=renamed)
    )
    viewer.serve(LiveScene("127.0.0.1", 18090))
    watcher = graph.add(Node("watcher", context=graph.context))
    heard_all = {f"/{topic}", f"/{topic}".replace("/skeletons", "/anchors"), "/clock"}
    with closing(Browser(viewer.scene.url)):
        graph.spin_until(lambda: heard_all <= names(watcher, "subscriber", name))
        graph.spin_until(lambda: "/rosout" in names(watcher, "publisher", name))
        graph.spin_for(0.3)
        check(watcher, "viewer", name, camera, heard)


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
    for item in POLICIES["left"].iter():
        if item.tag in ("topic", "service") and "*" in item.text:
            assert item.text == "/humans/bodies/*"
    rules = [item for item in POLICIES["left"].iter() if item.tag in ("topics", "services")]
    assert {right for rule in rules for right in rule.attrib.values()} == {"ALLOW"}
