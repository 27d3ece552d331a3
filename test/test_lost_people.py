# Who is known again after having been out of sight, and whose body is somebody else's.
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import backdrop, clip_frames
from followed_people import FRAME, Stream, sighting, states, walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.pose import TrackState

NEW, TRACKED, PREDICTED, LOST = TrackState.NEW, TrackState.TRACKED, TrackState.PREDICTED, 4
RED, BLUE, GREEN = (
    np.stack([cv2.cvtColor(np.array([[colour]], np.float32), cv2.COLOR_RGB2LAB)[0, 0]] * 2)
    for colour in ((0.8, 0.1, 0.1), (0.1, 0.1, 0.8), (0.1, 0.6, 0.1))
)


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


@pytest.fixture
def seen(walk):
    """Somebody seen at a place, in clothes."""
    body = walk["joints"][0] - walk["joints"][0, 0]

    def at(x, z=5.0, clothes=None):
        return replace(sighting(np.add(body, (x, 0, z)), walk["K"]), clothes=clothes)

    return at


def stay(stream, *people, images=10):
    for _ in range(images):
        told = stream(*people)
    return told


def pass_time(stream, seconds):
    """Images with nobody in them."""
    return [stream() for _ in range(round(seconds / FRAME))]


@pytest.mark.parametrize("clothes", [None, RED])
@pytest.mark.parametrize(("away", "id_"), [(0.5, 0), (2.8, 0), (3.2, 1)])
def test_who_was_lost_is_known_again_for_some_time(seen, clothes, away, id_):
    stream = Stream()
    stay(stream, seen(0, clothes=clothes))
    told = pass_time(stream, away)
    assert [pose.state for poses in told for pose in poses][-1] == LOST
    assert told[-1] == []
    (back,) = stream(seen(0.3, 5.2, clothes))
    assert (back.id, back.state) == ((0, TRACKED) if id_ == 0 else (1, NEW))


def test_memory_can_be_switched_off_while_somebody_is_away(seen):
    stream = Stream()
    stay(stream, seen(0))
    pass_time(stream, 1.0)
    stream.config = replace(stream.config, memory_time=0.0)
    assert states(stream(seen(0))) == [(1, NEW)]
    assert EstimatorConfig().memory_time == 3.0


@pytest.mark.parametrize(
    ("x", "z", "clothes"),
    [(0.0, 5.0, BLUE), (2.4, 5.0, RED), (0.0, 9.5, RED)],
    ids=["other clothes", "elsewhere", "far away"],
)
def test_somebody_else_is_not_taken_for_who_was_lost(seen, x, z, clothes):
    stream = Stream()
    stay(stream, seen(0, clothes=RED))
    pass_time(stream, 0.5)
    assert states(stream(seen(x, z, clothes))) == [(1, NEW)]
    # Who was lost may come still, and only once.
    assert states(stream(seen(x, z, clothes), seen(-0.2, clothes=RED))) == [
        (0, TRACKED),
        (1, TRACKED),
    ]


def test_who_walks_on_behind_something_is_known_where_the_way_leads(walk):
    stream, speed = Stream(), np.array((1.4, 0, 0))
    body = walk["joints"][0] - walk["joints"][0, 0] + (-1.5, 0, 5)
    for i in range(12):
        stream(sighting(body + speed * i * FRAME, walk["K"]))
    pass_time(stream, 1.0)
    assert states(stream(sighting(body + speed * (12 * FRAME + 1.0), walk["K"]))) == [(0, TRACKED)]


def test_two_who_change_places_while_they_are_lost_are_told_apart(seen):
    stream = Stream()
    stay(stream, seen(-0.5, clothes=RED), seen(0.5, clothes=BLUE))
    pass_time(stream, 0.5)
    changed = stream(seen(-0.5, clothes=BLUE), seen(0.5, clothes=RED))
    told = {pose.id: pose.root[0] for pose in changed}
    assert told[0] > 0 > told[1]


def test_who_has_turned_round_is_known_unless_another_has_not(walk, seen):
    body = walk["joints"][0] - walk["joints"][0, 0]
    # Turned by half a turn about the vertical.
    back = replace(sighting(body * (-1, 1, -1) + (0, 0, 5), walk["K"]), clothes=RED)
    stream = Stream()
    stay(stream, seen(0, clothes=RED))
    pass_time(stream, 0.5)
    assert states(stream(back)) == [(0, TRACKED)]
    pass_time(stream, 0.5)
    told = stream(seen(0, clothes=RED), back)
    assert states(told) == [(0, TRACKED), (1, NEW)]
    assert told[0].joints == pytest.approx(back.pose.joints)  # as when last seen


def test_a_body_in_other_clothes_is_given_up_and_who_was_there_comes_back(seen):
    # Somebody in blue passes in front of one in red, who disappears; red's region goes with blue.
    stream = Stream()
    stay(stream, seen(0, clothes=RED))
    told = [stream(seen(0.04 * i, 3.8, BLUE)) for i in range(14)]
    ids = [[pose.id for pose in poses if pose.state in (NEW, TRACKED)] for poses in told]
    changed = ids.index([1])
    assert changed == 9  # 0.3 s after the last image of who wears red
    assert ids == [[0]] * changed + [[1]] * (14 - changed)
    assert (0, LOST) in states(told[changed])
    back = stream(seen(0.04 * 14, 3.8, BLUE), seen(0.05, clothes=RED))
    assert states(back) == [(0, TRACKED), (1, TRACKED)]
    assert back[0].age == pytest.approx(24 * FRAME)


def test_a_moment_in_other_clothes_changes_nothing(seen):
    stream = Stream()
    stay(stream, seen(0, clothes=RED))
    (track,) = stream.tracks._tracks
    for clothes in [BLUE] * 7 + [RED] * 3 + [BLUE] * 7 + [None] * 20 + [RED]:
        assert states(stream(seen(0, clothes=clothes))) == [(0, TRACKED)]
        assert track.clothes == pytest.approx(RED)


def test_in_another_light_people_stay_who_they_are(seen):
    stream = Stream()
    dark = RED * (0.4, 0.7, 0.7)
    stay(stream, seen(-1, clothes=RED), seen(1, clothes=GREEN))
    for _ in range(30):
        told = stream(seen(-1, clothes=dark), seen(1, clothes=GREEN * (0.4, 0.7, 0.7)))
        assert states(told) == [(0, TRACKED), (1, TRACKED)]
    first = next(track for track in stream.tracks._tracks if track.id == 0)
    assert first.clothes == pytest.approx(dark)


def test_nobody_is_known_again_after_a_reset_or_in_another_image_size(seen):
    stream = Stream()
    for forget in (
        stream.tracks.reset,
        lambda: stream.tracks.update([], stream.now + FRAME, (320, 240), stream.config),
    ):
        (before, *_) = stay(stream, seen(0))
        pass_time(stream, 0.5)
        forget()
        ((id_, state),) = states(stream(seen(0)))
        assert (id_ > before.id, state) == (True, NEW)


def test_a_real_person_comes_back_under_the_same_id_and_in_other_clothes_as_another():
    image = clip_frames(1)[0]
    empty = backdrop(image)
    red = (image * 0.4 + (150, 0, 0)).astype(np.uint8)
    other = np.where((image == empty).all(axis=-1, keepdims=True), empty, red)
    estimator = PoseEstimator(EstimatorConfig(detection_tiles=0))

    def ids(pixels, images=1):
        return [
            [pose.id for pose in estimator.estimate(pixels) if pose.state is not TrackState.LOST]
            for _ in range(images)
        ][-1]

    assert ids(image, 5) == [0]
    assert ids(empty, 20) == []
    assert ids(image, 5) == [0]
    assert ids(empty, 20) == []
    assert ids(other, 5) == [1]
