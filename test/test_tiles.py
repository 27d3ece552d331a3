# People who are too small for the detector in the whole image.
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.geometry import project
from pandapose_ros.people.detector import Detection
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.region import Region
from pandapose_ros.people.tiles import TILE_SCORE, Tile, tiles_of, without_parts
from pandapose_ros.tools import main

SHARE, PLACES = 0.35, ((600, 250), (940, 330))  # of the walker's image, twice in a large one


@pytest.fixture(scope="module")
def street(walker):
    """A wall of 1280x720 and two people before it who are a tenth of its height."""
    small = cv2.resize(walker, None, fx=SHARE, fy=SHARE, interpolation=cv2.INTER_AREA)
    image = np.full((720, 1280, 3), walker[0, 0], np.uint8)
    height, width = small.shape[:2]
    for left, top in PLACES:
        image[top : top + height, left : left + width] = small
    return image


@pytest.fixture(scope="module")
def hips():
    """Where those two have their hips, pixels."""
    demo = walk_of_the_demo()
    pelvis = project(demo["joints"][0, :1], demo["K"])[0]
    return [(pelvis + 0.5) * SHARE - 0.5 + place for place in PLACES]


def are_seen(people, hips):
    """Whether each pair of hips is that of one of the people."""
    return len(people) == len(hips) and all(
        min(np.linalg.norm(person.keypoints[0] - place) for person in people) < 8 for place in hips
    )


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (480, 640), (448, 448), (2000, 100)])
def test_squares_of_each_size_cover_the_image_twice_but_for_its_border(size):
    sides = {tile.side for tile in tiles_of(size)}
    assert len(sides) == (1 if size[0] == size[1] else 2)
    for side in sides:
        seen = np.zeros(size[::-1], int)
        for left, top, length in tiles_of(size):
            assert (left >= 0) and (top >= 0)
            assert (left + length <= size[0]) and (top + length <= size[1])
            seen[top : top + length, left : left + length] += length == side
        assert seen.min() > 0
        longer = seen.max(axis=0) if size[0] >= size[1] else seen.max(axis=1)
        assert (longer[side // 2 + 1 : -side // 2 - 1] >= 2).all()


def test_an_image_of_one_pixel_has_no_squares():
    assert tiles_of((1, 1)) == []


def test_the_detector_finds_people_in_squares_where_they_are(detector, street, hips):
    assert detector.detect(street, 0.5) == []
    found = detector.detect(street, 0.5, tiles_of((1280, 720)))
    for place in hips:
        nearest = min(found, key=lambda each: np.linalg.norm(each.region.centre - place))
        assert np.linalg.norm(nearest.region.centre - place) < 0.15 * nearest.region.size
        assert (nearest.box_xyxy[:2] > place - 150).all()
        assert (nearest.box_xyxy[2:] < place + 150).all()
        assert nearest.score >= TILE_SCORE
        assert nearest.is_enlarged


def test_in_squares_only_what_is_sure_is_found_best_first(detector, street):
    assert detector.detect(street, 0.01)
    found = detector.detect(street, 0.01, tiles_of((1280, 720)), whole=False)
    assert len(found) >= 2
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] >= TILE_SCORE
    assert all(each.is_enlarged for each in found)


def test_whoever_the_whole_image_shows_is_not_found_twice(detector, walker):
    (person,) = detector.detect(walker, 0.5)
    found = detector.detect(walker, 0.5, [Tile(80, 0, 480)])
    assert len(found) == 1
    assert found[0].region == person.region


@pytest.mark.parametrize("background", [False, True])
def test_squares_take_turns_until_everybody_is_followed(
    detector, landmark_net, street, hips, background
):
    config = EstimatorConfig(
        detection_tiles=6, detection_interval=1, background_detection=background
    )
    tracker = PeopleTracker(detector, landmark_net, config)
    # Eighteen squares; in the background each look is made use of one image later.
    people = [tracker.find(street) for _ in range(3 + background)][-1]
    assert are_seen(people, hips)


@pytest.fixture
def looks(detector, monkeypatch):
    """How many squares the detector looks at each time, and whether at the whole image too."""
    noted = []
    detect = type(detector).detect

    def note(self, image, score, tiles=(), *, whole=True):
        noted.append((len(tiles), whole))
        return detect(self, image, score, tiles, whole=whole)

    monkeypatch.setattr(type(detector), "detect", note)
    return noted


def test_after_a_newcomer_all_squares_are_looked_at_once_then_rarely(
    detector, landmark_net, walker, looks
):
    config = EstimatorConfig(detection_interval=4, max_people=2)
    tracker = PeopleTracker(detector, landmark_net, config)
    seen = []
    for _ in range(28):
        (_,) = tracker.find(walker)
        seen.append(looks[:])
        looks.clear()
    whole, square, none = [(0, True)], [(1, False)], []
    # Nobody was known before the first image; none of the others waits for both.
    assert seen[0] == [(1, True)]
    busy = [square, square, square, whole] * 4 + [square, square]
    assert sum(look == square for look in busy) == len(tiles_of((640, 480)))
    assert seen[1:19] == busy
    assert seen[19:] == [none, whole, none, square, none, whole, none, square, none]


def test_a_detector_that_looks_at_every_image_looks_at_squares_too(
    detector, landmark_net, walker, looks
):
    config = EstimatorConfig(detection_interval=1, max_people=2)
    tracker = PeopleTracker(detector, landmark_net, config)
    for _ in range(3):
        tracker.find(walker)
    assert looks == [(1, True)] * 3


def test_without_squares_small_people_are_not_seen(detector, landmark_net, street):
    tracker = PeopleTracker(detector, landmark_net, EstimatorConfig(detection_tiles=0))
    assert not any(tracker.find(street) for _ in range(20))


def test_a_foot_is_not_one_person_more(detector, landmark_net, walker):
    tracker = PeopleTracker(detector, landmark_net, EstimatorConfig())
    (person,) = tracker.find(walker)

    def at(joint, share):
        centre = tuple(person.keypoints[joint].tolist())
        return replace(person, next_region=Region(centre, share * person.next_region.size, 0.0))

    foot, child = at(3, 0.2), at(3, 0.6)
    away = replace(foot, next_region=replace(foot.next_region, centre=(5.0, 5.0)))
    assert without_parts([foot, child, away], [person, foot, child, away]) == [child, away]


@pytest.mark.parametrize("is_enlarged", [False, True])
def test_a_child_before_an_adult_is_left_out_in_squares_only(
    detector, landmark_net, walker, monkeypatch, is_enlarged
):
    (adult,) = PeopleTracker(detector, landmark_net, EstimatorConfig()).find(walker)
    share, (u, v) = 0.4, adult.region.centre
    small = cv2.resize(walker, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    du, dv = (round(each * share) for each in (u, v))
    cut = small[dv - 50 : dv + 50, du - 25 : du + 25]
    image = walker.copy()
    image[round(v) - 40 : round(v) + 60, round(u) - 25 : round(u) + 25] = cut
    region = replace(adult.region, centre=(u, v + 10), size=share * adult.region.size)
    found = [
        Detection(adult.region, np.zeros(4), 0.9),
        Detection(region, np.zeros(4), 0.8, is_enlarged=is_enlarged),
    ]
    monkeypatch.setattr(type(detector), "detect", lambda *_, **__: found)
    people = PeopleTracker(detector, landmark_net, EstimatorConfig()).find(image)
    assert len(people) == (1 if is_enlarged else 2)


def test_pictures_are_looked_at_in_squares_unless_told_not_to(tmp_path, street):
    cv2.imwrite(str(tmp_path / "street.png"), np.ascontiguousarray(street[..., ::-1]))
    for options, people in (([], 2), (["--tiles", "0"], 0)):
        out = tmp_path / f"out{people}"
        arguments = [str(tmp_path / "street.png"), "--out", str(out), *options]
        assert main.main(["estimate", *arguments]) == 0
        (record,) = json.loads((out / "poses.json").read_text())
        assert len(record["people"]) == people
