from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.data.dataset import Dataset, Sample, rendered_clips
from pandapose_ros.detector import PersonDetector
from pandapose_ros.evaluation import pose_scores
from pandapose_ros.evaluation.kept_views import keep_views, views_folder
from pandapose_ros.evaluation.views import KeypointSource, Viewer
from pandapose_ros.geometry import project
from pandapose_ros.lens import Distortion, distort_pixels
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model_files import find_model_file
from pandapose_ros.people import PeopleTracker

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"
DISTORTION = Distortion(np.array((-0.2, 0.24, -0.0009, -0.0016, -0.001)))


@pytest.fixture(scope="module")
def landmark_net():
    return BlazePose(find_model_file("pose_landmark_full.tflite").read_bytes())


@pytest.fixture(scope="module")
def tracker(landmark_net):
    detector = PersonDetector(find_model_file("pose_detection.tflite"), 1)
    return PeopleTracker(detector, landmark_net, EstimatorConfig(max_people=1))


@pytest.fixture(scope="module")
def samples():
    return list(islice(rendered_clips([CLIP]).read(), 2))


def dataset(*samples, **changes):
    names = ("walk",) * len(samples)
    return Dataset("test", names, names, lambda: iter(samples), **changes)


def without_image(sample, **changes):
    return Sample(**vars(sample) | {"image": None} | changes)


def test_people_are_found_and_seen_in_the_crops_axes(landmark_net, tracker, samples):
    black = Sample(**vars(samples[0]) | {"image": np.zeros_like(samples[0].image)})
    data = dataset(samples[0], black, samples[1], successive=True)
    viewer = Viewer(ModelConfig(), landmark_net, tracker, KeypointSource.DETECTED, mirrored=True)
    (views,) = viewer.look(data, 3)
    assert views.indices.tolist() == [0, 2]
    # BlazePose's own 3D beside the truth: a wrong rotation or mirror would show.
    assert pose_scores(views.world_landmarks, views.joints)["mpjpe_mm"] < 150
    assert np.linalg.norm(views.keypoints - views.true_keypoints, axis=2).mean() < 12
    np.testing.assert_allclose(
        views.true_keypoints_px[1], project(samples[1].joints, samples[1].K), atol=1e-3
    )
    # The crop's camera looks straight at the person: x and u, y and v go together.
    for axis in range(2):
        pair = views.joints[..., axis].ravel(), views.true_keypoints[..., axis].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.97
    assert [tuple(level.shape) for level in views.features] == [
        (2, 48, 64, 64),
        (2, 48, 32, 32),
        (2, 48, 16, 16),
    ]
    assert not torch.allclose(views.features[0], views.mirrored_features[0], atol=1e-2)


def test_without_images_true_keypoints_are_lifted(landmark_net, samples):
    data = dataset(without_image(samples[0]))
    viewer = Viewer(ModelConfig(), landmark_net, None, KeypointSource.TRUE, mirrored=False)
    (views,) = viewer.look(data, 4)
    assert views.features is None
    np.testing.assert_array_equal(views.keypoints, views.true_keypoints)
    assert (views.keypoints > 0).all()
    assert (views.keypoints < 255).all()
    detected = Viewer(ModelConfig(), landmark_net, None, KeypointSource.DETECTED, mirrored=False)
    with pytest.raises(ValueError, match="need images"):
        next(detected.look(data, 4))


def test_given_keypoints_are_brought_to_the_ideal_lens(landmark_net, samples):
    sample = samples[0]
    ideal = project(sample.joints, sample.K)
    real = distort_pixels(ideal, sample.K, DISTORTION)
    assert np.abs(real - ideal).max() > 0.5
    data = dataset(
        without_image(sample, distortion=DISTORTION, keypoints=real, true_keypoints=real)
    )
    viewer = Viewer(ModelConfig(), landmark_net, None, KeypointSource.GIVEN, mirrored=False)
    (views,) = viewer.look(data, 1)
    np.testing.assert_allclose(views.keypoints_px[0], ideal, atol=0.02)
    np.testing.assert_allclose(views.true_keypoints_px[0], ideal, atol=0.02)


def test_keypoints_that_are_missing_are_named(landmark_net, samples):
    viewer = Viewer(ModelConfig(), landmark_net, None, KeypointSource.GIVEN, mirrored=False)
    with pytest.raises(ValueError, match="no detected keypoints; take 'detected' or 'true'"):
        next(viewer.look(dataset(without_image(samples[0])), 1))
    lacking = samples[0].true_keypoints.copy()
    lacking[10] = np.nan
    with pytest.raises(ValueError, match=r"lack \['head'\]"):
        next(viewer.look(dataset(without_image(samples[0], keypoints=lacking)), 1))


def test_hrnet_looks_at_the_papers_crop(samples):
    torch.manual_seed(0)
    backbone = HRNet().eval()
    viewer = Viewer(ModelConfig.paper(), backbone, None, KeypointSource.TRUE, mirrored=False)
    (views,) = viewer.look(dataset(samples[0]), 1)
    assert [tuple(level.shape[1:]) for level in views.features] == [
        (32, 64, 48),
        (64, 32, 24),
        (128, 16, 12),
        (256, 8, 6),
    ]
    joints = samples[0].joints
    np.testing.assert_allclose(views.joints[0], joints - joints[0], atol=1e-6)
    # 95.5 pixels to the metre at the pelvis' depth, which lies 0.1 m above the middle.
    np.testing.assert_allclose(views.true_keypoints[0, 0], (95.5, 127.5 - 9.55), atol=0.2)


def test_other_people_in_the_image_are_not_taken_for_the_sample(landmark_net, tracker, samples):
    away = samples[0].joints + np.array((1.6, 0, 0))
    moved = Sample(
        samples[0].image, away, project(away, samples[0].K).astype(np.float32), samples[0].K
    )
    viewer = Viewer(ModelConfig(), landmark_net, tracker, KeypointSource.DETECTED, mirrored=False)
    assert list(viewer.look(dataset(moved, max_people=2), 1)) == [None]
    (views,) = viewer.look(dataset(moved), 1)
    assert views.indices.tolist() == [0]


def test_views_are_kept_and_made_anew_when_the_files_change(tmp_path, landmark_net, samples):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"first")
    data = dataset(without_image(samples[0]), without_image(samples[1]), files=(video,))
    viewer = Viewer(ModelConfig(), landmark_net, None, KeypointSource.TRUE, mirrored=False)

    def folder(**changes):
        told = {"config": ModelConfig(), "source": KeypointSource.TRUE, "mirrored": False}
        return views_folder(tmp_path, data, **told | changes)

    def refuse():
        raise AssertionError("made again")
        yield

    cpu = torch.device("cpu")
    made = list(keep_views(folder(), viewer.look(data, 1), cpu))
    kept = list(keep_views(folder(), refuse(), cpu))
    assert [v.indices.tolist() for v in made] == [v.indices.tolist() for v in kept] == [[0], [1]]
    np.testing.assert_array_equal(made[1].keypoints, kept[1].keypoints)
    assert kept[0].features is None
    assert folder(mirrored=True) != folder() != folder(source=KeypointSource.GIVEN)
    before = folder()
    video.write_bytes(b"another")
    assert folder() != before


def test_features_are_kept_alike(tmp_path, landmark_net, tracker, samples):
    viewer = Viewer(ModelConfig(), landmark_net, tracker, KeypointSource.DETECTED, mirrored=True)
    data, cpu = dataset(samples[0]), torch.device("cpu")
    (made,) = keep_views(tmp_path, viewer.look(data, 1), cpu)
    (kept,) = keep_views(tmp_path, iter(()), cpu)
    (direct,) = viewer.look(data, 1)
    for levels in ("features", "mirrored_features"):
        pairs = zip(getattr(made, levels), getattr(kept, levels), strict=True)
        assert all(torch.equal(first, second) for first, second in pairs)
        near = zip(getattr(kept, levels), getattr(direct, levels), strict=True)
        assert all(torch.allclose(a, b, rtol=2e-3, atol=2e-3) for a, b in near)
