import cv2
import numpy as np
import pytest

from pandapose_ros.data.dataset import mpi_inf_3dhp, read_image
from pandapose_ros.data.mpi_inf_3dhp import read_mpi_inf_3dhp
from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17

K = np.array(((1497.0, 0, 1024.0), (0, 1495.0, 1051.0), (0, 0, 1)))
# Of H36M-17, in the file's order.
NAMES = [
    "head",
    "thorax",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "spine",
    "nose",
]


def take(rng, count):
    joints = (rng.normal(0, 0.3, (count, 17, 3)) + np.array((0.1, 0.2, 3.5))) * 1000
    pixels = project(joints, K)
    return {"data_2d": pixels, "data_2d_crop": pixels / 8, "data_3d": joints}


@pytest.fixture
def training():
    rng = np.random.default_rng(0)
    return {
        "S1 Seq1": [{"0": take(rng, 5), "8": take(rng, 3)}, 25],
        "S7 Seq2": [{"4": take(rng, 4)}, 50],
    }


@pytest.fixture
def testing():
    rng = np.random.default_rng(1)
    return {
        "TS1": take(rng, 6) | {"valid": np.array((1, 0, 1, 1, 0, 1))},
        "TS5": take(rng, 4) | {"valid": np.ones(4)},
    }


def write(folder, data):
    np.savez_compressed(folder / "data_3dhp.npz", data=data)
    return folder / "data_3dhp.npz"


def test_training_samples_are_read_back(tmp_path, training):
    samples = read_mpi_inf_3dhp(write(tmp_path, training), None)
    assert len(samples.images) == 12
    assert str(samples.images[0]) == "s_01_seq_01_ca_00/s_01_seq_01_ca_00_000001.jpg"
    assert str(samples.images[11]) == "s_07_seq_02_ca_04/s_07_seq_02_ca_04_000004.jpg"
    assert samples.subjects.tolist() == [1] * 8 + [7] * 4
    assert samples.cameras.tolist() == [0] * 5 + [8] * 3 + [4] * 4
    assert samples.sequences[0] == "S1 Seq1"
    assert samples.frames.tolist() == [*range(5), *range(3), *range(4)]


def test_joints_are_ordered_and_in_metres(tmp_path, training):
    samples = read_mpi_inf_3dhp(write(tmp_path, training), None)
    source = training["S1 Seq1"][0]["8"]
    assert samples.joints.dtype == np.float32
    for ours, name in enumerate(H36M_17.joint_names):
        theirs = NAMES.index(name)
        np.testing.assert_allclose(
            samples.joints[5:8, ours], source["data_3d"][:, theirs] / 1000, rtol=1e-5
        )
        np.testing.assert_allclose(
            samples.keypoints_crop[5:8, ours], source["data_2d_crop"][:, theirs], rtol=1e-5
        )


def test_intrinsics_are_found_where_the_data_tell_them(tmp_path, training):
    rng = np.random.default_rng(2)
    training["S7 Seq2"][0]["4"]["data_2d"] += rng.normal(0, 80, (4, 17, 2))
    samples = read_mpi_inf_3dhp(write(tmp_path, training), None)
    np.testing.assert_allclose(samples.K[:8], np.tile(K, (8, 1, 1)), rtol=1e-6)
    assert np.isnan(samples.K[8:]).all()


def test_only_valid_test_frames_are_taken(tmp_path, testing):
    samples = read_mpi_inf_3dhp(write(tmp_path, testing), None)
    assert samples.frames.tolist() == [0, 2, 3, 5, 0, 1, 2, 3]
    assert samples.subjects.tolist() == [1] * 4 + [5] * 4
    assert (samples.cameras == -1).all()
    assert str(samples.images[1]) == "TS1/TS1_000003.jpg"
    np.testing.assert_allclose(
        samples.joints[1, 0], testing["TS1"]["data_3d"][2, 14] / 1000, rtol=1e-5
    )


def test_frames_that_are_not_taken_may_be_unknown(tmp_path, testing):
    for name in ("data_3d", "data_2d", "data_2d_crop"):
        testing["TS1"][name][1] = np.nan
    assert np.isfinite(read_mpi_inf_3dhp(write(tmp_path, testing), None).joints).all()
    testing["TS1"]["valid"][:] = 0
    assert len(read_mpi_inf_3dhp(write(tmp_path, testing), None).joints) == 4


def test_joints_in_metres_are_refused(tmp_path, testing):
    testing["TS5"]["data_3d"] /= 1000
    with pytest.raises(ValueError, match="'TS5', field 'data_3d': expected joints in millimetres"):
        read_mpi_inf_3dhp(write(tmp_path, testing), None)


def test_crops_are_optional(tmp_path, testing):
    del testing["TS1"]["data_2d_crop"]
    samples = read_mpi_inf_3dhp(write(tmp_path, testing), None)
    assert np.isnan(samples.keypoints_crop[:4]).all()
    assert np.isfinite(samples.keypoints_crop[4:]).all()


def test_images_are_looked_for(tmp_path, testing):
    path = write(tmp_path, testing)
    with pytest.raises(FileNotFoundError, match=r"TS1_000001\.jpg; expected the crops"):
        read_mpi_inf_3dhp(path, tmp_path)
    (tmp_path / "TS1").mkdir()
    (tmp_path / "TS1" / "TS1_000001.jpg").touch()
    assert read_mpi_inf_3dhp(path, tmp_path).images[0].is_file()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "data_3d",
            np.zeros((6, 28, 3)),
            r"'data_3d' of shape \['any', 17, 3\], got \[6, 28, 3\]",
        ),
        ("data_2d", np.zeros((5, 17, 2)), r"'data_2d' of shape \[6, 17, 2\], got \[5, 17, 2\]"),
        ("valid", np.ones(5), r"'valid' of shape \[6\], got \[5\]"),
        ("data_3d", "text", "'data_3d' .* got no numbers but str"),
        ("data_3d", np.full((6, 17, 3), np.nan), "frame 0: .*finite numbers in field 'data_3d'"),
        ("data_2d", np.full((6, 17, 2), np.inf), "frame 0: .*finite numbers in field 'data_2d'"),
        ("data_2d_crop", np.full((6, 17, 2), np.nan), "finite numbers in field 'data_2d_crop'"),
        ("data_3d", None, "expected the field 'data_3d'"),
        ("valid", None, "expected the field 'valid'"),
    ],
)
def test_wrong_and_missing_fields_are_named(tmp_path, testing, name, value, message):
    if value is None:
        del testing["TS1"][name]
    else:
        testing["TS1"][name] = value
    with pytest.raises(ValueError, match=rf"3dhp\.npz, sequence 'TS1'.*{message}"):
        read_mpi_inf_3dhp(write(tmp_path, testing), None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "expected a dict of sequences"),
        ({"walk": {}}, "sequences such as 'S1 Seq2' or 'TS3', got 'walk'"),
        ({"S1 Seq1": {}}, r"expected a list \[dict of cameras"),
        ({"S1 Seq1": [{"left": {}}, 25]}, "expected cameras '0' to '8', got 'left'"),
    ],
)
def test_other_contents_are_refused(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read_mpi_inf_3dhp(write(tmp_path, data), None)


def test_the_data_set_takes_crops_for_images_with_a_camera_of_their_own(tmp_path, testing):
    path = write(tmp_path, testing)
    for name, frame in (("TS1", 1), ("TS1", 3)):
        (tmp_path / name).mkdir(exist_ok=True)
        cv2.imwrite(
            str(tmp_path / name / f"{name}_{frame:06d}.jpg"), np.zeros((256, 192, 3), np.uint8)
        )
    dataset = mpi_inf_3dhp([path], tmp_path)
    assert len(dataset) == 8
    assert set(dataset.actions) == {"TS1", "TS5"}
    sample = list(dataset.read())[1]
    assert read_image(sample).shape == (256, 192, 3)
    assert sample.keypoints is None
    np.testing.assert_allclose(project(sample.joints, sample.K), sample.true_keypoints, atol=0.1)


def test_the_data_set_without_images_has_whole_images_pixels(tmp_path, training):
    dataset = mpi_inf_3dhp([write(tmp_path, training)], None)
    for sample in dataset.read():
        assert sample.image is None
        np.testing.assert_allclose(sample.K, K, rtol=1e-4)
        np.testing.assert_allclose(project(sample.joints, K), sample.true_keypoints, atol=0.1)


def test_crops_without_keypoints_are_refused(tmp_path, testing):
    for take_ in testing.values():
        del take_["data_2d_crop"]
    path = write(tmp_path, testing)
    (tmp_path / "TS1").mkdir()
    (tmp_path / "TS1" / "TS1_000001.jpg").touch()
    with pytest.raises(ValueError, match="has no 'data_2d_crop'; take a file with it"):
        next(mpi_inf_3dhp([path], tmp_path).read())
