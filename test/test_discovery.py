from dataclasses import replace

import numpy as np
import pytest
from clip_images import clip_frames

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.people.discovery import discover
from pandapose_ros.people.landmarks import Look, find_landmarks, search_together
from pandapose_ros.people.region import quarter_turns

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


@pytest.fixture(scope="module")
def net():
    config = EstimatorConfig(device="cpu", runtime="torch", threads=1)
    return PoseEstimator(config).networks.landmark_net


@pytest.fixture(scope="module")
def image():
    return clip_frames(1)[0]


@pytest.fixture(scope="module")
def person(net, image):
    """The person of the image, in the region that fits."""
    config = EstimatorConfig(device="cpu", runtime="torch", threads=1)
    found = PoseEstimator(config).detect(image)
    first = at(net, image, found[0].region)
    return at(net, image, first.next_region)


def at(net, image, region):
    (people,) = find_landmarks(net, [Look(image, K, [region], 0.5)])
    return people[0]


def turned(region, degrees):
    return replace(region, angle=region.angle + np.radians(degrees))


def played(answers, regions, **options):
    """What is looked at if these are the answers, and who is found."""
    search = discover(regions, list, **options)
    looks = [next(search)]
    for answer in answers:
        try:
            looks.append(search.send(answer))
        except StopIteration as end:
            return looks, end.value
    raise AssertionError("still looking")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_person_is_found_however_the_detector_turned_the_region(net, image, person, degrees):
    wrong = turned(person.region, degrees)
    search = discover([wrong], lambda regions: Look(image, K, regions, 0.5))
    ((found,),) = search_together(net, [search])
    off = np.linalg.norm(found.keypoints - person.keypoints, axis=1).mean()
    assert off < 0.01 * person.region.size
    assert found.turns.argmax() == 0


def test_who_fits_is_looked_at_twice(person):
    second = replace(person, region=person.next_region)
    looks, found = played([[person], [second]], [person.region])
    assert looks == [[person.region], [person.next_region]]
    assert found == [second]


def test_whose_region_moves_is_looked_at_again(person):
    elsewhere = replace(person.next_region, size=2 * person.next_region.size)
    second = replace(person, region=person.next_region, next_region=elsewhere)
    third = replace(person, region=elsewhere)
    looks, (found,) = played([[person], [second], [third]], [person.region])
    assert looks[2] == [elsewhere]
    assert found.region == elsewhere


@pytest.mark.parametrize("degrees", [25, 15, -25, 345])
def test_whose_region_turns_is_looked_at_again_and_stays_who_was_turned(person, degrees):
    aslant = turned(person.next_region, degrees)
    from_region = {"turned_from": person.region}
    second = replace(person, region=person.next_region, next_region=aslant, **from_region)
    answers = [[person], [second]] + [[replace(person, region=aslant)]] * (abs(degrees) == 25)
    looks, (found,) = played(answers, [person.region])
    assert len(looks) == len(answers)
    assert found.turned_from == person.region


def saying(person, turns, degrees=0):
    return replace(person, region=turned(person.region, degrees), turns=np.array(turns))


def test_who_may_be_turned_is_looked_at_from_all_sides(person):
    first = saying(person, [0.6, 0.0, 0.5, 0.0])
    sides = [
        saying(person, [0.3, 0.1, 0.3, 0.3], 90),
        saying(person, [0.9, 0.0, 0.1, 0.0], 180),
        saying(person, [0.3, 0.3, 0.3, 0.3], 270),
    ]
    upright = replace(sides[1], region=person.next_region)
    looks, found = played([[first], sides, [upright]], [person.region])
    assert looks[1] == [turned(person.region, degrees) for degrees in (90, 180, 270)]
    assert looks[2] == [sides[1].next_region]
    assert found == [upright]


def test_who_cannot_be_turned_is_looked_at_from_one_side(person):
    first = saying(person, [0.6, 0.0, 0.5, 0.0])
    upright = replace(person, region=person.next_region)
    looks, found = played([[first], [upright]], [person.region], may_be_turned=False)
    assert looks[1] == [first.next_region]
    assert found == [upright]


@pytest.mark.parametrize("contradiction", ["turned as well", "gone"])
def test_a_turn_that_is_contradicted_is_not_made(person, contradiction):
    first = replace(saying(person, [0.4, 0.0, 0.5, 0.0]), next_region=person.region)
    sides = [saying(person, [0.1, 0.1, 0.9, 0.1], 180)] if contradiction != "gone" else []
    _, found = played([[first], sides, [first]], [person.region])
    assert found == [first]


def test_everybody_gets_what_they_need(person):
    calm, lies, gone = (replace(person.region, centre=(u, 200.0)) for u in (100.0, 300.0, 500.0))
    first = replace(person, region=calm, next_region=calm)
    doubtful = replace(person, region=lies, turns=np.array([0.1, 0.9, 0.0, 0.0]))
    right = replace(person, region=turned(lies, 90), next_region=turned(lies, 80))
    looks, found = played(
        [[first, doubtful], [right], [first, replace(right, region=turned(lies, 80))]],
        [calm, lies, gone],
    )
    assert looks[1] == [turned(lies, degrees) for degrees in (90, 180, 270)]
    assert looks[2] == [calm, turned(lies, 80)]
    assert len(found) == 2


def test_nobody_there_ends_it():
    looks, found = played([[], []], [])
    assert looks == [[], []]
    assert found == []


def test_angles_are_rounded_to_quarters():
    degrees = [0, 44, 46, 134, 136, 180, -180, -46, -44, 359]
    turns = [quarter_turns(np.radians(each)) for each in degrees]
    assert turns == [0, 0, 1, 1, 2, 2, 2, 3, 0, 0]
