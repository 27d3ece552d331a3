import numpy as np

from pandapose_ros.people.association import assign


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
