import copy
import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from followed_people import sighting, walk_of_the_demo
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from robot import Robot, shifted
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from pandapose_ros.config import WorldConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.frames.transform import IDENTITY, Transform, move_pose
from pandapose_ros.frames.transform_tree import TransformError
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3D
from pandapose_ros.node.body_frames import BodyFrames
from pandapose_ros.node.estimate import Estimate, Placed
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view
from pandapose_ros.node.transforms import TreeTransforms
from pandapose_ros.node.world import SharedWorld, World
from pandapose_ros.pose import TrackState

pytestmark = pytest.mark.usefixtures("opened_once")
SUCCESS = TransitionCallbackReturn.SUCCESS
# How a camera looks along its robot's x axis: optical axes in REP 103's body axes.
OPTICAL = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def xyz(point):
    return np.array([point.x, point.y, point.z])


def is_placed(node, frame, header):
    """Tell whether the node knows by now where a frame is at the time of a header."""
    try:
        node.cameras[0]._world.place([], Header(stamp=header.stamp, frame_id=frame))
    except TransformError:
        return False
    return True


def test_everything_is_published_in_the_target_frame(graph, make_node, make_camera, walker):
    node, camera = make_node(target_frame="base", publish_tf=True), make_camera()
    anchors = camera.listen(AnchorSet3DArray, "pose_node/anchors")
    markers = camera.listen(MarkerArray, "pose_node/markers")
    evidence = camera.listen(MarkerArray, "pose_node/anchor_markers")
    frames = camera.listen(TFMessage, "/tf")
    assert node.start()
    camera.wait_for_node()
    robot = Robot(camera)
    robot.still.publish(robot.message("lens", "base", (0.2, 0.0, 1.4), OPTICAL))
    height, width = walker.shape[:2]
    info = camera_info_from_field_of_view(1.0, width, height)
    camera.infos.publish(info)
    graph.spin_until(lambda: node.cameras[0].input.camera_info is not None)
    graph.spin_until(lambda: is_placed(node, "lens", camera.message(walker).header))
    message = camera.message(walker)
    answer = camera.exchange(message)
    assert (answer.header.frame_id, answer.header.stamp) == ("base", message.header.stamp)
    assert is_placed(node, "/lens", message.header)  # as drivers of ROS 1 wrote it
    (skeleton,) = answer.skeletons
    (seen,) = PoseEstimator().estimate(walker, np.array(info.k).reshape(3, 3))
    there = Transform(OPTICAL.as_matrix(), np.array([0.2, 0.0, 1.4]))
    pose = move_pose(seen, there)
    np.testing.assert_allclose(xyz(skeleton.root_position), pose.root, atol=1e-3)
    joints = np.array([xyz(joint.position) for joint in skeleton.joints])
    np.testing.assert_allclose(joints, pose.joints + pose.root, atol=1e-3)
    covariance = np.reshape(skeleton.root_position_covariance, (3, 3))
    np.testing.assert_allclose(covariance, pose.root_covariance, rtol=1e-2, atol=1e-6)
    assert covariance[0, 0] == covariance.diagonal().max()  # the camera looks along x now
    assert skeleton.root_source == Skeleton3D.ROOT_INTRINSICS
    graph.spin_until(lambda: anchors and markers and evidence and frames)
    assert anchors[0].header == answer.header
    place = xyz(anchors[0].sets[0].positions[0])
    np.testing.assert_allclose(place, pose.anchors.positions[0] + pose.root, atol=1e-2)
    for array in (markers[0], evidence[0]):
        assert {marker.header.frame_id for marker in array.markers} == {"base"}
    label = next(m for m in markers[0].markers if m.ns == "labels")
    assert label.pose.position.z > joints[:, 2].max()
    body = next(t for m in frames for t in m.transforms if t.child_frame_id == "body_person_0")
    assert body.header == answer.header
    np.testing.assert_allclose(xyz(body.transform.translation), xyz(skeleton.root_position))
    q = body.transform.rotation
    up = Rotation.from_quat([q.x, q.y, q.z, q.w]).apply([0, 0, 1])
    spine = joints[8] - joints[0]
    np.testing.assert_allclose(up, spine / np.linalg.norm(spine), atol=1e-6)


@pytest.fixture
def somebody():
    walk = walk_of_the_demo()
    return sighting(walk["joints"][0], walk["K"]).pose


def placed(*poses, second=1):
    return Placed(poses, Header(stamp=Time(sec=second), frame_id="lens"), IDENTITY)


def test_frames_of_people_are_sent_until_it_is_closed(graph, somebody, log):
    node = graph.add(Node("world", context=graph.context))
    config = WorldConfig(publish_tf=True)
    world, sent = World(node, config, SharedWorld(node, config)), []
    blank, seconds = np.zeros((9, 9, 3), np.uint8), itertools.count(1)

    def publish(*poses):
        estimate = Estimate(poses, Header(frame_id="lens"), blank, is_tracked=True, since=0.0)
        people = placed(*poses, second=next(seconds))
        world.publish(people, estimate, lambda _, message: sent.append(message))
        return len(sent)

    assert publish(somebody) == 0
    world.open()
    assert publish(somebody) == 1
    assert publish() == 1  # no message without people
    world.close()
    assert publish(somebody) == 1
    assert "/tf" in [publisher.topic_name for publisher in node.publishers]
    world.destroy()
    assert "/tf" not in [publisher.topic_name for publisher in node.publishers]
    world.withdraw()
    assert log.text.count("publish nothing while the parameter tracking is false") == 1
    quiet = World(node, WorldConfig(), SharedWorld(node, WorldConfig()))
    quiet.withdraw()
    assert log.text.count("publish nothing") == 1


def test_no_frames_are_sent_of_images_without_a_stamp_or_a_frame(graph, somebody):
    node = graph.add(Node("world", context=graph.context))
    frames, sent = BodyFrames(node), []
    good = Header(stamp=Time(sec=1), frame_id="lens")
    for header in (Header(stamp=Time(sec=1)), Header(frame_id="lens"), good):
        people = Placed([somebody], header, IDENTITY)
        frames.publish(people, lambda _, message: sent.append(message))
    assert [message.transforms[0].header for message in sent] == [good]


def test_frames_are_sent_once_for_a_stamp(graph, somebody):
    """As of a camera that sends an image twice, or of a simulation that stands still."""
    node = graph.add(Node("world", context=graph.context))
    frames, sent = BodyFrames(node), []
    one, another = (replace(somebody, id=n, state=TrackState.TRACKED) for n in (1, 2))
    both = [one, another]
    for second, people in ((1, [one]), (1, both), (1, both), (2, [another])):
        frames.publish(placed(*people, second=second), lambda _, message: sent.append(message))
    told = [[(t.header.stamp.sec, t.child_frame_id) for t in m.transforms] for m in sent]
    assert told == [[(1, "body_person_1")], [(1, "body_person_2")], [(2, "body_person_2")]]


def test_a_body_frame_faces_as_before_where_the_joints_do_not_tell(graph, somebody):
    node = graph.add(Node("world", context=graph.context))
    frames, sent = BodyFrames(node), []
    for second, joints in enumerate((somebody.joints, np.zeros((17, 3))), start=1):
        people = placed(replace(somebody, joints=joints), second=second)
        frames.publish(people, lambda _, message: sent.append(message))
    seen, held = (message.transforms[0].transform for message in sent)
    assert held.rotation == seen.rotation


def test_without_a_transform_nothing_is_published_and_the_frame_is_named(
    graph, make_node, make_camera, blank, capfd
):
    node, camera = make_node(target_frame="/map", transform_timeout=0.0), make_camera()
    markers = camera.listen(MarkerArray, "pose_node/markers")
    assert node.start()
    camera.wait_for_node()
    robot = Robot(camera)
    for count in (1, 2):
        camera.images.publish(camera.message(blank))
        graph.spin_until(lambda n=count: node.statistics.dropped_untransformed == n)
    assert camera.skeletons == []
    assert markers == []
    log = capfd.readouterr().err
    assert log.count("people dropped: no transform from 'lens' to 'map': frame 'map'") == 1
    pipeline = node.cameras[0].report().pipeline
    assert "frame 'map' is not known to tf" in pipeline.transforms
    # It moves: the image has to lie between two messages.
    message = camera.message(blank)
    stamp = message.header.stamp
    for delta in (-(10**8), 10**8):
        robot.moving.publish(robot.message("lens", "map", stamp=shifted(stamp, delta)))
    graph.spin_until(lambda: is_placed(node, "lens", message.header))
    assert camera.exchange(message).header.frame_id == "map"
    assert "from lens to map" in node.cameras[0].report().pipeline.transforms
    late = copy.deepcopy(message)
    late.header.stamp = shifted(stamp, 3 * 10**8)
    camera.images.publish(late)
    graph.spin_until(lambda: node.statistics.dropped_untransformed == 3)
    assert (
        "asked for 0.200 s after the last message" in node.cameras[0].report().pipeline.transforms
    )
    # Time goes back, as in a recording played again: what moved is forgotten with it.
    again = copy.deepcopy(message)
    again.header.stamp = shifted(stamp, -(10**9))
    camera.images.publish(again)
    graph.spin_until(lambda: node.statistics.dropped_wrong_stamp == 1)
    camera.images.publish(again)
    graph.spin_until(lambda: node.statistics.dropped_untransformed == 4)
    assert "is not known to tf; known: -" in node.cameras[0].report().pipeline.transforms
    assert {s.header.frame_id for s in camera.skeletons} == {"map"}


def test_slashes_before_the_names_of_frames_are_no_part_of_them(graph, make_camera):
    camera = make_camera()
    transforms, robot = TreeTransforms(camera.node), Robot(camera)
    now = camera.node.get_clock().now()

    def is_known():
        robot.still.publish(robot.message("/lens", "neck", (0.0, 0.0, 1.0)))
        robot.moving.publish(robot.message("neck", "/base", (1.0, 0.0, 0.0), stamp=now.to_msg()))
        try:
            return transforms.look_up("base", "lens", now.nanoseconds)
        except TransformError:
            return None

    graph.spin_until(is_known)
    np.testing.assert_allclose(is_known().translation, (1, 0, 1))


def test_after_a_deactivation_time_may_start_anew(graph, make_node, make_camera, blank):
    node, camera = make_node(target_frame="map", transform_timeout=2.0), make_camera()
    robot = Robot(camera)
    assert node.start()
    camera.wait_for_node()

    def run(second):
        message = camera.message(blank)
        stamp = message.header.stamp = Time(sec=second)

        def is_heard():
            for delta in (-(10**8), 10**8):
                robot.moving.publish(robot.message("lens", "map", stamp=shifted(stamp, delta)))
            return is_placed(node, "lens", message.header)

        graph.spin_until(is_heard)
        assert camera.exchange(message).header.frame_id == "map"
        return message.header

    for second in (1000, 995, 500):
        header = run(second)
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        assert not is_placed(node, "lens", header)
        camera.wait_for_node()
        graph.spin_until(lambda: camera.infos.get_subscription_count() == 1)


@pytest.mark.parametrize(
    ("overrides", "missing", "text"),
    [
        ({"target_frame": "map"}, ("tf2_ros", "tf2_msgs.msg"), "ros-$ROS_DISTRO-tf2-ros-py"),
        ({"publish_tf": True}, ("tf2_msgs.msg",), "ros-$ROS_DISTRO-tf2-msgs"),
        ({"publish_hri": True}, ("hri_msgs",), "ros-$ROS_DISTRO-hri-msgs"),
    ],
)
def test_configure_names_the_package_that_is_missing(
    make_node, capfd, monkeypatch, overrides, missing, text
):
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    node = make_node(**overrides)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert text in capfd.readouterr().err
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE  # and again, cleanly
