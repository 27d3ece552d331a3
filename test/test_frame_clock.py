import numpy as np

from pandapose_ros.people.tracks import FrameClock

FRAME = 1 / 30


def test_time_goes_on_without_stamps():
    clock = FrameClock()
    times = [clock.tick(stamp) for stamp in (None, None, 7.0, 7.0, 7.5, 3.0, 3.1)]
    steps = np.diff(times)
    np.testing.assert_allclose(steps, [FRAME, FRAME, FRAME, 0.5, FRAME, 0.1])


def test_an_image_without_a_stamp_does_not_change_the_time_of_those_with_one():
    clock = FrameClock()
    times = [clock.tick(stamp) for stamp in (5.0, 5.5, None, 6.5, None, 6.6)]
    np.testing.assert_allclose(np.diff(times), [0.5, FRAME, 1 - FRAME, FRAME, 0.1 - FRAME])


def test_images_out_of_order_do_not_make_time_run_faster():
    order = [number ^ 1 for number in range(60)]  # in pairs
    clock = FrameClock()
    times = [clock.tick(100 + number * FRAME) for number in order]
    assert (np.diff(times) > 0).all()
    assert abs(times[-1] - times[0] - (max(order) - order[0]) * FRAME) < 0.01
    # Every tenth comes six images late.
    stamps = [100 + (number - 6 * (number % 10 == 9)) * FRAME for number in range(101)]
    clock = FrameClock()
    times = [clock.tick(stamp) for stamp in stamps]
    assert (np.diff(times) > 0).all()
    assert abs(times[-1] - times[0] - 100 * FRAME) < 0.01


def test_a_clock_that_is_set_back_a_little_is_caught_up_with():
    clock = FrameClock()
    times = [clock.tick(stamp) for stamp in (10.0, 10.1, 9.8, 9.9, 10.0, 10.1, 10.2, 10.3)]
    assert abs(times[-1] - times[0] - 0.3) < 0.04
    times = [clock.tick(stamp) for stamp in (9.7, 9.8, 9.9)]  # further back: another recording
    np.testing.assert_allclose(np.diff(times), [0.1, 0.1])
