from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pandapose_ros.frames.transform import (
    IDENTITY,
    Transform,
    move_pose,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from pandapose_ros.pose import AnchorVotes, DepthVotes, Pose, RootSource, TrackState

RANDOM = np.random.default_rng(0)


def random_transform():
    return Transform(Rotation.random(random_state=RANDOM).as_matrix(), RANDOM.normal(size=3))


def pose():
    spread = RANDOM.normal(size=(3, 3))
    return Pose(
        id=4,
        state=TrackState.TRACKED,
        joints=RANDOM.normal(size=(17, 3)),
        root=np.array([0.5, 0.2, 3.0]),
        root_covariance=spread @ spread.T,
        root_source=RootSource.INTRINSICS,
        joint_scores=np.full(17, 0.9),
        keypoints=RANDOM.uniform(0, 480, (17, 2)),
        box_xyxy=np.array([10, 20, 110, 220.0]),
        score=0.8,
        anchors=AnchorVotes(
            RANDOM.normal(size=(5, 3)), np.full((5, 17), 0.2), np.zeros(5, int), np.full(5, -1)
        ),
        depth=DepthVotes(RANDOM.normal(size=(17, 4, 3)), np.full((17, 4), 0.25)),
        joint_covariances=np.tile(spread.T @ spread, (17, 1, 1)),
    )


def test_quaternions_are_those_of_scipy():
    for rotation in Rotation.random(50, random_state=1):
        quaternion = rotation.as_quat()
        np.testing.assert_allclose(rotation_from_quaternion(quaternion), rotation.as_matrix())
        found = quaternion_from_rotation(rotation.as_matrix())
        np.testing.assert_allclose(found, quaternion * np.sign(quaternion[3]), atol=1e-12)
    half_turn = Rotation.from_rotvec([0, np.pi, 0]).as_matrix()
    np.testing.assert_allclose(
        np.abs(quaternion_from_rotation(half_turn)), [0, 1, 0, 0], atol=1e-12
    )
    np.testing.assert_allclose(rotation_from_quaternion((0, 0, 0, 2.0)), np.eye(3))


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (0, 0, 0, np.nan), (np.inf, 0, 0, 1)])
def test_what_is_no_rotation_is_refused(quaternion):
    with pytest.raises(ValueError, match="quaternion of finite length"):
        rotation_from_quaternion(quaternion)


def test_transforms_chain_and_invert():
    a, b = random_transform(), random_transform()
    points = RANDOM.normal(size=(6, 3))
    np.testing.assert_allclose(a.after(b).apply(points), a.apply(b.apply(points)))
    np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points)
    np.testing.assert_array_equal(IDENTITY.apply(points), points)


def test_a_moved_pose_is_the_same_body_elsewhere():
    there, before = random_transform(), pose()
    after = move_pose(before, there)
    for points in ("joints", "anchors", "depth"):
        old, new = getattr(before, points), getattr(after, points)
        if points != "joints":
            old, new = old.positions, new.positions
        np.testing.assert_allclose(new + after.root, there.apply(old + before.root))
    # Along a direction that turns with the body, the variance is the same.
    direction = RANDOM.normal(size=3)
    turned = there.rotation @ direction
    np.testing.assert_allclose(
        turned @ after.joint_covariances @ turned, direction @ before.joint_covariances @ direction
    )
    assert turned @ after.root_covariance @ turned == pytest.approx(
        direction @ before.root_covariance @ direction
    )


def test_nothing_of_a_pose_stays_behind():
    # A field that is new and holds directions or places has to be moved too.
    moved = {"joints", "root", "root_covariance", "anchors", "depth", "joint_covariances"}
    before = pose()
    after = move_pose(before, random_transform())
    same = {f.name for f in fields(Pose) if getattr(after, f.name) is getattr(before, f.name)}
    assert same == {f.name for f in fields(Pose)} - moved


def test_a_person_without_a_place_is_turned_only():
    there = random_transform()
    before = replace(pose(), root=None, root_covariance=None, root_source=RootSource.NONE)
    after = move_pose(before, there)
    assert after.root is None
    assert after.root_covariance is None
    np.testing.assert_allclose(after.joints, before.joints @ there.rotation.T)
