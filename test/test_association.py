import numpy as np
import pytest
from followed_people import sighting, walk_of_the_demo

from pandapose_ros.people.association import assign, association_cost


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
