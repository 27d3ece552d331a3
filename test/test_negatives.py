from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import clip_frames, write_clip_images

from pandapose_ros.config import LandmarkTrainConfig, SkeletonSampleConfig
from pandapose_ros.data.landmark_crops import LandmarkCropSource, cut_off
from pandapose_ros.data.picture_crops import Picture, read_pictures, with_places
from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector

SMALL = LandmarkTrainConfig(batch=4)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_clip_images(tmp_path_factory.mktemp("images"))


def source(images, pictures=(), **changes):
    config = replace(SMALL, **changes)
    return LandmarkCropSource(images, config, SkeletonSampleConfig(), pictures)


def test_pictures_without_people_show_nobody_too(images, tmp_path):
    with pytest.raises(FileNotFoundError, match="no pictures"):
        read_pictures(tmp_path)
    picture = np.zeros((900, 1500, 3), np.uint8)
    picture[..., 1] = 255  # green, which nothing in the clip is
    cv2.imwrite(str(tmp_path / "green.png"), picture)
    pictures = read_pictures(tmp_path)
    assert pictures[0].image.shape == (384, 640, 3)
    batch = source(images, pictures, batch=24, background=1.0).batch(0)
    middle = batch.crops[:, :, 100:156, 100:156].mean(dim=(2, 3))
    is_green = middle[:, 1] > 3 * middle[:, 0].clamp(min=0.1)
    assert 12 <= is_green.sum() <= 23
    assert (batch.shows_person[is_green] == 0).all()


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_damaged_picture_is_named(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.jpg is no picture, or damaged"):
        read_pictures(tmp_path)


def test_places_where_somebody_is_seen_are_shown_most(landmark_net):
    seen = Picture(clip_frames(1)[0])
    plain = Picture(np.full((480, 640, 3), 90, np.uint8))
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), 1)
    seen, plain = with_places([seen, plain], detector, landmark_net)
    assert plain.places == ()
    first = seen.places[-1]
    rng = np.random.default_rng(0)
    drawn = [seen.draw(rng) for _ in range(100)]
    near = [
        np.hypot(*np.subtract(place.centre, first.centre)) < 0.15 * first.size for place in drawn
    ]
    assert 60 <= sum(near) < 95  # the others are anywhere
    assert len({place.centre for place in drawn}) == 100


def test_an_edge_leaves_some_joints(images):
    keypoints = np.random.default_rng(0).uniform(40, 215, (17, 2))
    white = np.full((256, 256, 3), 255, np.uint8)
    sides = np.zeros(4, int)
    for seed in range(60):
        cut = cut_off(white, keypoints, np.random.default_rng(seed))
        kept = cut[..., 0] > 0
        columns, rows = keypoints.astype(int).T
        assert kept[rows, columns].sum() >= 6
        edges = [kept[-1], kept[:, -1], kept[:, 0], kept[0]]
        sides += [not edge.any() for edge in edges]
        assert sum(not edge.any() for edge in edges) == 1
    assert sides.argmax() == 0
    assert sides.min() > 0
    assert white.min() == 255
    away = np.add(keypoints, (0, 150))  # most of the joints are below
    assert (cut_off(white, away, np.random.default_rng(1)) == 255).all()
    whole = source(images, background=0.0, misplaced=0.0, covered=0.0, cut=0.0).batch(0)
    part = source(images, background=0.0, misplaced=0.0, covered=0.0, cut=1.0).batch(0)
    black = [(batch.crops.amax(dim=1) == 0).float().mean() for batch in (whole, part)]
    assert black[1] > black[0] + 0.05
