"""What cameras send, over real DDS."""

import array
import time

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from pandapose_ros.node import inputs

pytestmark = pytest.mark.usefixtures("opened_once")


@pytest.fixture
def make_node(make_node):
    def make(**overrides):
        node = make_node(threads=1, **overrides)
        assert node.start()
        return node

    return make


class CompressedCamera:
    """Sends JPEG and PNG beside the raw images of a camera."""

    def __init__(self, camera, topic="image/compressed"):
        self.camera = camera
        self.images = camera.node.create_publisher(CompressedImage, topic, 5)

    def message(self, pixels, suffix=".jpg", form="rgb8; jpeg compressed bgr8"):
        done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        assert done
        header = self.camera.message(pixels[:1, :1]).header
        return CompressedImage(header=header, format=form, data=array.array("B", data.tobytes()))

    def exchange(self, message):
        self.images.publish(message)
        stamp, skeletons = message.header.stamp, self.camera.skeletons
        self.camera.graph.spin_until(lambda: any(s.header.stamp == stamp for s in skeletons))
        return skeletons[-1]


def test_compressed_images_give_the_skeletons_of_raw_ones(graph, make_node, make_camera, walker):
    node = make_node(image_transport="compressed", tracking=False)
    camera = make_camera()
    sender = CompressedCamera(camera)
    graph.spin_until(lambda: sender.images.get_subscription_count() == 1)
    graph.spin_for(0.2)
    assert camera.images.get_subscription_count() == 0
    jpeg = sender.exchange(sender.message(walker))
    png = sender.exchange(sender.message(walker, ".png", "bgr8; png compressed bgr8"))
    (from_jpeg,), (from_png,) = jpeg.skeletons, png.skeletons
    assert jpeg.header.frame_id == "lens"
    expected = node._estimator.estimate(walker)[0].keypoints
    for skeleton, tolerance in ((from_png, 0.01), (from_jpeg, 5)):
        keypoints = np.array([(joint.u, joint.v) for joint in skeleton.joints])
        np.testing.assert_allclose(keypoints, expected, atol=tolerance)


def test_damaged_compressed_images_are_counted_explained_drops(
    graph, make_node, make_camera, blank, capfd
):
    node = make_node(image_transport="compressed")
    sender = CompressedCamera(make_camera())
    graph.spin_until(lambda: sender.images.get_subscription_count() == 1)
    graph.spin_until(lambda: node.count_publishers("/image/compressed") == 1)
    good = sender.message(blank)
    damaged = ((good.data[:900], "jpeg"), (b"", "jpeg"), (b"RIFF", "webp"))
    for count, (data, form) in enumerate(damaged, 1):
        sender.images.publish(CompressedImage(header=good.header, format=form, data=data))
        graph.spin_until(lambda n=count: node.statistics.dropped_undecodable == n)
    assert sender.exchange(sender.message(blank)).skeletons == []
    log = capfd.readouterr().err
    assert "image dropped: compressed image of format 'jpeg' with 900 bytes is cut short" in log
    assert "format 'webp' with 4 bytes is neither JPEG nor PNG: set the camera's" in log
    assert (node.statistics.processed, node.statistics.failed) == (1, 0)


def statuses(graph, camera, name, text):
    """Wait for a diagnostic status whose message has a text."""
    arrays = camera.listen(DiagnosticArray, "/diagnostics")

    def messages():
        return [s.message for a in arrays for s in a.status if s.name == f"pose_node: {name}"]

    graph.spin_until(lambda: any(text in message for message in messages()))


@pytest.mark.parametrize(
    ("transport", "hint"),
    [
        ("raw", "similar topics: /image/compressed (set image_transport to compressed"),
        ("compressed", "similar topics: /other/compressed (remap with image:=TOPIC)"),
    ],
)
def test_topics_of_the_other_transport_are_named(
    graph, make_node, make_camera, log, transport, hint
):
    camera = make_camera()
    camera.node.destroy_publisher(camera.images)
    name = "image" if transport == "raw" else "other"
    CompressedCamera(camera, f"{name}/compressed")
    if transport == "raw":
        # The camera's own images come first, though others are of the right kind.
        make_camera(namespace="another")
    topic = "/image" if transport == "raw" else "/image/compressed"
    # After the cameras, so that they are known when the time is over.
    make_node(image_transport=transport, image_timeout=0.5)
    statuses(graph, camera, "input", f"no image on {topic} yet (0 publishers; {hint}")
    graph.spin_until(lambda: f"no image on {topic} for 0.5 s (0 publishers; {hint}" in log.text)


def test_incompatible_qos_is_told_in_the_diagnostics(graph, make_node, make_camera, blank):
    node = make_node(
        image_timeout=0.5, **{"qos_overrides./image.subscription.reliability": "reliable"}
    )
    camera = make_camera(reliability=ReliabilityPolicy.BEST_EFFORT)
    statuses(graph, camera, "input", "incompatible QoS on /image, no messages")
    better = make_camera(namespace="better")
    better.images = better.node.create_publisher(type(better.message(blank)), "/image", 5)
    graph.spin_until(lambda: better.images.get_subscription_count() == 1)
    graph.spin_until(lambda: node.count_publishers("/image") == 2)
    better.images.publish(better.message(blank))
    graph.spin_until(lambda: node.statistics.processed == 1)
    assert "quality" not in node.cameras[0].input.explain_silence()


def test_a_topic_of_another_type_is_told(graph, make_node, make_camera):
    node, camera = make_node(image_timeout=0.5), make_camera()
    camera.node.destroy_publisher(camera.images)
    other = Context()  # no process may publish two types on one topic
    rclpy.init(context=other)
    talker = Node("talker", context=other)
    talker.create_publisher(String, "/image", 1)
    text = "1 publishers: /talker of std_msgs/msg/String, but this has to be sensor_msgs/msg/Image"
    statuses(graph, camera, "input", text)
    assert node.statistics.received == 0
    talker.destroy_node()
    other.shutdown()


def test_images_of_two_cameras_on_one_topic_are_told(
    graph, make_node, make_camera, blank, capfd, monkeypatch
):
    make_node()
    camera, other = make_camera(), make_camera(namespace="other")
    camera.wait_for_node()
    camera.exchange(camera.message(blank))
    camera.exchange(camera.message(np.full((48, 64, 3), 90, np.uint8)))
    text = "image size changed from 320x240 to 64x48: tracking restarts; is there more than"
    assert text in capfd.readouterr().err
    other.node.create_publisher(Image, "/image", 1)
    graph.spin_for(1.2)  # it may be the same camera, killed and started again
    assert "are mixed" not in capfd.readouterr().err
    monkeypatch.setattr(inputs, "_LEAST_CROWD", 0.2)
    text = "images of 2 publishers are mixed on /image: /camera, /other/camera; give each a topic"
    camera.exchange(camera.message(blank))
    statuses(graph, camera, "input", text)
    graph.spin_for(1.2)
    assert capfd.readouterr().err.count(text) == 1


@pytest.mark.parametrize("size", [(1, 1), (4320, 7680)])
def test_smallest_and_8k_images(make_node, make_camera, blank, size):
    node, camera = make_node(), make_camera(depth=1)
    camera.wait_for_node()
    height, width = size
    message = camera.message(np.full((height, width, 3), 90, np.uint8))
    assert camera.exchange(message).skeletons == []
    assert camera.exchange(camera.message(blank)).skeletons == []
    assert (node.statistics.processed, node.statistics.failed) == (2, 0)


def test_clocks_that_jump_to_and_fro(make_node, make_camera, blank, log):
    node, camera = make_node(max_image_age=5.0), make_camera()
    camera.wait_for_node()
    now = camera.message(blank).header.stamp.sec
    stamps = [Time(sec=now), Time(sec=now + 3600), Time(sec=2**31 - 1), Time(sec=now)]
    for stamp in stamps:
        message = camera.message(blank)
        message.header.stamp = stamp
        camera.skeletons.clear()
        camera.exchange(message)
    for stamp in (Time(nanosec=1), Time(sec=-(2**31)), Time(sec=-5, nanosec=9)):
        message = camera.message(blank)
        message.header.stamp = stamp
        before = node.statistics.dropped_old
        camera.images.publish(message)
        camera.graph.spin_until(lambda n=before: node.statistics.dropped_old == n + 1)
    assert (node.statistics.processed, node.statistics.failed) == (4, 0)
    unstamped = camera.message(blank)
    unstamped.header.stamp = Time()
    camera.images.publish(unstamped)
    camera.graph.spin_until(lambda: node.statistics.processed == 5)
    assert node.statistics.dropped_old == 3
    assert "(are the clocks of both machines synchronised? usb_cam 0.8.1 stamps" in log.text


def test_a_camera_slower_than_the_timeout_does_not_fill_the_log(
    graph, make_node, camera, blank, log, monkeypatch
):
    monkeypatch.setattr(inputs, "_LEAST_BETWEEN", 4.0)
    make_node(image_timeout=0.1)
    camera.wait_for_node()
    started = time.monotonic()
    camera.exchange(camera.message(blank))
    told, again = "no image on /image for 0.1 s", "images on /image again after"
    while time.monotonic() - started < 6:
        graph.spin_for(0.7)
        camera.exchange(camera.message(blank))
    assert 1 <= log.text.count(told) <= 3
    # It dies: that is told, if late.
    before = log.text.count(told)
    graph.spin_until(lambda: log.text.count(told) > before)
    camera.exchange(camera.message(blank))
    assert log.text.count(again) == log.text.count(told)
