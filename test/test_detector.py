import threading

import cv2
import numpy as np
import pytest
from clip_images import clip_frames
from followed_people import walk_of_the_demo

from pandapose_ros.geometry import project, transform_points
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.people.detector import PersonDetector, _merge


@pytest.fixture(scope="module")
def image():
    return clip_frames(1)[0]


@pytest.fixture(scope="module")
def truth_px():
    walk = walk_of_the_demo()
    return project(walk["joints"][0], walk["K"])


def test_the_region_stands_round_the_person(detector, image, truth_px):
    (person,) = detector.detect(image, 0.5)
    in_crop = transform_points(person.region.crop_from_image(256), truth_px)
    assert ((in_crop > 0) & (in_crop < 255)).all()
    hips, head = in_crop[0], in_crop[10]
    assert np.linalg.norm(hips - 127.5) < 0.08 * 256
    assert abs(head[0] - hips[0]) < 30
    assert head[1] < hips[1]
    nose = truth_px[9]
    assert (person.box_xyxy[:2] < nose).all()
    assert (person.box_xyxy[2:] > nose).all()
    assert 0.5 <= person.score <= 1


@pytest.mark.parametrize(("scale", "left", "top"), [(1.0, 150, 0), (1.0, 0, 90), (1.7, 0, 0)])
def test_the_region_moves_with_the_image(detector, image, scale, left, top):
    (person,) = detector.detect(image, 0.5)
    moved = cv2.copyMakeBorder(
        cv2.resize(image, None, fx=scale, fy=scale), top, 0, left, 0, cv2.BORDER_REPLICATE
    )
    best = detector.detect(moved, 0.5)[0]
    # Pixel centres: u' + 0.5 = scale (u + 0.5), then the border.
    expected = (np.array(person.region.centre) + 0.5) * scale - 0.5 + (left, top)
    tolerance = 0.04 * person.region.size * scale
    np.testing.assert_allclose(best.region.centre, expected, atol=tolerance)
    assert best.region.size == pytest.approx(person.region.size * scale, rel=0.1)


def test_a_person_lying_gives_a_turned_region(detector, image):
    (upright,) = detector.detect(image, 0.5)
    lying = detector.detect(np.ascontiguousarray(np.rot90(image, -1)), 0.3)[0]
    turn = (lying.region.angle - upright.region.angle) % (2 * np.pi)
    assert turn == pytest.approx(np.pi / 2, abs=0.3)


def test_two_people_are_two_detections_best_first(detector, image):
    pair = np.concatenate((image, image[:, ::-1]), axis=1)
    found = detector.detect(pair, 0.3)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    centres = sorted(person.region.centre[0] for person in found)
    assert centres[0] < image.shape[1] < centres[1]


def test_the_score_is_a_lower_limit(detector, image):
    (person,) = detector.detect(image, 0.5)
    assert detector.detect(image, min(person.score + 0.001, 1.0)) == []


def test_what_is_unsure_does_not_change_what_is_sure(detector, image):
    (sure,) = detector.detect(image, 0.5)
    assert detector.detect(image, 0.01)[0].region == sure.region


def test_what_overlaps_counts_by_its_score():
    points = np.array([[[0.0, 0], [10, 10]] + [[5, 5]] * 4] * 2)
    points[1] += 1
    ((person, score),) = _merge(points, np.array([0.9, 0.6]))
    np.testing.assert_allclose(person, points[0] + 0.4)
    assert score == 0.9


def test_boxes_that_are_empty_are_people_too():
    assert len(_merge(np.zeros((2, 6, 2)), np.array([0.9, 0.8]))) == 2


def test_an_image_may_change_when_a_look_at_it_has_begun(detector, image, monkeypatch):
    detect, has_changed = type(detector).detect, threading.Event()

    def late(*args, **options):
        assert has_changed.wait(60)
        return detect(*args, **options)

    (expected,) = detector.detect(image, 0.5)
    monkeypatch.setattr(type(detector), "detect", late)
    changing = image.copy()
    begun = detector.start(changing, 0.5)
    changing[:] = 0
    has_changed.set()
    (person,) = begun.result()
    assert person.region == expected.region


def test_nobody_is_found_where_nobody_is(detector):
    assert detector.detect(np.full((240, 320, 3), 127, np.uint8), 0.5) == []


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 4000), (4000, 1), (3, 2)])
def test_odd_sizes_are_no_error(detector, size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert detector.detect(image, 0.9) == []


def test_any_view_is_read_and_none_written(detector, image):
    (expected,) = detector.detect(image, 0.5)
    bgr = image[..., ::-1].copy()
    bgr.flags.writeable = False
    before = bgr.copy()
    (person,) = detector.detect(bgr[..., ::-1], 0.5)
    assert person.region == expected.region
    np.testing.assert_array_equal(bgr, before)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="another network"):
        PersonDetector(find_model_file(LANDMARK_NET), threads=1)
