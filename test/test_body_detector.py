"""Boxes round whole bodies, of the second detector."""

from concurrent.futures import Future

import cv2
import numpy as np
import pytest
from clip_images import backdrop, clip_frames, halved, side_by_side
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.geometry import project
from pandapose_ros.model_files import BODY_DETECTOR, LANDMARK_NET, find_model_file
from pandapose_ros.people.body_detector import BodyDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.searching import Searcher
from pandapose_ros.people.tiles import tiles_of

SCORE = EstimatorConfig().body_score


@pytest.fixture(scope="module")
def bodies():
    return BodyDetector(find_model_file(BODY_DETECTOR), threads=1)


@pytest.fixture(scope="module")
def joints_px():
    demo = walk_of_the_demo()
    return project(demo["joints"][0], demo["K"])


@pytest.fixture(scope="module")
def halves():
    """Two images of the walker, half as wide."""
    images = halved(clip_frames(9))
    return images[0], images[8]


def overlap(first, second):
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.clip(high - low, 0, None).prod()
    areas = [(box[2:] - box[:2]).prod() for box in (first, second)]
    return shared / (sum(areas) - shared)


def test_the_box_stands_round_the_body(bodies, walker, joints_px):
    (box,) = bodies.detect(walker, SCORE)
    # The body is larger than its joints.
    assert ((box[:2] < joints_px) & (joints_px < box[2:])).all()
    body = np.concatenate((joints_px.min(axis=0), joints_px.max(axis=0)))
    assert (np.abs(box - body) < 0.15 * (body[3] - body[1])).all()


@pytest.mark.parametrize(("scale", "left", "top"), [(1.0, 150, 0), (1.0, 0, 90), (1.7, 0, 0)])
def test_the_box_moves_with_the_image(bodies, walker, scale, left, top):
    (box,) = bodies.detect(walker, SCORE)
    moved = cv2.copyMakeBorder(
        cv2.resize(walker, None, fx=scale, fy=scale), top, 0, left, 0, cv2.BORDER_REPLICATE
    )
    found = bodies.detect(moved, SCORE)[0]
    assert overlap(found, box * scale + np.array((left, top, left, top))) > 0.8


def test_two_people_have_a_box_each_the_best_first(bodies, halves):
    pair = side_by_side(*halves)
    found = bodies.detect(pair, SCORE)
    assert sorted((found[:, [0, 2]].mean(axis=1) > 320).tolist()) == [False, True]
    counts = []
    for score in np.arange(SCORE, 0.9, 0.02):
        sure = bodies.detect(pair, score)
        assert np.array_equal(sure, found[: len(sure)])
        counts.append(len(sure))
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {0, 1, 2}


def test_boxes_are_inside_the_image_and_none_is_empty(bodies, walker, joints_px):
    cut = walker[:, int(joints_px[0, 0]) :]
    found = bodies.detect(np.ascontiguousarray(cut), 0.05)
    assert len(found) > 1
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= np.subtract(cut.shape[1::-1], 1)[None]).all()
    assert (found[:, 2:] > found[:, :2]).all()


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (1, 1, 3), (1, 4000, 3), (300, 2, 3)])
def test_images_without_anybody_give_no_boxes(bodies, shape):
    assert bodies.detect(np.zeros(shape, np.uint8), SCORE).shape == (0, 4)


def test_in_the_background_the_image_may_change(bodies, walker):
    image = walker.copy()
    begun = bodies.start(image, SCORE)
    image[:] = 0
    assert np.array_equal(begun.result(), bodies.detect(walker, SCORE))


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="is another network: expected outputs"):
        BodyDetector(find_model_file(LANDMARK_NET), threads=1)


class Blind:
    """A person detector that finds nobody; notes what it looks at."""

    def __init__(self):
        self.looks = []

    def start(self, image, score, tiles=(), *, whole=True):
        begun = Future()
        begun.set_result(self.detect(image, score, tiles, whole=whole))
        return begun

    def detect(self, image, score, tiles=(), *, whole=True):
        self.looks.append("whole" * whole + "+" * (whole and bool(tiles)) + "tile" * len(tiles))
        return []


class Watched:
    """The body detector; notes when it looks."""

    def __init__(self, bodies, looks):
        self._bodies, self._looks = bodies, looks

    def detect(self, image, score):
        self._looks.append("bodies")
        return self._bodies.detect(image, score)


def looks_of(bodies, config, counts, image):
    """What is looked at in each image, by how many people are seen in each."""
    detector = Blind()
    searcher = Searcher(detector, Watched(bodies, detector.looks))
    known, noted = 0, []
    for seen in counts:
        searcher.search(image, config, seen, known)
        noted.append(" ".join(detector.looks))
        detector.looks.clear()
        known = seen
    return noted


def test_while_people_are_followed_no_image_waits_for_two_detectors(bodies, walker):
    config = EstimatorConfig(detection_interval=8)
    looks = looks_of(bodies, config, [1] * 17, walker)
    assert looks[0] == "whole+tile bodies"
    assert looks[1:9] == ["", "bodies", "", "tile", "", "", "", "whole"]
    assert looks[9:] == looks[1:9]


def test_while_nobody_is_followed_the_detectors_take_turns(bodies, walker):
    looks = looks_of(bodies, EstimatorConfig(), [0] * 5, walker)
    first, turns = "whole+tile bodies", ["tile bodies", "whole+tile"]
    assert looks == [first, *turns, *turns]


def test_who_was_lost_is_looked_for_by_both(bodies, walker):
    looks = looks_of(bodies, EstimatorConfig(), [2, 2, 1, 1], walker)
    assert looks[1:] == ["", "whole+tile bodies", "bodies"]


def test_after_a_loss_the_detectors_look_more_often(bodies, walker):
    config = EstimatorConfig(detection_interval=8, detection_tiles=0)
    usual = looks_of(bodies, config, [2] * 17, walker)
    assert usual[1:9] == usual[9:] == ["", "bodies", "", "", "", "", "", "whole"]
    looks = looks_of(bodies, config, [2] + [1] * 25, walker)
    assert looks[1] == "whole bodies"  # the one who was lost is looked for at once
    assert looks[2:18] == ["bodies", "whole"] * 8
    assert looks[18:] == usual[1:9]


def test_nobody_is_looked_for_while_there_is_no_room(bodies, walker):
    config = EstimatorConfig(max_people=2, detection_interval=1)
    assert looks_of(bodies, config, [2] * 3, walker) == [""] * 3


def test_the_body_detector_can_be_switched_off(bodies, walker):
    config = EstimatorConfig(body_score=1.0)
    looks = looks_of(bodies, config, [0] * 3 + [1] * 16, walker)
    assert looks[:3] == ["whole+tile"] * 3
    assert not any("bodies" in look for look in looks)
    assert "tile" in looks


def test_after_a_newcomer_every_square_is_looked_at(bodies, walker):
    detector = Blind()
    searcher = Searcher(detector, None)
    searcher.search(walker, EstimatorConfig(), 1, 0)
    searcher.look_at_all_tiles((640, 480))
    for _ in range(len(tiles_of((640, 480)))):
        searcher.search(walker, EstimatorConfig(), 1, 1)
    assert detector.looks == ["whole+tile"] + ["tile"] * len(tiles_of((640, 480)))


@pytest.fixture
def track(landmark_net, bodies):
    """A tracker whose person detector sees nobody."""

    def start(**options):
        config = EstimatorConfig(detection_tiles=0, **options)
        return PeopleTracker(Blind(), landmark_net, config, bodies)

    return start


@pytest.mark.parametrize("background", [False, True])
def test_a_body_leads_to_a_person_who_is_then_followed(track, walker, joints_px, background):
    tracker = track(background_detection=background)
    for image in (walker, *clip_frames(6)[1:]):
        (person,) = tracker.find(image)
    (person,) = tracker.find(walker)
    assert np.linalg.norm(person.keypoints - joints_px, axis=1).mean() < 12


@pytest.mark.parametrize("background", [False, True])
def test_a_second_body_is_found_beside_one_who_is_followed(track, halves, background):
    tracker = track(detection_interval=4, background_detection=background)
    alone, both = side_by_side(halves[0], backdrop(halves[0])), side_by_side(*halves)
    assert len(tracker.find(alone)) == 1
    counts = [len(tracker.find(both)) for _ in range(4)]
    assert counts == ([1, 2, 2, 2] if background else [2, 2, 2, 2])


def test_a_body_without_a_pose_is_nobody(landmark_net, walker):
    class Posters:
        def detect(self, image, score):
            return np.array([[20.0, 30.0, 90.0, 200.0], [500.0, 40.0, 600.0, 300.0]])

    config = EstimatorConfig(detection_tiles=0)
    tracker = PeopleTracker(Blind(), landmark_net, config, Posters())
    assert tracker.find(backdrop(walker)) == []
