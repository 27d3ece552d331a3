import math
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from pandapose_ros.msg import (
    AnchorSet3D,
    AnchorSet3DArray,
    Limb,
    Skeleton3D,
    Skeleton3DArray,
    SkeletonInfo,
)
from pandapose_ros.node.conversions import (
    anchors_message,
    image_message,
    skeleton_info_message,
    skeletons_message,
)
from pandapose_ros.node.images import image_from_message
from pandapose_ros.node.readback import pose_from_messages
from pandapose_ros.people.track import lost_pose
from pandapose_ros.pose import AnchorVotes, ModelInfo, Pose, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id="camera_optical_frame")
ANCHORS = 200


def person(number, *, root=(0.2, 0.1, 3.0), state=TrackState.TRACKED):
    random = np.random.default_rng(number)
    weights = random.random((ANCHORS, 17)).astype(np.float32)
    return Pose(
        id=number,
        state=state,
        joints=random.normal(size=(17, 3)).astype(np.float32),
        root=None if root is None else np.array(root),
        root_covariance=None if root is None else np.diag([0.01, 0.02, 0.3]),
        root_source=RootSource.NONE if root is None else RootSource.ASSUMED_FIELD_OF_VIEW,
        joint_scores=random.random(17).astype(np.float32),
        keypoints=random.uniform(0, 480, (17, 2)).astype(np.float32),
        box_xyxy=np.array([-3.2, 20.4, 110, 220], np.float32),
        score=0.75,
        anchors=AnchorVotes(
            positions=random.normal(size=(ANCHORS, 3)).astype(np.float32),
            weights=weights / weights.sum(0),
            kinds=(np.arange(ANCHORS) >= 136).astype(np.int64),
            owners=np.where(np.arange(ANCHORS) < 136, np.arange(ANCHORS) % 17, -1),
        ),
    )


def sent(message):
    """The message after serialization, as a subscriber gets it."""
    return deserialize_message(serialize_message(message), type(message))


def skeletons(poses) -> Skeleton3DArray:
    return sent(skeletons_message(poses, HEADER, "h36m_17"))


def xyz(point):
    return [point.x, point.y, point.z]


def test_a_placed_person_arrives_whole():
    pose = replace(person(7), age=3.999999999)
    message = skeletons([pose])
    assert message.header == HEADER
    assert message.skeleton_type == "h36m_17"
    (skeleton,) = message.skeletons
    assert skeleton.id == "person_7"
    assert (skeleton.age.sec, skeleton.age.nanosec) == (3, 999_999_999)
    assert pose_from_messages(skeleton, None).age == pytest.approx(pose.age, abs=1e-12)
    assert skeleton.confidence == 0.75
    assert skeleton.root_source == Skeleton3D.ROOT_ASSUMED_FIELD_OF_VIEW
    np.testing.assert_allclose(xyz(skeleton.root_position), pose.root)
    np.testing.assert_allclose(
        np.reshape(skeleton.root_position_covariance, (3, 3)), pose.root_covariance
    )
    positions = [xyz(joint.position) for joint in skeleton.joints]
    np.testing.assert_allclose(positions, pose.joints + pose.root, atol=1e-6)
    np.testing.assert_allclose([j.confidence for j in skeleton.joints], pose.joint_scores)
    np.testing.assert_allclose([(j.u, j.v) for j in skeleton.joints], pose.keypoints)
    assert all(j.position_covariance[0] == -1 for j in skeleton.joints)


def test_root_sources_have_the_numbers_of_the_message():
    for source in RootSource:
        assert getattr(Skeleton3D, f"ROOT_{source.name}") == source


def test_an_unplaced_person_is_pelvis_relative_with_an_unknown_root():
    pose = person(7, root=None)
    (skeleton,) = skeletons([pose]).skeletons
    assert skeleton.root_source == Skeleton3D.ROOT_NONE
    assert all(map(math.isnan, xyz(skeleton.root_position)))
    assert skeleton.root_position_covariance[0] == -1
    np.testing.assert_allclose([xyz(j.position) for j in skeleton.joints], pose.joints, atol=1e-6)


def test_an_unknown_joint_is_nan_with_confidence_zero():
    pose = person(7)
    joints = pose.joints.copy()
    joints[4, 1] = np.nan
    (skeleton,) = skeletons([replace(pose, joints=joints)]).skeletons
    assert all(map(math.isnan, xyz(skeleton.joints[4].position)))
    assert skeleton.joints[4].confidence == 0
    assert all(map(math.isfinite, xyz(skeleton.joints[3].position)))
    assert np.isfinite(pose.joints).all()


def test_tracking_states():
    people = [person(1, state=state) for state in TrackState]
    states = [s.tracking_state for s in skeletons(people).skeletons]
    assert states == [
        Skeleton3D.TRACKING_OFF,
        Skeleton3D.TRACKING_NEW,
        Skeleton3D.TRACKING_TRACKED,
        Skeleton3D.TRACKING_PREDICTED,
        Skeleton3D.TRACKING_LOST,
    ]
    assert [s.id for s in skeletons(people).skeletons] == ["", *["person_1"] * 4]


def test_somebody_lost_is_known_by_the_id_alone():
    (skeleton,) = skeletons([lost_pose(person(4))]).skeletons
    assert (skeleton.id, skeleton.root_source) == ("person_4", Skeleton3D.ROOT_NONE)
    assert skeleton.confidence == 0
    assert skeleton.roi.width == 0
    assert len(skeleton.joints) == 17
    for joint in skeleton.joints:
        assert np.isnan([*xyz(joint.position), joint.u, joint.v]).all()
        assert (joint.confidence, joint.position_covariance[0]) == (0, -1)


def test_joints_get_the_covariance_of_the_root_too():
    covariances = np.arange(1, 18)[:, None, None] * np.diag((1e-3, 1e-3, 4e-3))
    pose = replace(person(1), joint_covariances=covariances)
    (placed,) = skeletons([pose]).skeletons
    (loose,) = skeletons(
        [replace(pose, root=None, root_covariance=None, root_source=RootSource.NONE)]
    ).skeletons
    for joint, alone, expected in zip(placed.joints, loose.joints, covariances, strict=True):
        np.testing.assert_allclose(alone.position_covariance.reshape(3, 3), expected)
        np.testing.assert_allclose(
            joint.position_covariance.reshape(3, 3), expected + pose.root_covariance
        )


def test_roi_is_in_whole_pixels_of_the_image():
    (skeleton,) = skeletons([person(1)]).skeletons
    roi = skeleton.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 20, 110, 200)
    unknown = replace(person(1), box_xyxy=np.full(4, np.nan, np.float32))
    assert skeletons([unknown]).skeletons[0].roi.width == 0


def test_nobody_is_an_empty_list():
    assert skeletons([]).skeletons == []


def test_skeleton_info_tells_names_parents_and_sides():
    model = ModelInfo(name="pandapose_blazepose", version="1", weights_sha256="ab" * 32)
    info: SkeletonInfo = sent(skeleton_info_message(H36M_17, model))
    assert tuple(info.joint_names) == H36M_17.joint_names
    assert tuple(info.joint_parents) == H36M_17.parents
    assert tuple(info.mirror) == H36M_17.mirror
    assert [(limb.joint_a, limb.joint_b) for limb in info.limbs] == list(H36M_17.bones)
    sides = {info.joint_names[limb.joint_b]: limb.side for limb in info.limbs}
    assert (sides["left_knee"], sides["right_hip"], sides["right_wrist"], sides["spine"]) == (
        *(Limb.LEFT, Limb.RIGHT, Limb.RIGHT, Limb.CENTRE),
    )
    assert (info.model_name, info.model_version) == (model.name, model.version)
    assert info.weights_sha256 == model.weights_sha256


def test_anchors_arrive_whole():
    pose = person(3)
    message: AnchorSet3DArray = sent(anchors_message([pose], HEADER))
    assert message.header == HEADER
    (anchors,) = message.sets
    assert anchors.skeleton_id == "person_3"
    np.testing.assert_allclose(
        [xyz(p) for p in anchors.positions], pose.anchors.positions + pose.root, atol=1e-5
    )
    assert set(anchors.kinds) == {AnchorSet3D.LOCAL, AnchorSet3D.GLOBAL}
    assert list(anchors.joint_index[:136]) == [a % 17 for a in range(136)]
    assert set(anchors.joint_index[136:]) == {AnchorSet3D.GLOBAL_JOINT}
    assert sum(anchors.weights) == pytest.approx(1, abs=1e-5)


def test_image_message_reads_back():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(image_from_message(sent(image_message(image, HEADER))), image)
    flipped = image[:, ::-1]
    np.testing.assert_array_equal(image_from_message(image_message(flipped, HEADER)), flipped)
