# Who is the one that an image is of, where somebody else is in it too.
import json
import shutil

import numpy as np
import pytest
from clip_images import walkers, write_chunk

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.data.dataset import synthetic_images
from pandapose_ros.data.rendered_images import OPTIONS_FILE, RenderedImage, mirrored
from pandapose_ros.evaluation.kept_views import views_folder
from pandapose_ros.evaluation.views import KeypointSource, Viewer
from pandapose_ros.geometry import project
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.subject import find_subject
from pandapose_ros.tools import main

SIZE = (360, 240)  # rows, columns of the strip round one person


def moved(item, left, top):
    """Return an image and its truth in pixels of a picture that begins elsewhere."""
    K = item.K.copy()
    K[:2, 2] -= (left, top)
    return K


def two_people():
    """Return three images of two people: of the left, of the right, of one who cannot be seen."""
    walker = walkers(20)[1]
    pelvis = project(walker.joints, walker.K)[0]
    left, top = int(pelvis[0]) - SIZE[1] // 2, 100
    strip = walker.image[top : top + SIZE[0], left : left + SIZE[1]]
    alone = RenderedImage(strip, walker.joints, moved(walker, left, top))
    twin = mirrored(alone)
    both = np.concatenate((alone.image, twin.image), axis=1)
    hidden = both.copy()
    hidden[:, : SIZE[1]] = 90
    return [
        RenderedImage(both, alone.joints, alone.K),
        RenderedImage(both, twin.joints, moved(twin, -SIZE[1], 0)),
        RenderedImage(hidden, alone.joints, alone.K),
    ]


@pytest.fixture
def folder(tmp_path):
    write_chunk(tmp_path / "images" / "chunk_0000.npz", two_people())
    return tmp_path / "images"


def tell_of_bystanders(folder, share):
    (folder / OPTIONS_FILE).write_text(json.dumps({"bystanders": share}))


def test_whom_an_image_is_of_is_scored_and_not_a_bystander(folder, detector, landmark_net):
    found = {}
    for share in (0.0, 0.3):
        tell_of_bystanders(folder, share)
        dataset = synthetic_images([folder])
        config = EstimatorConfig(max_people=dataset.max_people)
        tracker = PeopleTracker(detector, landmark_net, config)
        viewer = Viewer(
            ModelConfig(), landmark_net, tracker, KeypointSource.DETECTED, mirrored=False
        )
        (views,) = viewer.look(dataset, 8)
        errors = np.linalg.norm(views.keypoints_px - views.true_keypoints_px, axis=-1).mean(axis=1)
        found[share] = dict(zip(views.indices.tolist(), errors, strict=True))
    assert found[0.3].keys() == {0, 1}
    assert max(found[0.3].values()) < 15
    # Told that people are alone, whoever is detected is taken for them.
    assert found[0.0].keys() == {0, 1, 2}
    assert min(found[0.0][2], max(found[0.0][0], found[0.0][1])) > 200


def test_covariances_are_not_fitted_to_bystanders(folder, tmp_path, capsys):
    write_chunk(folder / "chunk_0001.npz", two_people())
    weights = tmp_path / "w.safetensors"
    shutil.copy(find_weights("default"), weights)
    options = ["calibrate", "--images", str(folder), "--weights", str(weights), "--threads", "1"]
    for share, people in ((0.3, 4), (0.0, 6)):
        tell_of_bystanders(folder, share)
        assert main.main(options) == 0
        assert f"{people} people: share of errors" in capsys.readouterr().out


def test_folders_that_do_not_tell_are_of_people_alone(folder, tmp_path):
    before = synthetic_images([folder])
    tell_of_bystanders(folder, 0.3)
    after = synthetic_images([folder])
    assert (before.max_people, after.max_people) == (1, 2)
    about = (ModelConfig(), KeypointSource.DETECTED, "")
    kept = {views_folder(tmp_path, data, *about, mirrored=False) for data in (before, after)}
    assert len(kept) == 2


def test_people_alone_count_however_badly_they_are_seen(walker, detector, landmark_net):
    tracker = PeopleTracker(detector, landmark_net, EstimatorConfig(max_people=1))
    (person,) = tracker.find(walker)
    height = np.ptp(person.keypoints, axis=0).max()
    for share, is_found in ((0.4, True), (0.6, False)):
        truth = person.keypoints + np.array((share * height, 0))
        truth[3] = np.nan
        assert find_subject([person], truth, with_others=False) is person
        assert (find_subject([person], truth, with_others=True) is person) == is_found
    assert find_subject([], person.keypoints, with_others=False) is None
