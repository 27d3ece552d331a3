"""Boxes of another detector (vision_msgs), over real DDS."""

import math
import os
import sys

import numpy as np
import pytest
from clip_images import clip_frames
from detected_people import array_of, detection
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from foreign import BUILD
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from recordings import STORE, messages, read_skeletons, run_tool
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg
from test_node_cameras import Pair

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.detections import boxes_from_message
from pandapose_ros.node.stamps import nanoseconds

pytestmark = pytest.mark.usefixtures("foreign_messages", "opened_once")
TYPE = "vision_msgs/msg/Detection2DArray"


class Detector:
    """A camera, a detector beside it, and a node that listens to both."""

    def __init__(self, graph, camera, node, pixels):
        from vision_msgs.msg import Detection2DArray

        self.graph, self.camera, self.node, self.pixels = graph, camera, node, pixels
        self.publisher = camera.node.create_publisher(Detection2DArray, "detections", 5)
        self.reports = camera.listen(DiagnosticArray, "/diagnostics")
        assert node.start()
        camera.wait_for_node()
        graph.spin_until(lambda: self.publisher.get_subscription_count() == 1)

    @property
    def state(self):
        return self.node.cameras[0].pipeline.boxes.state

    def people(self, *detections, apart=0.0, is_sent=True):
        """Send detections, then an image; return who is seen."""
        image = self.camera.message(self.pixels)
        if is_sent:
            buffer = self.node.cameras[0].pipeline.detections
            count = buffer.received
            stamp_ns = nanoseconds(image.header.stamp) - round(apart * 1e9)
            self.publisher.publish(array_of(*detections, stamp_ns=stamp_ns))
            self.graph.spin_until(lambda: buffer.received == count + 1)
        return self.camera.exchange(image).skeletons

    def is_told(self, old, text):
        inputs = [s for a in self.reports[old:] for s in a.status if "input" in s.name]
        return any(text in s.message and s.level == DiagnosticStatus.WARN for s in inputs)


@pytest.fixture
def make_detector(graph, make_camera, make_node, walker):
    def make(**overrides):
        node = make_node(threads=1, use_detections=True, **overrides)
        return Detector(graph, make_camera(), node, walker)

    return make


@pytest.fixture(scope="module")
def box(walker):
    from pandapose_ros.config import EstimatorConfig
    from pandapose_ros.estimator import PoseEstimator

    (pose,) = PoseEstimator(EstimatorConfig(threads=1)).estimate(walker)
    return pose.box_xyxy


def test_only_boxes_find_people(make_detector, box):
    detector = make_detector()
    assert detector.people(is_sent=False) == []
    assert detector.people(detection(box, "chair")) == []
    assert detector.people(detection(box), apart=1.2) == []
    assert detector.people(detection(box), apart=-1.2) == []
    assert detector.node.statistics.missed_detections == 2
    assert "more than detections_window" in detector.state
    (seen,) = detector.people(detection(box), apart=0.7)  # as late as a detector may be
    assert detector.state == "in use: 1 of 1 are people"
    assert seen.roi.height == pytest.approx(box[3] - box[1], abs=20)
    # Who has been found needs no more boxes.
    (again,) = detector.people(is_sent=False)
    assert again.id == seen.id
    counts = detector.node.statistics
    assert (counts.refused_detections, counts.failed) == (0, 0)


def test_classes_and_window_are_live(make_detector, box):
    detector = make_detector()
    assert detector.people(detection(box, "1"), apart=2.0) == []
    changes = {"detections_classes": ["1"], "detections_window": 3.0}
    detector.node.set_parameters([Parameter(name, value=v) for name, v in changes.items()])
    assert len(detector.people(detection(box, "1"), apart=2.0)) == 1


def test_what_is_refused_or_missing_is_told(graph, make_detector, box, log):
    detector = make_detector()
    counts = detector.node.statistics

    def is_refused():
        assert detector.people(detection(np.add(box, 5000))) == []
        return detector.is_told(0, "detections refused: a box's centre")

    graph.spin_until(is_refused)
    assert "detections refused: a box's centre" in log.text
    assert counts.refused_detections > 0
    assert counts.missed_detections == 0
    old = len(detector.reports)
    detector.node.set_parameters([Parameter("image_timeout", value=0.5)])
    graph.spin_for(0.6)

    def is_missed():
        assert detector.people(is_sent=False) == []
        return detector.is_told(old, "detections none for")

    graph.spin_until(is_missed)
    assert "no new people are found, detections: none for " in log.text
    assert "s (1 publishers on /detections)" in log.text
    assert counts.missed_detections > 0
    assert len(detector.people(detection(box))) == 1


def test_an_absent_detector_is_told_with_what_there_is(graph, make_node, make_camera, walker, log):
    from vision_msgs.msg import Detection2DArray

    node, camera = make_node(threads=1, use_detections=True, image_timeout=0.2), make_camera()
    camera.node.create_publisher(Detection2DArray, "yolo/detections", 5)
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: node.count_publishers("/yolo/detections") == 1)
    for _ in range(2):
        assert camera.exchange(camera.message(walker)).skeletons == []
        graph.spin_for(0.3)
    assert "0 publishers on /detections; similar topics: /yolo/detections" in log.text


def test_a_detector_without_people_is_told_its_classes_once(make_detector, box, log):
    detector = make_detector()
    for _ in range(2):
        assert detector.people(detection(box, "human"), detection(box, "chair")) == []
    assert detector.state == "in use: 0 of 2 are people"
    text = "detections of 'chair', 'human', but of no person yet: detections_classes are 'person'"
    assert log.text.count(text) == 1


def test_one_bad_box_does_not_cost_the_good_one(make_detector, box):
    detector = make_detector()
    assert len(detector.people(detection((639, 0, 700, 90)), detection(box))) == 1
    assert detector.node.statistics.refused_detections == 1
    assert detector.state == "in use: 1 of 2 are people"
    assert detector.node.cameras[0].pipeline.boxes.fault.startswith("refused: a box's centre (669")


def test_fuzzed_detections_are_all_accounted_for(make_detector):
    detector, rng, count = make_detector(), np.random.default_rng(7), 75
    numbers = [np.nan, np.inf, -np.inf, -9.0, 0.0, 1e-9, 0.5, 1e9, 1e308, *range(40, 480, 20)]
    names = ["person", "0", "", "chair", "\N{GREEK SMALL LETTER PHI}"]
    missed = refused = 0
    for _ in range(count):
        found = [
            detection(box, str(rng.choice(names)), score, turn)
            for *box, score, turn in rng.choice(numbers, (rng.integers(6), 6))
        ]
        apart = rng.choice([0.0, 0.0, 0.9, 1.1, -5.0, 1e7])
        for seen in detector.people(*found, apart=apart):
            is_lost = seen.tracking_state == Skeleton3D.TRACKING_LOST
            assert math.isfinite(seen.root_position.z) != is_lost
        _, reasons = boxes_from_message(array_of(*found), ["person", "0"], (640, 480))
        missed += abs(apart) > 1
        refused += abs(apart) <= 1 and len(reasons) > 0
    counts = detector.node.statistics
    assert (counts.processed, counts.failed) == (count, 0)
    assert (counts.missed_detections, counts.refused_detections) == (missed, refused)
    assert min(missed, refused) > 10


@pytest.mark.parametrize("pause", ["disabled", "inactive"])
def test_detections_from_before_a_pause_are_forgotten(graph, make_detector, box, pause):
    detector = make_detector(detections_window=5.0)
    buffer = detector.node.cameras[0].pipeline.detections
    detector.publisher.publish(array_of(detection(box), stamp_ns=10**9))
    graph.spin_until(lambda: buffer.received == 1)
    if pause == "disabled":
        detector.node.enable(False)
        graph.spin_until(lambda: detector.publisher.get_subscription_count() == 0)
        detector.node.enable(True)
    else:
        detector.node.trigger_deactivate()
        detector.node.trigger_activate()
    detector.camera.wait_for_node()
    graph.spin_until(lambda: detector.publisher.get_subscription_count() == 1)
    assert detector.people(is_sent=False) == []
    assert detector.node.statistics.missed_detections == 0
    assert len(detector.people(detection(box))) == 1


def test_without_tracking_it_is_said_that_detections_last_for_one_image(make_detector, box, log):
    detector = make_detector(tracking=False)
    assert "use_detections without tracking finds people only in" in log.text
    sent = (True, False, True)
    seen = [len(detector.people(detection(box), is_sent=is_sent)) for is_sent in sent]
    assert seen == [1, 0, 1]


def test_each_camera_has_detections_of_its_own(graph, make_node, make_camera, walker, box):
    from vision_msgs.msg import Detection2DArray

    names = ["left", "right"]
    node, camera = make_node(threads=1, use_detections=True, cameras=names), make_camera()
    publisher = camera.node.create_publisher(Detection2DArray, "left/detections", 5)
    assert node.start()
    pair = Pair(camera, names)
    graph.spin_until(lambda: publisher.get_subscription_count() == 1)
    now_ns = camera.node.get_clock().now().nanoseconds
    publisher.publish(array_of(detection(box), stamp_ns=now_ns))
    graph.spin_until(lambda: node.cameras[0].pipeline.detections.received == 1)
    seen = pair.send(left=walker, right=walker)
    assert [len(seen[name].skeletons) for name in names] == [1, 0]


def test_without_the_messages_configure_says_what_to_install(make_node, monkeypatch, log):
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    node = make_node(use_detections=True)
    assert not node.start()
    assert "sudo apt install ros-$ROS_DISTRO-vision-msgs" in log.text


def test_the_bag_tool_uses_recorded_boxes(tmp_path, monkeypatch, box):
    frames = clip_frames(3)
    for file in (BUILD.parents[1] / "test" / "interfaces" / "vision_msgs" / "msg").glob("*.msg"):
        STORE.register(get_types_from_msg(file.read_text(), f"vision_msgs/msg/{file.stem}"))
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection("/image_raw", "sensor_msgs/msg/Image", typestore=STORE)
        boxes = writer.add_connection("/yolo", TYPE, typestore=STORE)
        for number, (image, _info) in enumerate(messages(frames)):
            time = nanoseconds(image.header.stamp)
            if number == 1:  # the first image is before the first detections
                found = array_of(detection(box), stamp_ns=time - 10**8)
                writer.write(boxes, time - 1, serialize_message(found))
            writer.write(images, time, serialize_message(image))
    package = BUILD / "vision_msgs"
    monkeypatch.setenv("PYTHONPATH", str(package / "rosidl_generator_py"), prepend=os.pathsep)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(package), prepend=os.pathsep)
    done = run_tool(tmp_path / "in", tmp_path / "out", "--detections", "/yolo")
    assert done.returncode == 0, done.stderr
    assert [len(m.skeletons) for m in read_skeletons(tmp_path / "out")] == [0, 1, 1]
    settings = tmp_path / "settings.yaml"
    settings.write_text("/**: {ros__parameters: {use_detections: true}}")
    done = run_tool(tmp_path / "in", tmp_path / "again", "--params-file", settings)
    assert done.returncode == 1
    assert "pose_node does not subscribe to /detections of the recording" in done.stderr
    assert not (tmp_path / "again").exists()
    done = run_tool(tmp_path / "in", tmp_path / "again", "--detections", "/image_raw")
    assert f"is of sensor_msgs/msg/Image, but --detections needs {TYPE}; its other" in done.stderr
