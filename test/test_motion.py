import numpy as np
import pytest

from pandapose_ros.config import PoseConfig, SkeletonSampleConfig
from pandapose_ros.data.body_joints import put_together, random_bodies
from pandapose_ros.data.motion import (
    mirror_parts,
    read_motion,
    split_clips,
    take_apart,
)
from pandapose_ros.data.pose_sampler import PoseSampler
from pandapose_ros.skeleton import H36M_17

INDEX = {name: i for i, name in enumerate(H36M_17.joint_names)}


def mirror_joints(joints):
    return joints[:, H36M_17.mirror] * np.array((-1, 1, 1), np.float32)


def standing():
    """A person who faces +z with y up, in metres, as a motion file has it."""
    joints = np.zeros((17, 3), np.float32)
    for side, sign in (("left", 1), ("right", -1)):
        joints[INDEX[f"{side}_hip"]] = (0.1 * sign, 0.9, 0)
        joints[INDEX[f"{side}_knee"]] = (0.1 * sign, 0.5, 0.02)
        joints[INDEX[f"{side}_ankle"]] = (0.1 * sign, 0.1, 0)
        joints[INDEX[f"{side}_shoulder"]] = (0.2 * sign, 1.4, 0)
        joints[INDEX[f"{side}_elbow"]] = (0.3 * sign, 1.15, 0)
        joints[INDEX[f"{side}_wrist"]] = (0.3 * sign, 1.0, 0.15)
    joints[0] = (0, 0.95, 0)
    joints[7], joints[8], joints[9], joints[10] = (
        (0, 1.1, 0),
        (0, 1.35, 0),
        (0, 1.5, 0),
        (0, 1.6, 0.04),
    )
    return joints


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(0)
    base = np.repeat(standing()[None], 50, axis=0)
    return (base + rng.normal(0, 0.05, base.shape)).astype(np.float32)


def bodies(count, variation=0.0):
    config = SkeletonSampleConfig(stature=(1.7, 1.7), limb_variation=variation)
    return random_bodies(count, config, np.random.default_rng(0))


def test_centre_joints_are_midway(poses):
    joints = put_together(take_apart(poses), bodies(len(poses), 0.1))
    np.testing.assert_allclose(joints[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(joints[:, 0], (joints[:, 1] + joints[:, 4]) / 2, atol=1e-6)
    np.testing.assert_allclose(joints[:, 8], (joints[:, 11] + joints[:, 14]) / 2, atol=1e-6)
    np.testing.assert_allclose(joints[:, 7], joints[:, 8] / 2, atol=1e-6)


def test_nose_points_forward_and_crown_up():
    joints = put_together(take_apart(standing()[None]), bodies(1))[0]
    nose, crown, thorax = joints[INDEX["nose"]], joints[INDEX["head"]], joints[INDEX["thorax"]]
    assert 0.08 < nose[2] - thorax[2] < 0.16
    assert 0.12 < nose[1] - thorax[1] < 0.26
    assert 0.28 < crown[1] - thorax[1] < 0.40
    assert abs(nose[0]) < 0.01


def test_taking_apart_keeps_the_directions_of_limbs(poses):
    joints = put_together(take_apart(poses), bodies(len(poses)))

    def direction(array, a, b):
        v = array[:, INDEX[b]] - array[:, INDEX[a]]
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    for a, b in (
        ("left_hip", "left_knee"),
        ("right_knee", "right_ankle"),
        ("left_shoulder", "left_elbow"),
        ("right_elbow", "right_wrist"),
        ("right_hip", "left_hip"),
        ("right_shoulder", "left_shoulder"),
    ):
        np.testing.assert_allclose(direction(joints, a, b), direction(poses, a, b), atol=1e-5)


def test_mirroring_parts_is_mirroring_joints(poses):
    parts, lengths = take_apart(poses), bodies(len(poses))
    np.testing.assert_allclose(
        put_together(mirror_parts(parts), lengths),
        mirror_joints(put_together(parts, lengths)),
        atol=1e-5,
    )


def test_mirrored_twice_is_the_same(poses):
    parts = take_apart(poses)
    for name, part in vars(mirror_parts(mirror_parts(parts))).items():
        np.testing.assert_array_equal(part, vars(parts)[name])


def test_drawn_poses_are_new_and_have_the_bones_asked_for(poses):
    rng = np.random.default_rng(1)
    lengths = bodies(200, 0.1)
    parts, _, _ = PoseSampler(take_apart(poses), PoseConfig()).sample(200, rng)
    joints = put_together(parts, lengths)
    thigh = np.linalg.norm(joints[:, 5] - joints[:, 4], axis=1)
    forearm = np.linalg.norm(joints[:, 16] - joints[:, 15], axis=1)
    np.testing.assert_allclose(thigh, lengths[:, 1], rtol=1e-4)
    np.testing.assert_allclose(forearm, lengths[:, 6], rtol=1e-4)
    knee_angles = ((joints[:, 5] - joints[:, 4]) * (joints[:, 6] - joints[:, 5])).sum(1)
    assert knee_angles.std() > 0.02


def test_random_bodies_stay_within_their_limits():
    config = SkeletonSampleConfig()
    lengths = random_bodies(5000, config, np.random.default_rng(0))
    low, high = config.stature
    stature = lengths[:, -1]
    assert stature.min() >= low * (1 - config.limb_variation)
    assert stature.max() <= high * (1 + config.limb_variation)
    assert 0.35 < lengths[:, 1].mean() < 0.45


def test_reading_and_splitting_clips(tmp_path, poses):
    names = [*(f"walk_{i:02d}" for i in range(10)), "run1", "run2", "jump", "s_01_1", "s_02_1"]
    np.savez(tmp_path / "clips.npz", **{name: poses[: 5 + i] for i, name in enumerate(names)})
    clips = read_motion(tmp_path / "clips.npz")
    train, test = split_clips(clips, 0.2)
    assert list(test) == ["run2", "walk_08", "walk_09"]
    assert sorted((*train, *test)) == sorted(names)
    assert len(test["walk_09"]) == 14
    assert list(split_clips(clips, 0.9)[0]) == ["jump", "run1", "s_01_1", "s_02_1", "walk_00"]
    assert not split_clips(clips, 0.0)[1]
    with pytest.raises(ValueError, match=r"\[0, 1\), got 20"):
        split_clips(clips, 20)


def test_bad_motion_files_are_named(tmp_path, poses):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_motion(tmp_path / "none.npz")
    np.savez(tmp_path / "bad.npz", walk=poses[:, :16])
    with pytest.raises(ValueError, match=r"'walk' to be \[T, 17, 3\]"):
        read_motion(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(ValueError, match="not an npz"):
        read_motion(tmp_path / "text.npz")
    np.savez(tmp_path / "pickle.npz", walk=np.array([{}], object))
    with pytest.raises(ValueError, match="not an npz"):
        read_motion(tmp_path / "pickle.npz")
