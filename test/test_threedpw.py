import pickle

import numpy as np
import pytest

from pandapose_ros.data.dataset import threedpw
from pandapose_ros.data.threedpw import read_threedpw
from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17

INDEX = {name: i for i, name in enumerate(H36M_17.joint_names)}
K = np.array(((1961.9, 0, 540.0), (0, 1969.2, 960.0), (0, 0, 1)))
FRAMES = 4


@pytest.fixture
def sequence():
    """Two people who are seen by a moving camera, as a sequence file has them."""
    rng = np.random.default_rng(0)
    cameras = np.tile(np.eye(4), (FRAMES, 1, 1))
    cameras[:, :3, :3] = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
    cameras[:, 2, 3] = 4 + np.arange(FRAMES)
    detected = rng.uniform(100, 900, (2, FRAMES, 3, 18))
    detected[:, :, 2] = 0.8
    detected[0, 1, :, 4] = 0  # the right wrist of the first person was not found
    return {
        "sequence": "downtown_walking_00",
        "jointPositions": list(rng.normal(0, 0.3, (2, FRAMES, 72))),
        "poses2d": list(detected),
        "campose_valid": [np.array((1, 1, 0, 1)), np.ones(FRAMES, int)],
        "cam_poses": cameras,
        "cam_intrinsics": K,
        "img_frame_ids": np.arange(FRAMES) * 2,
        "genders": ["m", "f"],
        "betas": [np.zeros(300)] * 2,
    }


def write(folder, sequence):
    with (folder / "sequence.pkl").open("wb") as file:
        pickle.dump(sequence, file, 2)
    return folder / "sequence.pkl"


def test_frames_of_all_people_are_read(tmp_path, sequence):
    samples = read_threedpw(write(tmp_path, sequence), None)
    assert samples.people.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert samples.frames.tolist() == [0, 1, 3, 0, 1, 2, 3]
    assert str(samples.images[2]) == "downtown_walking_00/image_00003.jpg"
    assert set(samples.sequences) == {"downtown_walking_00"}
    np.testing.assert_array_equal(samples.K, np.tile(K, (7, 1, 1)))


def test_joints_are_in_the_cameras_frame(tmp_path, sequence):
    samples = read_threedpw(write(tmp_path, sequence), None)
    smpl = sequence["jointPositions"][0][3].reshape(24, 3) * (1, -1, -1) + (0, 0, 7)
    joints = samples.joints[2]
    for name, theirs in (("left_hip", 1), ("right_ankle", 8), ("left_elbow", 18)):
        np.testing.assert_allclose(joints[INDEX[name]], smpl[theirs], rtol=1e-5)
    hips, shoulders = smpl[[1, 2]].mean(axis=0), smpl[[16, 17]].mean(axis=0)
    np.testing.assert_allclose(joints[INDEX["pelvis"]], hips, rtol=1e-5)
    np.testing.assert_allclose(joints[INDEX["thorax"]], shoulders, rtol=1e-5)
    np.testing.assert_allclose(joints[INDEX["spine"]], (hips + shoulders) / 2, rtol=1e-5)
    unknown = np.isnan(samples.joints).any(axis=(0, 2))
    assert {H36M_17.joint_names[i] for i in np.flatnonzero(unknown)} == {"nose", "head"}


def test_true_keypoints_are_projections(tmp_path, sequence):
    samples = read_threedpw(write(tmp_path, sequence), None)
    expected = project(samples.joints.astype(float), K)
    np.testing.assert_allclose(samples.true_keypoints, expected, rtol=1e-5)


def test_detected_keypoints_keep_what_was_not_found_unknown(tmp_path, sequence):
    samples = read_threedpw(write(tmp_path, sequence), None)
    wrist = INDEX["right_wrist"]
    assert np.isnan(samples.keypoints[1, wrist]).all()
    assert samples.keypoint_scores[1, wrist] == 0
    np.testing.assert_allclose(
        samples.keypoints[0, wrist], sequence["poses2d"][0][0, :2, 4], rtol=1e-6
    )
    np.testing.assert_allclose(
        samples.keypoints[0, INDEX["nose"]], sequence["poses2d"][0][0, :2, 0], rtol=1e-6
    )
    assert samples.keypoint_scores[0, wrist] == pytest.approx(0.8)
    assert np.isnan(samples.keypoints[:, INDEX["head"]]).all()
    assert (samples.keypoint_scores[:, INDEX["head"]] == 0).all()


def test_images_are_looked_for(tmp_path, sequence):
    path = write(tmp_path, sequence)
    with pytest.raises(FileNotFoundError, match=r"image_00000\.jpg; expected 3DPW's imageFiles"):
        read_threedpw(path, tmp_path)
    image = tmp_path / "downtown_walking_00" / "image_00000.jpg"
    image.parent.mkdir()
    image.touch()
    assert read_threedpw(path, tmp_path).images[0] == image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cam_poses": np.zeros((4, 3, 4))},
            r"'cam_poses' of shape \['any', 4, 4\], got \[4, 3, 4",
        ),
        ({"poses2d": [np.zeros((3, 3, 18))] * 2}, r"person 0: .*'poses2d' of shape \[4, 3, 18\]"),
        ({"jointPositions": [np.zeros((4, 66))] * 2}, r"'jointPositions' of shape \[4, 72\], got"),
        ({"campose_valid": [np.ones(4)]}, "the same people, got .*'campose_valid': 1"),
        ({"jointPositions": [np.zeros((4, 72))]}, "the same people, got {'jointPositions': 1, "),
        (
            {"jointPositions": [np.zeros((4, 72)), np.full((4, 72), np.nan)]},
            "person 1, frame 0: expected finite numbers in field 'jointPositions'",
        ),
        ({"cam_poses": np.full((4, 4, 4), np.inf)}, "finite numbers in field 'cam_poses'"),
        ({"cam_intrinsics": np.full((3, 3), np.nan)}, "finite numbers in field 'cam_intrinsics'"),
        ({"campose_valid": [np.full(4, np.nan)] * 2}, "finite numbers in field 'campose_valid'"),
        ({"poses2d": 3}, "'poses2d' to be a list, one entry per person"),
        ({"sequence": "../x"}, "'sequence' to be a plain name"),
    ],
)
def test_wrong_fields_are_named(tmp_path, sequence, changes, message):
    with pytest.raises(ValueError, match=rf"sequence\.pkl.*{message}"):
        read_threedpw(write(tmp_path, sequence | changes), None)


@pytest.mark.parametrize(
    "name",
    ["sequence", "jointPositions", "poses2d", "campose_valid", "cam_poses", "cam_intrinsics"],
)
def test_missing_fields_are_named(tmp_path, sequence, name):
    del sequence[name]
    with pytest.raises(ValueError, match=f"expected the field '{name}'"):
        read_threedpw(write(tmp_path, sequence), None)


def test_the_data_set_tells_people_and_sequences_apart(tmp_path, sequence):
    dataset = threedpw([write(tmp_path, sequence)], None)
    assert len(dataset) == 7
    assert set(dataset.actions) == {"downtown_walking_00"}
    assert dataset.subjects[2:4] == ("downtown_walking_00 0", "downtown_walking_00 1")
    assert dataset.max_people > 1
    sample = list(dataset.read())[1]
    wrist = INDEX["right_wrist"]
    assert np.isnan(sample.keypoints[wrist]).all()
    np.testing.assert_allclose(project(sample.joints, K), sample.true_keypoints, rtol=1e-4)
    assert np.isnan(sample.joints[INDEX["head"]]).all()
