import os
import subprocess
import sys
import time

# Read when rclpy and the messages are imported.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Point32
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from pandapose_ros.msg import (
    AnchorSet3D,
    AnchorSet3DArray,
    Joint3D,
    Limb,
    Skeleton3D,
    Skeleton3DArray,
    SkeletonInfo,
)

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=999_999_999), frame_id="camera_optical")
JOINT = Joint3D(
    position=Point(x=0.125, y=-2.5, z=1e-300),
    confidence=0.75,
    position_covariance=np.arange(9) * 0.1,
    u=-0.5,
    v=719.5,
)
UNKNOWN_JOINT = Joint3D(
    position=Point(x=np.nan, y=np.nan, z=np.nan),
    position_covariance=np.array([-1.0, *[0.0] * 8]),
    u=np.nan,
    v=np.nan,
)
SKELETON = Skeleton3D(
    id="p12",
    tracking_state=Skeleton3D.TRACKING_TRACKED,
    age=Duration(sec=3, nanosec=999_999_999),
    confidence=0.5,
    root_position=Point(x=1.0, y=2.0, z=3.0),
    root_position_covariance=np.eye(3).ravel() * 0.25,
    root_source=Skeleton3D.ROOT_ASSUMED_FIELD_OF_VIEW,
    roi=RegionOfInterest(x_offset=1, y_offset=2, height=3, width=4),
    joints=[JOINT, UNKNOWN_JOINT, *[JOINT] * 15],
)
SKELETONS = Skeleton3DArray(
    header=HEADER, skeleton_type="h36m_17", skeletons=[SKELETON, Skeleton3D()]
)
LIMB = Limb(joint_a=65535, joint_b=3, side=Limb.RIGHT)
INFO = SkeletonInfo(
    skeleton_type="h36m_17",
    joint_names=["pelvis", "right_hip", "left_hip"],
    joint_parents=[-1, 0, 0],
    limbs=[Limb(joint_a=0, joint_b=1, side=Limb.RIGHT), LIMB],
    mirror=[0, 2, 1],
    model_name="pandapose",
    model_version="0.1.0",
    weights_sha256="0" * 63 + "f",
)
ANCHORS = AnchorSet3D(
    skeleton_id="p12",
    positions=[Point32(x=0.5, y=0.25, z=-1.0), Point32(x=np.nan)],
    kinds=[AnchorSet3D.LOCAL, AnchorSet3D.GLOBAL],
    joint_index=[16, AnchorSet3D.GLOBAL_JOINT],
    weights=[0.75, 0.25],
)
ANCHOR_SETS = AnchorSet3DArray(header=HEADER, sets=[ANCHORS, AnchorSet3D()])

MESSAGES = [JOINT, UNKNOWN_JOINT, SKELETON, SKELETONS, LIMB, INFO, ANCHORS, ANCHOR_SETS]
MESSAGES += [Skeleton3DArray(), SkeletonInfo(), AnchorSet3DArray()]
TYPES = sorted({type(message) for message in MESSAGES}, key=lambda kind: kind.__name__)
# Whoever comes late gets the last message: there is no race with discovery.
QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def serve_echo(topics):
    context = Context()
    rclpy.init(context=context)
    node = Node("echo", namespace=topics, context=context)
    for kind in TYPES:
        publisher = node.create_publisher(kind, f"{kind.__name__}/back", QOS)
        node.create_subscription(kind, f"{kind.__name__}/there", publisher.publish, QOS)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.spin()


@pytest.fixture(scope="module")
def topics():
    return f"/round_trip_{os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def echo(topics):
    process = subprocess.Popen([sys.executable, __file__, topics])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def exchange(topics, echo):
    """Return a function that sends a message there and waits until it has come back."""
    context = Context()
    rclpy.init(context=context)
    node = Node("asker", namespace=topics, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    publishers, answers = {}, []
    # All at once: on a topic that is made later, DDS takes seconds to bring the first message.
    for kind in TYPES:
        publishers[kind] = node.create_publisher(kind, f"{kind.__name__}/there", QOS)
        node.create_subscription(kind, f"{kind.__name__}/back", answers.append, QOS)

    def send(message):
        answers.clear()
        publishers[type(message)].publish(message)
        end = time.monotonic() + 20
        # An earlier message may come first. NaN, which equals nothing, prints alike.
        while time.monotonic() < end and repr(message) not in map(repr, answers):
            executor.spin_once(timeout_sec=0.2)
            assert echo.poll() is None
        return answers

    yield send
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_field_comes_back_from_another_process(message, exchange):
    assert repr(exchange(message)[-1:]) == repr([message])


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Joint3D, "position", 1.0),
        (Joint3D, "position_covariance", np.zeros(8)),
        (Skeleton3D, "joints", [Point()]),
        (SkeletonInfo, "joint_parents", [0.5]),
        (AnchorSet3D, "joint_index", [-1]),
    ],
)
def test_fields_are_checked_here(kind, field, value):
    with pytest.raises(AssertionError):
        setattr(kind(), field, value)


def test_enumerations_are_fixed():
    # Recorded bags hold these numbers.
    assert [
        Skeleton3D.TRACKING_OFF,
        Skeleton3D.TRACKING_NEW,
        Skeleton3D.TRACKING_TRACKED,
        Skeleton3D.TRACKING_PREDICTED,
        Skeleton3D.TRACKING_LOST,
    ] == [0, 1, 2, 3, 4]
    assert [
        Skeleton3D.ROOT_NONE,
        Skeleton3D.ROOT_INTRINSICS,
        Skeleton3D.ROOT_DEPTH,
        Skeleton3D.ROOT_ASSUMED_FIELD_OF_VIEW,
    ] == [0, 1, 2, 3]
    assert [Limb.CENTRE, Limb.LEFT, Limb.RIGHT] == [0, 1, 2]
    assert [AnchorSet3D.LOCAL, AnchorSet3D.GLOBAL, AnchorSet3D.GLOBAL_JOINT] == [0, 1, 65535]


if __name__ == "__main__":
    serve_echo(sys.argv[1])
