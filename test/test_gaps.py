# Who is who after images have failed to come, or somebody was away.
import numpy as np
import pytest
from followed_people import FRAME, Stream, sighting, states, walk_of_the_demo

from pandapose_ros.people.track import Track
from pandapose_ros.pose import TrackState

NEW, TRACKED, PREDICTED, LOST = TrackState.NEW, TrackState.TRACKED, TrackState.PREDICTED, 4


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


@pytest.fixture
def pair(walk):
    """Two people 3 m apart, standing still."""
    joints = walk["joints"][0] - walk["joints"][0, 0]
    return [sighting(np.add(joints, (x, 0, 5)), walk["K"]) for x in (-1.5, 1.5)]


@pytest.mark.parametrize("gap", [1.0, 1.5, 2.0, 9.0])
def test_people_far_apart_keep_their_ids_when_images_fail_to_come(pair, gap):
    stream = Stream(prediction_time=0.3)
    for _ in range(10):
        stream(*pair)
    assert states(stream(*pair, step=gap)) == [(0, TRACKED), (1, TRACKED)]


@pytest.mark.parametrize("walked", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gap", [0.5, 1.5, 2.0])
def test_who_walks_when_images_fail_to_come_may_stop(walk, gap, walked):
    # All the way, for a part of it, or no more at all.
    stream, speed = Stream(prediction_time=0.3), np.array((1.4, 0, 0))
    body = walk["joints"][0] - walk["joints"][0, 0] + (-1.5, 0, 5)
    for i in range(12):
        stream(sighting(body + speed * i * FRAME, walk["K"]))
    then = body + speed * (11 * FRAME + walked * gap)
    assert states(stream(sighting(then, walk["K"]), step=gap)) == [(0, TRACKED)]


def test_nobody_is_said_to_walk_on_for_ever(walk):
    # Towards the camera, which would be passed after 1.2 s.
    stream, speed = Stream(prediction_time=3.0), np.array((0, 0, -1.5))
    body = walk["joints"][0] - walk["joints"][0, 0] + (0, 0, 2.4)
    for i in range(12):
        (seen,) = stream(sighting(body + speed * i * FRAME, walk["K"]))
    places = [stream()[0].root[2] for _ in range(80)]
    assert places[28] == pytest.approx(seen.root[2] - 1.5 * 29 * FRAME, abs=1e-3)
    assert min(places) == places[-1] == pytest.approx(seen.root[2] - 1.5, abs=1e-3)
    assert min(places) > 0


def test_who_stays_is_known_when_another_leaves_in_a_gap(pair):
    stream = Stream(prediction_time=0.3)
    for _ in range(10):
        stream(*pair)
    assert states(stream(pair[1], step=2.0)) == [(1, TRACKED), (0, LOST)]


def test_who_comes_back_is_known_and_nobody_else_suffers(pair):
    stream = Stream(prediction_time=5.0)
    for _ in range(10):
        stream(*pair)
    for _ in range(90):
        assert states(stream(pair[1])) == [(0, PREDICTED), (1, TRACKED)]
    assert states(stream(*pair)) == [(0, TRACKED), (1, TRACKED)]


def test_the_shape_of_a_body_is_that_of_the_last_second_at_any_rate(walk):
    first, second = (sighting(walk["joints"][i], walk["K"]) for i in (0, 40))
    before, after = first.pose.joints, second.pose.joints
    for rate in (10, 30, 60):
        person = Track(0, first, since=0.0)
        for i in range(2 * rate):
            person.see(first, i / rate)
        shares = []
        for i in range(2 * rate, 3 * rate):
            person.see(second, i / rate)
            moved = np.linalg.norm(person.shape - before) / np.linalg.norm(after - before)
            shares.append(moved)
        # As much of it is new as of what fades with a time constant of a second.
        assert shares[rate // 2 - 1] == pytest.approx(1 - np.exp(-0.5), abs=0.03)
        assert shares[-1] == pytest.approx(1 - np.exp(-1), abs=0.03)
