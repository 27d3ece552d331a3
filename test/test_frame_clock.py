import numpy as np

from pandapose_ros.people.tracks import FrameClock

FRAME = 1 / 30


def test_time_goes_on_without_stamps():
    clock = FrameClock()
    times = [clock.tick(stamp) for stamp in (None, None, 7.0, 7.0, 7.5, 3.0, 3.1)]
    steps = np.diff(times)
    np.testing.assert_allclose(steps, [FRAME, FRAME, FRAME, 0.5, FRAME, 0.1])
