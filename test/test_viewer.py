"""The browser view: its shapes, and what goes over the wire."""

import urllib.request

import msgspec
import numpy as np
import pytest
import websockets.sync.client
import zstandard
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from pandapose_ros.estimator import ModelInfo
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node import conversions, scene_shapes
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view
from pandapose_ros.node.live_scene import LiveScene
from pandapose_ros.node.sources import find_source, skeleton_topics
from pandapose_ros.node.viewer import Viewer
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17


def person(root=(0.0, 0.2, 3.0)):
    joints = np.zeros((17, 3))
    joints[:, 1] = np.linspace(0.8, -0.8, 17)
    joints[:, 0] = np.linspace(-0.3, 0.3, 17)
    return Pose(
        id=3,
        state=TrackState.TRACKED,
        joints=joints - joints[0],
        root=np.array(root),
        root_covariance=None,
        root_source=RootSource.INTRINSICS,
        joint_scores=np.full(17, 0.9),
        keypoints=np.full((17, 2), 50.0),
        box_xyxy=np.array([10.0, 10.0, 90.0, 200.0]),
        score=0.9,
        anchors=AnchorVotes(
            positions=np.array([[0.1, 0.0, 0.0], [0.0, 0.5, 0.1], [0.3, 0.3, 0.3]]),
            weights=np.full((3, 17), 1 / 3),
            kinds=np.array([0, 0, 1]),
            owners=np.array([0, 9, -1]),
        ),
    )


def test_bones_reach_from_joint_to_joint():
    pose = person()
    shapes = scene_shapes.body(pose, H36M_17, 0.5)
    assert len(shapes.positions) == 17 + 16
    for number, (parent, joint) in enumerate(H36M_17.bones, start=17):
        w, *vector = shapes.wxyzs[number]
        axis = np.array([0.0, 0.0, shapes.scales[number, 2]])
        turned = axis + 2 * np.cross(vector, np.cross(vector, axis) + w * axis)
        ends = shapes.positions[number] + np.stack([-turned, turned])
        assert np.allclose(ends, (pose.joints + pose.root)[[parent, joint]], atol=1e-9)


def test_unknown_and_doubtful_joints_are_not_drawn():
    pose = person()
    pose.joints[16] = np.nan
    pose.joint_scores[13] = 0.1
    shapes = scene_shapes.body(pose, H36M_17, 0.5)
    drawn = shapes.scales.any(-1)
    assert not drawn[16]
    assert not drawn[13]
    assert drawn[:13].all()
    touching = [bool({13, 16} & set(bone)) for bone in H36M_17.bones]
    assert (drawn[17:] == ~np.array(touching)).all()
    assert all(np.isfinite(part).all() for part in vars(shapes).values())


def test_votes_of_one_joint_are_its_own_anchors():
    lines, _colours = scene_shapes.votes(person(), H36M_17, 9)
    lengths = np.linalg.norm(lines[:, 0] - lines[:, 1], axis=-1)
    assert (lengths > 0).tolist() == [False, True, False]
    assert (scene_shapes.anchors(person(), 9).scales[:, 0] > 0).tolist() == [False, True, True]


class Browser:
    """Speaks viser's protocol as far as a page does that only looks."""

    def __init__(self, url):
        self._socket = websockets.sync.client.connect(
            url.replace("http", "ws"), subprotocols=["viser-v1.1.1"], max_size=None
        )
        self.messages = []
        camera = {"wxyz": (1, 0, 0, 0), "position": (0, 0, 0), "look_at": (0, 0, 1)}
        camera |= {"up_direction": (0, -1, 0), "fov": 1.0, "near": 0.1, "far": 100.0}
        self.send("ViewerCameraMessage", **camera, image_height=100, image_width=100)

    def send(self, kind, **fields):
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def receive(self):
        """Take in what has come."""
        try:
            while True:
                data = self._socket.recv(timeout=0.02)
                size = int.from_bytes(data[8:16], "little")
                text = zstandard.ZstdDecompressor().decompress(data[16 : 16 + size])
                self.messages += msgspec.msgpack.decode(text)["messages"]
        except TimeoutError:
            return

    def close(self):
        self._socket.close()


class Talker:
    """Publishes as pose_node does, beside the images that it works on."""

    def __init__(self, graph):
        self.node = graph.add(Node("talker", context=graph.context))
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        create = self.node.create_publisher
        self.info = create(SkeletonInfo, "~/skeleton_info", latched)
        self.skeletons = create(Skeleton3DArray, "~/skeletons", 5)
        self.anchors = create(AnchorSet3DArray, "~/anchors", 1)
        self.images = create(Image, "lens/image_raw", 5)
        self.camera_infos = create(CameraInfo, "lens/camera_info", 5)
        heard = ((Image, "depth"), (Image, "lens/image_raw"), (CameraInfo, "lens/camera_info"))
        for kind, topic in heard:
            self.node.create_subscription(kind, topic, lambda _message: None, 1)
        self.info.publish(conversions.skeleton_info_message(H36M_17, ModelInfo("m", "1", "0")))

    def say(self, poses):
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="lens")
        self.camera_infos.publish(camera_info_from_field_of_view(1.0, 64, 48))
        self.images.publish(conversions.image_message(np.full((48, 64, 3), 200, np.uint8), header))
        self.anchors.publish(conversions.anchors_message(poses, header))
        self.skeletons.publish(conversions.skeletons_message(poses, header, "h36m_17"))


@pytest.fixture
def viewer(graph):
    options = [Parameter("rate", value=50.0)]
    viewer = graph.add(Viewer(context=graph.context, parameter_overrides=options))
    viewer.serve(LiveScene("127.0.0.1", 18080))
    return viewer


@pytest.fixture
def browser(viewer):
    browser = Browser(viewer.scene.url)
    yield browser
    browser.close()


def names_shown(browser):
    """Every thing in the scene that a message makes or moves."""
    return {message.get("name") for message in browser.messages}


def test_topics_of_a_talker_are_found(graph):
    talker = Talker(graph)
    graph.spin_until(lambda: skeleton_topics(talker.node) == ["/talker/skeletons"])
    source = find_source(talker.node, "/talker/skeletons")
    assert (source.info, source.anchors) == ("/talker/skeleton_info", "/talker/anchors")
    assert (source.image, source.camera_info) == ("/lens/image_raw", "/lens/camera_info")
    assert not source.is_compressed


def test_people_anchors_and_image_reach_a_browser(graph, viewer, browser):
    talker = Talker(graph)

    def all_shown():
        talker.say([person()])
        graph.spin_for(0.05)
        browser.receive()
        wanted = {"/people/0/body", "/people/0/anchors", "/people/0/votes", "/camera"}
        return wanted <= names_shown(browser)

    graph.spin_until(all_shown)
    assert any("in view" in str(message) for message in browser.messages)
    # pose_node makes anchors for subscribers only: nobody is left when the browser goes.
    assert talker.anchors.get_subscription_count() == 1
    browser.close()
    graph.spin_until(lambda: talker.anchors.get_subscription_count() == 0)


def test_the_page_is_served_on_loopback_only_and_not_shared(graph, viewer, browser):
    assert viewer.scene.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(viewer.scene.url, timeout=10) as page:
        assert b"<html" in page.read()
    browser.send("ShareUrlRequest")
    graph.spin_for(0.3)
    browser.receive()
    assert viewer.scene._server._share_tunnel is None
