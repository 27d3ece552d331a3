from dataclasses import replace

import numpy as np
import pytest
from followed_people import bare_pose

from pandapose_ros.frames.body_frame import BodyRotations, body_rotation
from pandapose_ros.skeleton import H36M_17

NAMES = H36M_17.joint_names


@pytest.fixture
def standing():
    """Joints of somebody who stands before the camera and looks at it (x right, y down)."""
    joints = np.zeros((17, 3))
    for name, place in {
        "right_hip": (-0.13, 0, 0),  # their right is the image's left
        "left_hip": (0.13, 0, 0),
        "thorax": (0, -0.5, 0),
        "right_shoulder": (-0.2, -0.5, 0),
        "left_shoulder": (0.2, -0.5, 0),
    }.items():
        joints[NAMES.index(name)] = place
    return joints


def pose(joints, number=1):
    return bare_pose(joints, np.array([0, 0, 3.0]), id=number)


def test_x_points_out_of_the_chest_and_z_to_the_head(standing):
    forward, left, up = body_rotation(standing).T
    np.testing.assert_allclose(forward, [0, 0, -1], atol=1e-12)  # towards the camera
    np.testing.assert_allclose(left, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(up, [0, -1, 0], atol=1e-12)


def test_it_is_a_rotation_that_turns_with_the_body(standing):
    random = np.random.default_rng(0)
    bent = standing + random.normal(scale=0.03, size=(17, 3))
    rotation = body_rotation(bent)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    np.testing.assert_allclose(body_rotation(bent @ turn.T), turn @ rotation, atol=1e-9)


def test_of_a_body_that_is_wound_the_hips_tell(standing):
    wound = standing.copy()
    wound[NAMES.index("right_shoulder")] = (-0.1, -0.5, 0.17)
    wound[NAMES.index("left_shoulder")] = (0.1, -0.5, -0.17)
    np.testing.assert_array_equal(body_rotation(wound), body_rotation(standing))


def test_shoulders_stand_in_for_hips_that_tell_nothing(standing):
    unknown = standing.copy()
    unknown[NAMES.index("left_hip")] = np.nan
    np.testing.assert_allclose(body_rotation(unknown), body_rotation(standing), atol=1e-12)
    unknown[NAMES.index("left_shoulder")] = unknown[NAMES.index("right_shoulder")]
    assert body_rotation(unknown) is None
    assert body_rotation(np.zeros((17, 3))) is None


def test_who_cannot_be_told_faces_where_they_faced_last(standing):
    rotations = BodyRotations()
    edge_on = pose(np.zeros((17, 3)))
    assert rotations.update([edge_on]) == []
    ((_, seen),) = rotations.update([pose(standing)])
    ((found, held),) = rotations.update([edge_on])
    assert found is edge_on
    np.testing.assert_array_equal(held, seen)
    assert rotations.update([replace(edge_on, root=None)]) == []
    assert rotations.update([edge_on]) == []  # away in between: forgotten
