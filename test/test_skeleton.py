import numpy as np

from pandapose_ros.skeleton import H36M_17, H36M_17_FROM_BLAZEPOSE, keypoint_scores


def test_every_joint_leads_to_the_pelvis():
    for start in range(17):
        joint, seen = start, []
        while joint != -1:
            assert joint not in seen
            seen.append(joint)
            joint = H36M_17.parents[joint]
        assert seen[-1] == 0


def test_mirror_is_an_involution_that_swaps_names():
    for joint, twin in enumerate(H36M_17.mirror):
        assert H36M_17.mirror[twin] == joint
        name, other = H36M_17.joint_names[joint], H36M_17.joint_names[twin]
        assert other == name.replace("left", "L").replace("right", "left").replace("L", "right")


def test_blazepose_map_commutes_with_affine_transforms():
    np.testing.assert_allclose(H36M_17_FROM_BLAZEPOSE.sum(1), 1, atol=1e-6)


def test_blazepose_points_become_joints():
    landmarks = np.zeros((33, 2), np.float32)
    landmarks[23], landmarks[24] = (2, 10), (-2, 10)
    landmarks[15], landmarks[0] = (7, 3), (0, -5)
    visibilities = np.ones(33, np.float32)
    visibilities[24] = 0.2
    keypoints, scores = H36M_17_FROM_BLAZEPOSE @ landmarks, keypoint_scores(visibilities)
    index = H36M_17.joint_names.index
    np.testing.assert_allclose(keypoints[index("pelvis")], (0, 10))
    np.testing.assert_allclose(keypoints[index("right_hip")], (-2, 10))
    np.testing.assert_allclose(keypoints[index("left_wrist")], (7, 3))
    np.testing.assert_allclose(keypoints[index("nose")], (0, -5))
    np.testing.assert_allclose(scores[index("pelvis")], 0.2)
    np.testing.assert_allclose(scores[index("left_hip")], 1.0)
