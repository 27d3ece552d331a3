import threading
import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from pandapose_ros.frames.transform_tree import Motion, TransformError, TransformTree

SECOND = 10**9
RANDOM = np.random.default_rng(3)


def motion(seconds, translation=(0, 0, 0), rotation=None):
    rotation = Rotation.identity() if rotation is None else rotation
    return Motion(round(seconds * SECOND), np.array(translation, float), rotation.as_quat())


@pytest.fixture
def tree():
    """odom -> base (moving) -> mast (still) -> camera (still); odom -> goal (still)."""
    tree = TransformTree()
    turn = Rotation.from_euler("z", 90, degrees=True)
    tree.add("base", "odom", motion(1.0), is_static=False)
    tree.add("base", "odom", motion(2.0, (2, 0, 0), turn), is_static=False)
    tree.add("mast", "base", motion(0.0, (0, 0, 1)), is_static=True)
    tilt = Rotation.from_euler("x", -90, degrees=True)
    tree.add("camera", "mast", motion(0.0, (0, 0, 0.5), tilt), is_static=True)
    tree.add("goal", "odom", motion(0.0, (5, 5, 0)), is_static=True)
    return tree


def test_a_look_up_climbs_and_descends_and_interpolates(tree):
    there = tree.look_up("goal", "camera", round(1.5 * SECOND))
    half = Rotation.from_euler("z", 45, degrees=True)
    expected = half.apply([0, 1, 1.5]) - (4, 5, 0)
    # One metre ahead of the camera (z) is one metre to the base's y.
    np.testing.assert_allclose(there.apply(np.array([0, 0, 1.0])), expected, atol=1e-12)
    back = tree.look_up("camera", "goal", round(1.5 * SECOND))
    np.testing.assert_allclose(back.apply(expected), [0, 0, 1], atol=1e-12)


def test_turns_are_interpolated_at_constant_speed():
    for _ in range(20):
        ends = Rotation.random(2, random_state=RANDOM)
        tree = TransformTree()
        for seconds, rotation in zip((1.0, 2.0), ends, strict=True):
            tree.add("b", "a", motion(seconds, rotation=rotation), is_static=False)
        found = tree.look_up("a", "b", round(1.3 * SECOND)).rotation
        np.testing.assert_allclose(found, Slerp([1, 2], ends)(1.3).as_matrix(), atol=1e-9)


def test_time_zero_is_the_newest_that_is_known_of_all(tree):
    tree.add("wheel", "base", motion(1.5, (0, 1, 0)), is_static=False)
    newest = tree.look_up("odom", "wheel", 0)
    np.testing.assert_allclose(newest.translation[0], 1 - np.sqrt(0.5), atol=1e-12)


@pytest.mark.parametrize(
    ("target", "source", "seconds", "text"),
    [
        ("map", "camera", 1.5, "frame 'map' is not known to tf; known: base, camera, goal"),
        ("odom", "lens", 1.5, "frame 'lens' is not known"),
        ("odom", "camera", 2.25, "'base' to 'odom' is asked for 0.250 s after the last"),
        ("odom", "camera", 0.9, "'base' to 'odom' is asked for 0.100 s before the first"),
        ("odom", "island", 1.5, "'island' and 'odom' are not connected: .* 'sea' to 'odom'"),
    ],
)
def test_a_failure_names_what_is_missing(tree, target, source, seconds, text):
    tree.add("island", "sea", motion(0), is_static=True)
    with pytest.raises(TransformError, match=text):
        tree.look_up(target, source, round(seconds * SECOND))


def test_an_empty_tree_says_so_and_a_frame_is_where_it_is():
    with pytest.raises(TransformError, match="not known to tf; known: -"):
        TransformTree().look_up("a", "b", 0)
    np.testing.assert_array_equal(TransformTree().look_up("a", "a", 5).translation, 0)


def test_what_comes_in_another_thread_is_found(tree):
    def come():
        tree.add("base", "odom", motion(3.0, (4, 0, 0)), is_static=False)

    with pytest.raises(TransformError, match=r"1\.000 s after the last"):
        tree.look_up("odom", "base", 3 * SECOND)
    thread = threading.Thread(target=come)
    thread.start()
    thread.join()
    found = tree.look_up("odom", "base", 3 * SECOND)
    np.testing.assert_allclose(found.translation, [4, 0, 0])


def test_the_last_ten_seconds_are_kept_and_messages_may_be_late():
    tree = TransformTree()
    for seconds in (5.0, 20.0, 12.0, 11.0):
        tree.add("b", "a", motion(seconds, (seconds, 0, 0)), is_static=False)
    for seconds in (11.0, 11.5, 19.0):
        found = tree.look_up("a", "b", round(seconds * SECOND)).translation[0]
        assert found == pytest.approx(seconds)
    with pytest.raises(TransformError, match="before the first"):
        tree.look_up("a", "b", 6 * SECOND)


def test_after_time_has_gone_back_only_what_is_still_stays(tree):
    tree.clear()
    with pytest.raises(TransformError):
        tree.look_up("odom", "base", round(1.5 * SECOND))
    assert tree.look_up("base", "camera", 0).translation[2] == 1.5
    tree.add("base", "odom", motion(0.5), is_static=False)
    assert tree.look_up("odom", "camera", SECOND // 2).translation[2] == 1.5


def test_nonsense_is_ignored_and_loops_end(tree):
    nan, zero = np.full(3, np.nan), np.zeros(4)
    tree.add("x", "odom", Motion(0, nan, np.array([0, 0, 0, 1.0])), is_static=True)
    tree.add("x", "odom", Motion(0, np.zeros(3), zero), is_static=True)
    with pytest.raises(TransformError, match="'x' is not known"):
        tree.look_up("odom", "x", 0)
    tree.add("p", "q", motion(0), is_static=True)
    tree.add("q", "p", motion(0), is_static=True)
    with pytest.raises(TransformError, match="not connected"):
        tree.look_up("odom", "p", 0)


@pytest.mark.parametrize("is_static", [True, False])
def test_a_frame_that_is_hung_elsewhere_is_there(tree, is_static):
    tree.add("mast", "goal", motion(2.0, (0, 0, 3)), is_static=is_static)
    found = tree.look_up("odom", "camera", 2 * SECOND).translation
    np.testing.assert_allclose(found, (5, 5, 3.5), atol=1e-12)


def test_a_frame_that_begins_to_move_has_moved(tree):
    for seconds in (1.0, 2.0):
        tree.add("mast", "base", motion(seconds, (0, 0, seconds)), is_static=False)
    found = tree.look_up("base", "mast", round(1.5 * SECOND)).translation
    np.testing.assert_allclose(found, (0, 0, 1.5))


def test_time_that_goes_back_by_more_than_is_kept_counts_from_its_first_message():
    tree = TransformTree()
    for seconds in (100.0, 101.0, 50.0, 50.2):
        tree.add("b", "a", motion(seconds, (seconds, 0, 0)), is_static=False)
    found = tree.look_up("a", "b", round(50.1 * SECOND)).translation[0]
    assert found == pytest.approx(50.1)
    assert tree.look_up("a", "b", 0).translation[0] == pytest.approx(50.2)
    with pytest.raises(TransformError, match="after the last"):
        tree.look_up("a", "b", 100 * SECOND)


def test_stamps_that_stand_still_replace_each_other(tree):
    for place in range(5):
        for seconds in (1.0, 2.0):
            tree.add("base", "odom", motion(seconds, (place, seconds, 0)), is_static=False)
    assert len(tree._edges["base"].motions) == 2
    for seconds in (1.0, 2.0):
        found = tree.look_up("odom", "base", round(seconds * SECOND)).translation
        np.testing.assert_allclose(found, [4, seconds, 0])


def test_what_has_come_of_the_new_time_stays_when_time_goes_back(tree):
    for seconds in (93.0, 100.0, 101.0):
        tree.add("cart", "odom", motion(seconds, (9, 0, 0)), is_static=False)
    for seconds in (92.9, 93.1):
        tree.add("cart", "odom", motion(seconds), is_static=False)
    tree.forget_after(97 * SECOND)
    # Nor does what the old run was at that time count any more.
    assert tree.look_up("odom", "cart", 93 * SECOND).translation[0] == 0
    with pytest.raises(TransformError, match="after the last"):
        tree.look_up("odom", "cart", 100 * SECOND)
    tree.forget_after(0)
    assert tree.look_up("base", "camera", 0).translation[2] == 1.5
    with pytest.raises(TransformError, match="not known"):
        tree.look_up("odom", "cart", 0)


def test_people_who_have_left_are_forgotten(tree, monkeypatch):
    started = time.monotonic()
    for number in range(50):
        monkeypatch.setattr(time, "monotonic", lambda n=number: started + 25 * n)
        tree.add("base", "odom", motion(2.0 + number), is_static=False)
        tree.add(f"body_{number}", "odom", motion(1000.0 + number), is_static=False)
    assert sum(frame.startswith("body") for frame in tree._edges) == 3
    assert tree.look_up("base", "camera", 0).translation[2] == 1.5
    assert tree.look_up("odom", "base", 50 * SECOND).translation[2] == 0
