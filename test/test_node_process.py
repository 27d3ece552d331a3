"""The node as a process of its own, and this process as its camera."""

import array
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import CameraInfo, Image
from services import call, meet_manager
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view


class NodeProcess:
    """A running pose_node whose log can be searched."""

    def __init__(self, log_file, *arguments, **parameters):
        self._log_file = log_file
        arguments = list(arguments)
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        with log_file.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pandapose_ros.node.pose_node", "--ros-args", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self):
        return self._log_file.read_text()

    def end(self, number=signal.SIGINT):
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def run_node(tmp_path):
    nodes = []

    def run(*arguments, **parameters):
        nodes.append(NodeProcess(tmp_path / f"log{len(nodes)}", *arguments, **parameters))
        return nodes[-1]

    yield run
    for node in nodes:
        node.process.kill()
        node.process.wait(5)


def actions(arrays):
    """What the newest marker array does."""
    return {marker.action for marker in arrays[-1].markers}


def later(camera, pixels, message, seconds):
    """A message of an image taken so long after another."""
    stamp = Time(sec=message.header.stamp.sec + seconds, nanosec=message.header.stamp.nanosec)
    header = Header(stamp=stamp, frame_id=message.header.frame_id)
    return camera.message(pixels, header=header)


def test_image_in_skeleton_out_with_its_stamp_and_frame(graph, make_camera, run_node, walker):
    node, camera = run_node(prediction_time="1.5"), make_camera()
    markers = camera.listen(MarkerArray, "pose_node/markers")
    debug_images = camera.listen(Image, "pose_node/debug_image")
    camera.wait_for_process()
    height, width = walker.shape[:2]
    black = np.zeros_like(walker)
    camera.infos.publish(camera_info_from_field_of_view(1.0, width, height))
    graph.spin_for(0.2)
    for is_first in (True, False):
        message = camera.message(walker)
        answer = camera.exchange(message)
        assert answer.header == message.header
        (skeleton,) = answer.skeletons
        state = Skeleton3D.TRACKING_NEW if is_first else Skeleton3D.TRACKING_TRACKED
        assert (skeleton.id, skeleton.tracking_state) == ("person_0", state)
        assert skeleton.root_source == Skeleton3D.ROOT_INTRINSICS
        assert len(skeleton.joints) == 17
        assert skeleton.joints[0].confidence > 0.5
        assert 0 <= skeleton.joints[0].u < width
        assert 0 <= skeleton.joints[0].v < height
    graph.spin_until(lambda: len(debug_images) == 2 and len(markers) == 2)
    assert debug_images[-1].header == message.header
    assert (debug_images[-1].width, debug_images[-1].height) == (width, height)
    assert bytes(debug_images[-1].data) != walker.tobytes()
    # At times of their own, as this machine may be slow.
    (predicted,) = camera.exchange(later(camera, black, message, 1)).skeletons
    assert predicted.tracking_state == Skeleton3D.TRACKING_PREDICTED
    (lost,) = camera.exchange(later(camera, black, message, 3)).skeletons
    assert (lost.id, lost.tracking_state) == ("person_0", Skeleton3D.TRACKING_LOST)
    nobody = camera.exchange(later(camera, black, message, 4))
    assert nobody.skeletons == []
    camera.exchange(later(camera, walker, message, 5))
    graph.spin_until(lambda: actions(markers) == {Marker.ADD})
    assert node.end() == 0
    graph.spin_until(lambda: actions(markers) == {Marker.DELETE})
    assert "images: received 6, processed 6, people 4" in node.log


def good_and_bad(camera, blank):
    """Images as broken drivers send them, and what the log has to say of each."""
    data = array.array("B", blank.tobytes())
    yield "cannot decode encoding '32FC3': .*rgb8", camera.message(blank, encoding="32FC3")
    yield "data is too short: .* got 17", camera.message(blank, data=data[:17])
    yield "with pixels, got 0x240", camera.message(blank, width=0)
    yield "step of 7 bytes is too small", camera.message(blank, step=7)


def test_bad_input_is_logged_and_counted_and_survived(graph, make_camera, run_node, blank):
    node, camera = run_node(), make_camera()
    camera.wait_for_process()
    count = 0
    for expected, message in good_and_bad(camera, blank):
        camera.images.publish(message)
        graph.spin_until(lambda text=expected: re.search(text, node.log))
        assert camera.exchange(camera.message(blank)).skeletons == []
        count += 1
    graph.spin_for(1.1)
    camera.exchange(camera.message(blank))
    assert "no camera_info on /camera_info: assuming a horizontal field of view" in node.log
    good = camera_info_from_field_of_view(1.0, 320, 240)
    nan = CameraInfo(width=320, height=240, k=[float("nan"), *good.k[1:]])
    zero = CameraInfo(width=320, height=240)
    other_size = camera_info_from_field_of_view(1.0, 640, 480)
    for text, info in (
        ("K is not finite", nan),
        ("no focal length", zero),
        ("640x480 .* image has 320x240", other_size),
    ):
        camera.infos.publish(info)
        graph.spin_for(0.2)
        camera.exchange(camera.message(blank))
        assert re.search(f"camera_info on /camera_info ignored, assuming.*{text}", node.log)
    camera.infos.publish(good)
    graph.spin_for(0.2)
    unnamed = camera.message(blank)
    unnamed.header.frame_id = ""
    camera.exchange(unnamed)
    assert "images have no frame_id" in node.log
    for frame in ("robot/camera_optical_link", "robot/camera_link"):
        of_link = camera.message(blank)
        of_link.header.frame_id = frame
        camera.exchange(of_link)
    assert "images are in robot/camera_link, a frame with z up by its name" in node.log
    assert "images are in robot/camera_optical_link" not in node.log
    assert node.end(signal.SIGTERM) == 0
    processed = count + 1 + 3 + 3
    assert (
        f"images: received {count + processed}, processed {processed}, people 0, dropped "
        f"undecodable {count}, refused camera info 3" in node.log
    )
    assert "Traceback" not in node.log


def test_a_failed_start_ends_the_process_with_the_reason(run_node):
    node = run_node(weights="/absent.safetensors")
    assert node.process.wait(120) == 1
    assert "/absent.safetensors" in node.log
    assert "Traceback" not in node.log


def test_a_node_shut_down_by_its_manager_still_ends_cleanly(graph, run_node):
    node = run_node("-r", "__node:=managed", autostart="false")
    manager = graph.add(rclpy.create_node("manager", context=graph.context))
    # Under a name of its own: services of the other tests' dying nodes may still be known.
    change = manager.create_client(ChangeState, "/managed/change_state")
    ask = manager.create_client(GetState, "/managed/get_state")
    # Harmless to ask twice, and once answered the two have found each other.
    state = call(graph, ask, GetState.Request()).current_state.id
    assert state == State.PRIMARY_STATE_UNCONFIGURED
    meet_manager(graph, change)
    shutdown = Transition(id=Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    answer = change.call_async(ChangeState.Request(transition=shutdown))
    graph.spin_until(answer.done)
    assert answer.result().success
    assert call(graph, ask, GetState.Request()).current_state.id == State.PRIMARY_STATE_FINALIZED
    assert node.end() == 0
    assert "Traceback" not in node.log
