# Which of the people seen in an image are one body, or made up of several.
from dataclasses import replace

import numpy as np
import pytest

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.doubles import apart, without_doubles
from pandapose_ros.people.following import PeopleTracker


@pytest.fixture(scope="module")
def person(detector, landmark_net, walker):
    (person,) = PeopleTracker(detector, landmark_net, EstimatorConfig()).find(walker)
    return person


def moved(person, u, scale=1.0):
    """The person, somewhere to the right, smaller or larger about the pelvis."""
    pelvis = person.keypoints[0]

    def move(points):
        return pelvis + scale * (points - pelvis) + np.array([u, 0], np.float32)

    box = move(person.box_xyxy.reshape(2, 2)).ravel()
    return replace(person, keypoints=move(person.keypoints), box_xyxy=box)


def test_a_child_in_the_head_and_shoulders_of_somebody_is_nobody(person):
    head, size = person.keypoints[10], person.next_region.size
    small = replace(person.next_region, size=0.3 * size)

    def child(aside):
        keypoints = head + 0.3 * (person.keypoints - head)
        keypoints[9:11] = person.keypoints[9:11]
        keypoints += np.array([aside * size, 0], np.float32)
        return replace(person, keypoints=keypoints, next_region=small)

    def kept(other):
        return len(without_doubles([person, other]))

    assert kept(child(0.005)) == 1
    assert kept(child(0.1)) == 2  # another head
    scores = person.keypoint_scores.copy()
    scores[10] = 0.2
    assert kept(replace(child(0.005), keypoint_scores=scores)) == 2  # it may be hidden


def test_who_is_unsure_has_to_stand_apart(person):
    width = person.box_xyxy[2] - person.box_xyxy[0]
    beside, half_behind = moved(person, 0.9 * width), moved(person, 0.3 * width)
    assert apart([beside], [person], []) == [beside]
    assert apart([half_behind], [person], []) == []
    assert apart([beside, moved(beside, 0.2 * width)], [person], []) == [beside]
    # Made up of somebody and of what is round them.
    assert apart([moved(person, 0.0, scale=3.0)], [moved(person, 0.5 * width)], []) == []


def test_who_is_unsure_has_to_be_upright(person):
    turned = [
        replace(person, next_region=replace(person.next_region, angle=angle))
        for angle in (0.5, 2 * np.pi + 0.5, np.pi / 2, np.pi)
    ]
    assert apart(turned[:1], [], []) == turned[:1]
    assert apart(turned[1:], [], []) == turned[1:2]


def test_hidden_joints_do_not_count(person):
    width = person.box_xyxy[2] - person.box_xyxy[0]
    beside = moved(person, 1.1 * width)
    # The hands and feet are guessed, and guessed to be where somebody else is.
    guessed = [3, 6, 13, 16, 2, 5, 12, 15]
    keypoints, scores = beside.keypoints.copy(), beside.keypoint_scores.copy()
    keypoints[guessed], scores[guessed] = person.keypoints[guessed], 0.1
    assert len(apart([replace(beside, keypoints=keypoints)], [person], [])) == 0
    assert (
        len(apart([replace(beside, keypoints=keypoints, keypoint_scores=scores)], [person], []))
        == 1
    )


def test_nobody_unsure_comes_where_somebody_has_just_gone(person):
    region = person.next_region
    for share, count in ((0.0, 0), (0.4, 0), (0.6, 1)):
        gone = replace(region, centre=(region.centre[0] + share * region.size, region.centre[1]))
        assert len(apart([person], [], [gone])) == count
