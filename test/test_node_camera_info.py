"""Calibrations that come once only, late, or for another size of image."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo

from pandapose_ros.node.intrinsics import camera_info_from_field_of_view

pytestmark = pytest.mark.usefixtures("opened_once")
SUCCESS = TransitionCallbackReturn.SUCCESS
IN_USE = "camera_info on /camera_info has come and is in use"
OVERRIDE = "qos_overrides./camera_info.subscription"


def calibration_of(image):
    return camera_info_from_field_of_view(1.0, image.shape[1], image.shape[0])


@pytest.fixture
def latched_camera(make_camera, blank):
    """A camera that has sent its camera_info before the node is there."""
    camera = make_camera()
    camera.node.destroy_publisher(camera.infos)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    camera.infos = camera.node.create_publisher(CameraInfo, "camera_info", latched)
    camera.infos.publish(calibration_of(blank))
    return camera


def test_a_latched_camera_info_is_told_how_to_receive(
    graph, make_node, latched_camera, blank, log
):
    node, camera = make_node(threads=1), latched_camera
    assert node.start()
    camera.wait_for_node()
    camera.exchange(camera.message(blank))
    graph.spin_for(1.1)
    camera.exchange(camera.message(blank))
    told = (
        "(1 publishers: /camera, but no message has come; a transient-local publisher may send it "
        f"once only: set {OVERRIDE}.durability to transient_local and reliability to reliable)"
    )
    graph.spin_until(lambda: told in log.text)
    assert "remap with" not in log.text
    assert told in node.cameras[0].pipeline.calibration.state
    camera.infos.publish(calibration_of(blank))
    graph.spin_for(0.2)
    for _ in range(3):
        camera.exchange(camera.message(blank))
    graph.spin_until(lambda: IN_USE in log.text)
    assert log.text.count(IN_USE) == 1


def test_a_latched_camera_info_is_received_with_its_qos(
    graph, make_node, latched_camera, blank, log
):
    qos = {f"{OVERRIDE}.durability": "transient_local", f"{OVERRIDE}.reliability": "reliable"}
    node, camera = make_node(threads=1, **qos), latched_camera
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: node.cameras[0].input.camera_info is not None)
    camera.exchange(camera.message(blank))
    assert node.cameras[0].pipeline.calibration.state == "in use"
    assert "qos_overrides" not in log.text


def test_without_a_publisher_of_camera_info_a_remap_is_proposed(
    graph, make_node, make_camera, blank, log
):
    node, camera = make_node(threads=1), make_camera()
    assert node.start()
    camera.wait_for_node()
    camera.node.destroy_publisher(camera.infos)
    graph.spin_until(lambda: node.count_publishers("/camera_info") == 0)
    camera.exchange(camera.message(blank))
    graph.spin_for(1.1)
    camera.exchange(camera.message(blank))
    graph.spin_until(lambda: "(remap with camera_info:=TOPIC)" in log.text)


def test_camera_info_is_kept_until_cleanup(graph, make_node, make_camera, blank):
    node, camera = make_node(threads=1), make_camera()

    def state():
        camera.wait_for_node()
        camera.exchange(camera.message(blank))
        return node.cameras[0].pipeline.calibration.state

    assert node.start()
    camera.wait_for_node()
    camera.infos.publish(calibration_of(blank))
    graph.spin_until(lambda: node.cameras[0].input.camera_info is not None)
    assert state() == "in use"
    for _ in range(2):
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        assert state() == "in use"
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS
    assert node.start()
    assert state().startswith("none")


def test_a_camera_of_another_size_has_time_to_send_its_calibration(
    graph, make_node, make_camera, blank, log
):
    node, camera = make_node(threads=1), make_camera()
    assert node.start()
    camera.wait_for_node()

    def send(image, info=None):
        camera.exchange(camera.message(image))
        if info is not None:
            camera.infos.publish(info)
            graph.spin_for(0.2)
        return node.cameras[0].pipeline.calibration.state

    small = np.full((120, 160, 3), 90, np.uint8)
    send(blank, calibration_of(blank))
    assert send(blank) == "in use"
    # Each image is sent before its camera_info.
    assert send(small, calibration_of(small)).startswith("none for images of 160x120 yet, assum")
    assert send(small) == "in use"
    # The same after a pause in which the camera was started again.
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    assert send(blank, calibration_of(blank)).startswith("none for images of 320x240 yet")
    assert send(blank) == "in use"
    assert node.statistics.refused_camera_info == 0
    assert "ignored" not in log.text

    # An old one is refused in the end, a new one at once.
    assert send(small).startswith("none for")
    graph.spin_for(1.1)
    assert send(small).startswith("refused, assuming")
    assert "image has 160x120; remap camera_info" in log.text
    camera.infos.publish(calibration_of(small))
    graph.spin_for(0.2)
    assert send(small, calibration_of(blank)) == "in use"
    assert send(small).startswith("refused, assuming")


def test_an_unknown_number_that_stays_is_no_change(graph, make_node, make_camera, blank, log):
    node, camera = make_node(threads=1), make_camera()
    assert node.start()
    camera.wait_for_node()
    for focal_length in (600.0, 600.0, 500.0):
        info = calibration_of(blank)
        info.k[0] = focal_length
        info.p[3] = float("nan")  # of no use here
        before = node.cameras[0].input.camera_info
        camera.infos.publish(info)
        graph.spin_until(lambda was=before: node.cameras[0].input.camera_info is not was)
        assert "has changed" not in log.text
        camera.exchange(camera.message(blank))
    graph.spin_until(lambda: "has changed: fx is 500 px" in log.text)


@pytest.fixture
def node(make_node):
    return make_node(threads=1)


@pytest.fixture
def zoom(graph, node, camera, blank):
    """Send a camera_info with a focal length, px, then an image."""
    assert node.start()
    camera.wait_for_node()

    def zoom(focal_length):
        info = calibration_of(blank)
        info.k[0] = info.k[4] = focal_length
        before = node.cameras[0].input.camera_info
        camera.infos.publish(info)
        graph.spin_until(lambda: node.cameras[0].input.camera_info is not before)
        camera.exchange(camera.message(blank))

    return zoom


def test_a_calibration_that_changes_with_every_image_is_told_rarely(
    graph, camera, zoom, log, monkeypatch
):
    arrays = camera.listen(DiagnosticArray, "/diagnostics")
    changed = "camera_info on /camera_info has changed: fx is "
    for number in range(4):
        zoom(500.0 + number)
        graph.spin_for(1.1)
    assert log.text.count(changed) == 1
    assert f"{changed}501 px (changes so far: 1)" in log.text
    monkeypatch.setattr("pandapose_ros.node.calibration._AGAIN_AFTER", 1.0)
    zoom(504.0)
    assert f"{changed}504 px (changes so far: 4)" in log.text

    def told():
        values = [v for array in arrays[-1:] for status in array.status for v in status.values]
        return {value.key: value.value for value in values}

    graph.spin_until(lambda: told().get("camera_info changes") == "4")
    assert told()["camera_info"] == "in use"


def test_each_calibration_that_stays_is_told_and_where_a_zoom_ends(graph, zoom, log, monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.calibration._SETTLED", 1.0)
    changed = "camera_info on /camera_info has changed: fx is "
    for focal_length in (500.0, 600.0, 700.0):
        zoom(focal_length)
        graph.spin_for(1.1)
        zoom(focal_length)
    assert log.text.count(changed) == 2
    assert f"{changed}700 px (changes so far: 2)" in log.text
    monkeypatch.setattr("pandapose_ros.node.calibration._SETTLED", 2.0)
    graph.spin_for(1.0)
    for focal_length in (701.0, 702.0, 703.0):
        zoom(focal_length)
    assert log.text.count(changed) == 3
    graph.spin_for(2.1)
    for _ in range(2):
        zoom(703.0)
    assert log.text.count(changed) == 4
    assert f"{changed}703 px (changes so far: 5)" in log.text
