from dataclasses import replace

import numpy as np
import pytest
from followed_people import sighting, walk_of_the_demo

from pandapose_ros.people.association import assign, association_cost
from pandapose_ros.pose import RootSource


def test_all_pairs_together_cost_least():
    costs = np.array([[1.0, 2.0, np.inf], [0.5, 9.0, np.inf], [np.nan, np.inf, np.inf]])
    assert assign(costs) == [(0, 1), (1, 0)]
    # The cheapest pair, (1, 1), would leave two to each other who are not alike.
    assert assign(np.array([[3.5, 3.9], [6.5, 3.2]])) == [(0, 0), (1, 1)]
    assert assign(np.array([[6.5, 3.9], [3.5, 3.2]])) == [(0, 1), (1, 0)]
    # One has gone and another has come: nobody changes places for the sake of a second pair.
    assert assign(np.array([[0.9, 5.0], [5.0, np.inf]])) == [(0, 0)]
    assert assign(np.array([[0.9, 3.0], [3.0, np.inf]])) == [(0, 1), (1, 0)]
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.full((2, 2), np.inf)) == []


def test_who_is_too_far_off_does_not_come_into_it():
    # However unlike, if nobody else can be meant.
    assert assign(np.array([[8.6, np.inf], [np.inf, 8.6]])) == [(0, 0), (1, 1)]
    assert assign(np.array([[8.6], [np.inf]])) == [(0, 0)]
    assert assign(np.array([[12.0, np.inf], [np.inf, 0.7]])) == [(0, 0), (1, 1)]
    assert assign(np.array([[np.inf, 8.6, np.inf], [0.5, np.inf, 0.4]])) == [(0, 1), (1, 2)]
    # Two who are near each other are still not changed for the sake of a third far off.
    costs = [[0.9, 5.0, np.inf], [5.0, np.inf, np.inf], [np.inf, np.inf, 9.0]]
    assert assign(np.array(costs)) == [(0, 0), (2, 2)]
    assert assign(np.zeros((0, 0))) == []


def test_who_has_been_away_for_long_can_be_known_again():
    walk = walk_of_the_demo()
    joints, K = walk["joints"][0], walk["K"]
    away, stayed = sighting(joints, K), sighting(np.add(joints, (0.45, 0, 0.2)), K)

    def cost(expected, seen, unseen):
        sizes = expected.next_region.size, seen.next_region.size
        return association_cost(expected.pose, sizes[0], seen.pose, sizes[1], 0.5, unseen)

    costs = [cost(away, away, unseen) for unseen in (0.0, 0.25, 0.5, 3.0)]
    assert costs == pytest.approx([0, 1, 2, 2])
    # Likelier than somebody else who was in the last image and would have to have jumped.
    assert 2 < cost(stayed, away, 0.0) < np.inf


SIZE = 200.0


@pytest.fixture
def somebody():
    walk = walk_of_the_demo()
    return sighting(walk["joints"][0], walk["K"]).pose


def cost(expected, seen, gap=0.0, doubt=0.0, seen_size=SIZE):
    return association_cost(expected, SIZE, seen, seen_size, gap, doubt=doubt)


def test_nobody_jumps_farther_than_the_time_lets_them(somebody):
    def aside(share):
        return replace(somebody, keypoints=somebody.keypoints + np.array([share * SIZE, 0]))

    assert cost(somebody, aside(0.1)) == pytest.approx(1)
    assert cost(somebody, aside(0.16)) == np.inf
    for late in ({"gap": 0.1}, {"doubt": 0.1}):  # 0.12 more
        assert cost(somebody, aside(0.26), **late) < np.inf
        assert cost(somebody, aside(0.28), **late) == np.inf
    assert cost(somebody, aside(0.62), gap=9.0) == np.inf


def test_keypoints_that_are_guessed_or_unknown_tell_nobody_apart(somebody):
    keypoints, scores = somebody.keypoints.copy(), somebody.joint_scores.copy()
    keypoints[5] += SIZE
    scores[5], keypoints[6] = 0.2, np.nan
    seen = replace(somebody, keypoints=keypoints, joint_scores=scores)
    assert cost(somebody, seen) == pytest.approx(0)
    # Of whom all is guessed, all counts.
    badly = replace(somebody, joint_scores=np.full(17, 0.2))
    assert cost(badly, badly) == pytest.approx(0)


def test_what_is_unknown_of_the_shape_does_not_count(somebody):
    joints = somebody.joints + np.array([0.2, 0, 0])
    assert cost(somebody, replace(somebody, joints=joints)) == pytest.approx(1)
    joints[3] = np.nan
    assert cost(somebody, replace(somebody, joints=joints)) == pytest.approx(1)
    nothing = replace(somebody, joints=np.full((17, 3), np.nan))
    assert cost(somebody, nothing) == pytest.approx(0)


def test_distances_compare_by_roots_of_one_kind_else_by_size(somebody):
    nearer = replace(somebody, root=somebody.root * np.exp(-0.15))
    assert cost(somebody, nearer) == pytest.approx(1)
    assert cost(somebody, replace(somebody, root=somebody.root * np.exp(-0.51))) == np.inf
    by_depth = replace(nearer, root_source=RootSource.DEPTH)
    assert cost(somebody, by_depth) == pytest.approx(0)
    assert cost(somebody, replace(nearer, root=None)) == pytest.approx(0)
    predicted = replace(somebody, root=np.array([0, 0, -0.1]))  # has walked past the camera
    assert cost(predicted, nearer) == pytest.approx(0)
    assert cost(somebody, by_depth, seen_size=SIZE * np.exp(0.3)) == pytest.approx(2)
    assert cost(somebody, by_depth, seen_size=SIZE * np.exp(0.51)) == np.inf
