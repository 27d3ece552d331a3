import json
import pickle
import re
from collections import Counter

import cv2
import numpy as np
import pytest

from pandapose_ros.data.challenging import (
    ErrorUnit,
    Reduction,
    challenging_subset,
    keypoint_errors,
)
from pandapose_ros.data.dataset import human36m, read_image
from pandapose_ros.data.human36m import metric_crop, read_human36m
from pandapose_ros.geometry import project, transform_points
from pandapose_ros.tools import main

SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
FOCAL, CENTRE = (1145.0, 1144.0), (512.5, 515.4)
K = np.array(((FOCAL[0], 0, CENTRE[0]), (0, FOCAL[1], CENTRE[1]), (0, 0, 1)))


def label(rng, camera_id, frame):
    """A sample as CA-PF's preparation writes it."""
    joints = rng.normal(0, 0.3, (17, 3)) + np.array((0.3, -0.2, 5.0))
    true = project(joints, K)
    detected = true + rng.normal(0, 4, true.shape)
    width, height = SIZES[camera_id]
    corners = project(joints[0] + np.array(((-1, -0.9, 0), (1, 1.1, 0))), K)
    box = corners.ravel()
    centre, scale = corners.mean(axis=0), (corners[1] - corners[0]) / 200
    factor = 191 / (scale[0] * 200 - 1)
    name = f"s_09_act_02_subact_01_ca_{camera_id + 1:02d}"

    def screen(points):
        return (points / width * 2 - np.array((1, height / width))).astype(np.float32)

    def crop(points):
        return ((points - centre) * factor + (95.5, 127.5)).astype(np.float32)

    return {
        "image": f"{name}/{name}_{frame:06d}.jpg",
        "joints_2d_gt": screen(true),
        "joints_2d_cpn": screen(detected),
        "joints_2d_gt_crop": crop(true),
        "joints_2d_cpn_crop": crop(detected),
        "joints_3d": joints.astype(np.float32),
        "joints_vis": np.ones((17, 3), np.float32),
        "video_id": 0,
        "image_id": frame,
        "subject": 9,
        "action": 2,
        "subaction": 1,
        "camera_id": camera_id,
        "source": "h36m",
        "camera": {
            "R": np.eye(3),
            "T": np.zeros((3, 1)),
            "fx": np.array([FOCAL[0]]),
            "fy": FOCAL[1],
            "cx": CENTRE[0],
            "cy": CENTRE[1],
            "k": np.array([[-0.2], [0.24], [-0.001]]),
            "p": np.array([-0.0009, -0.0016]),
        },
        "nposes": 1,
        "center": tuple(centre),
        "scale": tuple(scale),
        "box": box,
    }


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    return [label(rng, camera, frame) for camera in range(4) for frame in (1, 2)]


def write(path, labels):
    with path.open("wb") as file:
        pickle.dump(labels, file)
    return path


def test_samples_are_read_back(tmp_path, labels):
    samples = read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")
    assert len(samples.images) == 8
    assert str(samples.images[3]).endswith("ca_02/s_09_act_02_subact_01_ca_02_000002.jpg")
    for i, sample in enumerate(labels):
        np.testing.assert_allclose(samples.joints[i], sample["joints_3d"])
        np.testing.assert_array_equal(samples.keypoints_crop[i], sample["joints_2d_cpn_crop"])
        np.testing.assert_array_equal(samples.true_keypoints_crop[i], sample["joints_2d_gt_crop"])
    assert samples.keypoints.dtype == samples.joints.dtype == np.float32
    assert samples.cameras.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (samples.subjects == 9).all()
    assert (samples.actions == 2).all()
    assert (samples.subactions == 1).all()
    np.testing.assert_allclose(samples.K, np.tile(K, (8, 1, 1)))
    np.testing.assert_allclose(samples.distortion[0], (-0.2, 0.24, -0.0009, -0.0016, -0.001))


def test_pixels_and_crops_agree_with_the_camera(tmp_path, labels):
    samples = read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")
    for i in range(8):
        true = project(samples.joints[i], samples.K[i])
        np.testing.assert_allclose(samples.true_keypoints[i], true, atol=1e-2)
        for image, crop in (
            (samples.true_keypoints[i], samples.true_keypoints_crop[i]),
            (samples.keypoints[i], samples.keypoints_crop[i]),
        ):
            expected = transform_points(samples.crop_from_image[i], image)
            np.testing.assert_allclose(crop, expected, atol=1e-2)


def test_other_detections_are_brought_into_the_crop(tmp_path, labels):
    for sample in labels:
        sample["joints_2d_hrnet"] = sample.pop("joints_2d_cpn")
    samples = read_human36m(write(tmp_path / "h36m.pkl", labels), None, "hrnet")
    np.testing.assert_allclose(
        samples.keypoints_crop[0], labels[0]["joints_2d_cpn_crop"], atol=1e-2
    )


def test_the_command_scores_on_other_detections(tmp_path, labels):
    for sample in labels:
        sample["joints_2d_hrnet"] = sample["joints_2d_gt"]
    path, out = write(tmp_path / "h36m.pkl", labels), tmp_path / "out.json"
    errors = {}
    for detector, name in (("cpn", "human36m h36m.pkl"), ("hrnet", "human36m h36m.pkl, hrnet")):
        of = ["--dataset", "human36m", "--data", str(path), "--keypoints", "given"]
        options = ["--detections", detector, "--out", str(out), "--threads", "1"]
        assert main.main(["evaluate", *of, *options]) == 0
        record = json.loads(out.read_text())
        assert record["dataset"]["name"] == name
        errors[detector] = record["keypoint_error_px"]
    assert errors["cpn"] > 0.5
    assert errors["hrnet"] < 0.3  # true ones are without the distortion of the lens


def test_challenging_samples_are_found(tmp_path, labels):
    crop = labels[5]["joints_2d_cpn_crop"]
    labels[5]["joints_2d_cpn_crop"] = crop + np.float32(20)
    samples = read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")
    keypoints = samples.keypoints_crop, samples.true_keypoints_crop
    subset = challenging_subset(
        "human36m",
        keypoints,
        threshold=5.0,
        unit=ErrorUnit.CROP,
        reduction=Reduction.MEAN,
    )
    assert subset.indices == (5,)
    assert keypoint_errors(*keypoints, Reduction.MEAN)[0] < 5


def test_images_are_looked_for(tmp_path, labels):
    path = write(tmp_path / "h36m.pkl", labels)
    with pytest.raises(FileNotFoundError, match=r"ca_01_000001\.jpg; expected the image tree"):
        read_human36m(path, tmp_path, "cpn")
    first = tmp_path / labels[0]["image"]
    first.parent.mkdir()
    first.touch()
    assert Counter(read_human36m(path, tmp_path, "cpn").images)[first] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints_3d": None}, r"sample 1: expected field 'joints_3d' of shape \[17, 3\]"),
        ({"joints_2d_cpn": np.zeros((16, 2))}, r"'joints_2d_cpn' of shape \[17, 2\], got \[16, 2"),
        ({"camera": {"fx": 1.0}}, "field 'camera': expected the field 'fy', got only"),
        ({"camera_id": 4}, "'camera_id' from 0 to 3, got 4"),
        ({"camera_id": None}, "'camera_id' from 0 to 3, got nan"),
        ({"action": None}, "sample 1: expected finite numbers in field 'action'"),
        ({"joints_3d": np.full((17, 3), np.nan)}, "finite numbers in field 'joints_3d'"),
        ({"joints_2d_gt": np.full((17, 2), np.nan)}, "finite numbers in field 'joints_2d_gt'"),
        ({"joints_3d": np.zeros((17, 3))}, "sample 1: expected joints before the camera in field"),
        ({"scale": np.zeros(2)}, "sample 1: expected field 'scale' above 0.005"),
        ({"image": "../../etc/passwd"}, "'image' to stay in its folder"),
        ({"image": "/etc/passwd"}, "'image' to stay in its folder"),
    ],
)
def test_wrong_fields_are_named(tmp_path, labels, changes, message):
    labels[1] |= changes
    with pytest.raises(ValueError, match=rf"h36m\.pkl, .*{message}"):
        read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")


def test_joints_in_millimetres_are_refused(tmp_path, labels):
    for sample in labels:
        sample["joints_3d"] = sample["joints_3d"] * 1000  # no projection tells the unit
    with pytest.raises(ValueError, match=r"h36m\.pkl, field 'joints_3d': expected .* in metres"):
        read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")


@pytest.mark.parametrize("name", ["image", "joints_3d", "joints_2d_gt_crop", "scale", "subject"])
def test_missing_fields_are_named(tmp_path, labels, name):
    del labels[1][name]
    with pytest.raises(ValueError, match=f"sample 1: expected the field '{name}'"):
        read_human36m(write(tmp_path / "h36m.pkl", labels), None, "cpn")


def test_other_detector_than_the_files_is_named(tmp_path, labels):
    with pytest.raises(ValueError, match="expected the field 'joints_2d_hrnet'"):
        read_human36m(write(tmp_path / "h36m.pkl", labels), None, "hrnet")


@pytest.mark.parametrize("content", [[], {"a": 1}, "text"])
def test_other_contents_are_refused(tmp_path, content):
    message = f"expected a list of samples, got {content!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_human36m(write(tmp_path / "h36m.pkl", content), None, "cpn")


def test_the_data_set_joins_labels_and_images(tmp_path, labels):
    path = write(tmp_path / "h36m.pkl", labels)
    picture = np.full((1002, 1000, 3), (10, 20, 30), np.uint8)  # BGR
    for sample in labels:
        (tmp_path / sample["image"]).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / sample["image"]), picture)
    dataset = human36m([path], tmp_path)
    assert (len(dataset), dataset.name) == (8, "human36m h36m.pkl")
    assert set(dataset.actions) == {"Directions"}
    assert set(dataset.subjects) == {"S9"}
    samples = list(dataset.read())
    assert len(samples) == 8
    image = read_image(samples[0])
    assert image.shape == (1002, 1000, 3)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), (30, 20, 10), atol=2)
    np.testing.assert_allclose(samples[5].joints, labels[5]["joints_3d"])
    assert np.abs(samples[0].keypoints - samples[0].true_keypoints).max() > 1
    thin = dataset.every(3)
    assert (len(thin), thin.name) == (3, "human36m h36m.pkl, every 3")
    np.testing.assert_array_equal(
        [s.joints for s in thin.read()], [s.joints for s in samples[::3]]
    )


def test_the_papers_crop_follows_from_pelvis_and_camera(tmp_path, labels):
    dataset = human36m([write(tmp_path / "h36m.pkl", labels)], None)
    for sample in dataset.read():
        expected = metric_crop(sample.joints[0], sample.K)
        np.testing.assert_allclose(sample.crop_from_image, expected, rtol=1e-3)


def test_a_lost_image_is_named(tmp_path, labels):
    path = write(tmp_path / "h36m.pkl", labels)
    first = tmp_path / labels[0]["image"]
    first.parent.mkdir()
    first.write_bytes(b"no image")
    with pytest.raises(FileNotFoundError, match=r"ca_01_000001\.jpg, or none that can be read"):
        read_image(next(human36m([path], tmp_path).read()))
