import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool

from pandapose_ros.estimator import ModelInfo
from pandapose_ros.msg import Joint3D, Skeleton3D, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node.conversions import skeleton_info_message
from pandapose_ros.skeleton import H36M_17

EXAMPLE = Path(__file__).parents[1] / "examples" / "stop_on_raised_hand.py"


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
    process = subprocess.Popen([sys.executable, EXAMPLE])
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
