# Who is taken in beside those who are followed already.
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import backdrop, clip_frames, side_by_side

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.detector import Detection
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.region import Region
from pandapose_ros.people.sides import Followed

NOBODY = np.empty((0, 4))
WALL = Region((40.0, 60.0), 60.0, 0.0)


class Net:
    """The landmark net; tells how many crops it has looked at."""

    def __init__(self, net):
        self.net, self.device, self.crops = net, net.device, []

    def __call__(self, crops):
        self.crops.append(len(crops))
        return self.net(crops)


@pytest.fixture
def net(landmark_net):
    return Net(landmark_net)


@pytest.fixture
def track(detector, net):
    return lambda **options: PeopleTracker(detector, net, EstimatorConfig(**options))


@pytest.fixture
def taken_for_people(detector, monkeypatch):
    """Let the detector find what is no newcomer, and be surer of it than of people."""

    def insert(*regions):
        detect = type(detector).detect
        false = [Detection(region, np.zeros(4), 0.99) for region in regions]
        monkeypatch.setattr(type(detector), "detect", lambda *args, **_: [*false, *detect(*args)])

    return insert


@pytest.fixture(scope="module")
def pair(detector, landmark_net, walker):
    """An image of two people, and of the left one alone."""
    (person,) = PeopleTracker(detector, landmark_net, EstimatorConfig()).find(walker)
    middle, quarter = int(person.region.centre[0]), walker.shape[1] // 4
    half = walker[:, max(middle - quarter, 0) : middle + quarter]
    return side_by_side(half, half), side_by_side(half, backdrop(half))


def test_a_coat_rack_hides_nobody(track, walker, taken_for_people):
    (expected,) = track().find(walker)
    taken_for_people(WALL)
    (person,) = track(max_people=1).find(walker)
    np.testing.assert_allclose(person.keypoints, expected.keypoints, atol=0.1)


def test_a_second_look_at_somebody_followed_takes_nobodys_place(track, pair, taken_for_people):
    both, alone = pair
    tracker = track(max_people=2, detection_interval=1)
    (first,) = tracker.find(alone)
    region = first.next_region
    aside = (region.centre[0] + 0.12 * region.size, region.centre[1])
    taken_for_people(replace(region, centre=aside))
    assert len(tracker.find(both)) == 2


@pytest.mark.parametrize("changes", [{"score": 0.3}, {"is_enlarged": True}])
def test_who_is_surely_detected_in_the_whole_image_comes_first(
    track, detector, pair, monkeypatch, changes
):
    both, _ = pair
    regions = sorted((person.region for person in track().find(both)), key=lambda r: r.centre[0])
    left, right = (Detection(region, np.zeros(4), 0.9) for region in regions)
    for found, seen in (
        ([left, replace(right, **changes)], 0),
        ([replace(left, **changes), right], 1),
    ):
        monkeypatch.setattr(type(detector), "detect", lambda *_, found=found, **__: found)
        (person,) = track(max_people=1).find(both)
        assert (person.keypoints[0, 0] > both.shape[1] / 2) == seen


def test_nobody_unsure_comes_where_somebody_followed_is_not_seen(
    track, detector, pair, monkeypatch
):
    both, _ = pair
    left, right = sorted(track().find(both), key=lambda person: person.region.centre[0])
    unsure = [Detection(right.region, np.zeros(4), 0.3)]
    monkeypatch.setattr(type(detector), "detect", lambda *_, **__: unsure)
    unseen = Region(right.next_region.centre, 20.0, 0.0)
    for gone, count in (([], 2), ([unseen], 1)):
        tracker = track(detection_interval=1)
        tracker.find(both, boxes=NOBODY)
        tracker.follow([Followed(region) for region in (left.next_region, *gone)])
        assert len(tracker.find(both)) == count


def test_not_everything_that_may_be_somebody_is_looked_at(track, net, walker, taken_for_people):
    taken_for_people(*(replace(WALL, centre=(40.0 + i, 60.0)) for i in range(30)))
    assert track(max_people=2).find(walker) == []
    assert max(net.crops) <= 2
    assert sum(net.crops) <= 6


def test_background_looks_at_every_image_find_newcomers(track, detector, pair, monkeypatch):
    detect, detector.runs = type(detector).detect, 0

    def slow(self, *args, **options):
        time.sleep(0.2)
        return detect(self, *args, **options)

    monkeypatch.setattr(type(detector), "detect", slow)
    both, alone = pair
    tracker = track(detection_interval=1, background_detection=True)
    images = [alone, both, both, both, both, both]
    assert [len(tracker.find(image)) for image in images] == [1, 1, 2, 2, 2, 2]
    # Each image but the first begins a look and waits for the one before.
    assert detector.runs >= len(images) - 1


def test_what_the_detector_had_begun_is_void_where_boxes_are_given(track, pair):
    both, alone = pair
    tracker = track(detection_interval=1, background_detection=True)
    found = [len(tracker.find(image)) for image in (alone, both)]
    found.append(len(tracker.find(both, boxes=NOBODY)))
    found += [len(tracker.find(both)) for _ in range(2)]
    assert found == [1, 1, 1, 1, 2]


def test_not_every_box_is_looked_at(track, net, blank):
    boxes = np.array([[left, 40.0, left + 40, 80] for left in range(0, 300, 10)])
    assert track(max_people=2).find(blank, boxes=boxes) == []
    assert max(net.crops) <= 2 * 6  # in two places each


@pytest.fixture(scope="module")
def far_away():
    """Somebody so small in the image that the detector is unsure."""
    frame = clip_frames(21)[-1]
    small = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    below, right = (
        whole - part for whole, part in zip(frame.shape, small.shape[:2], strict=False)
    )
    return cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)


def test_who_is_hardly_detected_is_found_if_the_landmark_net_is_sure(track, detector, far_away):
    (detection,) = detector.detect(far_away, 0.1)
    assert detection.score < 0.45
    options = {"detection_tiles": 0, "detection_score": detection.score - 0.02}
    (person,) = track(**options).find(far_away)
    assert person.score > 0.99
    assert track(**options, newcomer_score=1.0).find(far_away) == []
    assert track(detection_tiles=0, detection_score=0.5).find(far_away) == []


def test_who_is_hardly_detected_must_be_upright(track, detector, walker, monkeypatch):
    lying = np.ascontiguousarray(np.rot90(walker, -1))
    found = detector.detect(lying, 0.5)
    for score, count in ((0.6, 1), (0.3, 0)):
        unsure = [replace(detection, score=score) for detection in found]
        monkeypatch.setattr(type(detector), "detect", lambda *_, unsure=unsure, **__: unsure)
        assert len(track(detection_tiles=0).find(lying)) == count
