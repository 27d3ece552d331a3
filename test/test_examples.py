import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from foreign import BUILD
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool

from pandapose_ros.estimator import ModelInfo
from pandapose_ros.msg import Joint3D, Skeleton3D, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node.conversions import skeleton_info_message
from pandapose_ros.skeleton import H36M_17

EXAMPLES = Path(__file__).parents[1] / "examples"


def person(**rows):
    """A person whose joints are at row 200 unless said otherwise."""
    joints = [
        Joint3D(u=100.0, v=float(rows.get(name, 200)), confidence=0.9)
        for name in H36M_17.joint_names
    ]
    return Skeleton3D(id="person_1", joints=joints)


@pytest.fixture
def robot(graph):
    """What the example says to the people that a node with this method publishes."""
    node = graph.add(Node("pose_node", context=graph.context))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = node.create_publisher(SkeletonInfo, "~/skeleton_info", latched)
    info.publish(skeleton_info_message(H36M_17, ModelInfo("m", "1", "0")))
    skeletons = node.create_publisher(Skeleton3DArray, "~/skeletons", 5)
    answers = []
    node.create_subscription(Bool, "stop", lambda message: answers.append(message.data), 10)
    process = subprocess.Popen([sys.executable, EXAMPLES / "stop_on_raised_hand.py"])
    graph.spin_until(lambda: skeletons.get_subscription_count() == 1, timeout=60)

    def ask(*people):
        answers.clear()
        skeletons.publish(Skeleton3DArray(skeletons=list(people)))
        graph.spin_until(lambda: answers)
        return answers[0]

    def is_answered():
        skeletons.publish(Skeleton3DArray())
        graph.spin_for(0.2)
        return answers

    # What is said before both know each other, and the joints' names, is lost. The answer to what
    # is said last comes last, after those to all that was asked before.
    graph.spin_until(is_answered)
    skeletons.publish(Skeleton3DArray(skeletons=[person(head=100, left_wrist=80)]))
    graph.spin_until(lambda: answers[-1])

    yield ask
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_raised_hand_stops_the_robot(robot):
    standing, waving = person(head=100), person(head=100, left_wrist=80)
    doubtful = person(head=100, left_wrist=80)
    doubtful.joints[H36M_17.joint_names.index("left_wrist")].confidence = 0.2
    assert robot() is False
    assert robot(standing) is False
    assert robot(standing, waving) is True
    assert robot(doubtful) is False


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_raised_hand_is_seen_however_the_camera_hangs(robot, turns):
    standing, waving = person(head=100), person(head=100, left_wrist=80)
    for joint in [*standing.joints, *waving.joints]:
        for _ in range(turns):
            joint.u, joint.v = joint.v, -joint.u
    assert robot(standing) is False
    assert robot(waving) is True


@pytest.fixture
def relay(graph, foreign_messages, monkeypatch):
    """What yolo_ros publishes with, and the relay of the example in a process of its own."""
    from yolo_msgs.msg import DetectionArray

    for package in (BUILD / "vision_msgs", BUILD / "yolo_msgs"):
        monkeypatch.setenv("PYTHONPATH", str(package / "rosidl_generator_py"), prepend=os.pathsep)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(package), prepend=os.pathsep)
    yolo = graph.add(Node("yolo_node", context=graph.context))
    publisher = yolo.create_publisher(DetectionArray, "yolo/detections", 10)
    process = subprocess.Popen([sys.executable, EXAMPLES / "boxes_from_yolo.py"])
    graph.spin_until(lambda: publisher.get_subscription_count() == 1, timeout=60)
    yield publisher
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_people_are_found_by_boxes_of_yolo(graph, relay, make_node, make_camera, walker):
    from yolo_msgs.msg import Detection, DetectionArray

    node, camera = make_node(threads=1, use_detections=True), make_camera()
    assert node.start()
    camera.wait_for_node()
    assert camera.exchange(camera.message(walker)).skeletons == []

    def is_found():
        found = Detection(class_id=0, class_name="person", score=0.9)
        found.bbox.center.position.x, found.bbox.center.position.y = 86.0, 268.0
        found.bbox.size.x, found.bbox.size.y = 141.0, 231.0
        image = camera.message(walker)
        relay.publish(DetectionArray(header=image.header, detections=[found]))
        graph.spin_for(0.2)
        return camera.exchange(image).skeletons

    graph.spin_until(is_found)
    assert node.cameras[0].pipeline.boxes.state == "in use: 1 of 1 are people"
