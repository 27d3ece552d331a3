"""Which stamps are believed, by those before and by the clocks."""

import pytest

from pandapose_ros.node.jumps import StampWatch, Step

ON, BACK, AHEAD, WRONG = Step.GOES_ON, Step.JUMPS_BACK, Step.JUMPS_AHEAD, Step.IS_WRONG


def judged(*images):
    """Judge images of (stamp, the node's clock, steady clock), seconds; two come before."""
    watch = StampWatch()
    images = ((1000.0, 0.0, 0.0), (1000.1, 0.1, 0.1), *images)
    steps = [watch.judge(*(round(time * 1e9) for time in image)) for image in images]
    assert steps[:2] == [ON, ON]
    return steps[2:]


def at_once(*stamps):
    """Judge stamps of images that come ten times a second by both clocks."""
    return judged(*((stamp, 0.1 * n, 0.1 * n) for n, stamp in enumerate(stamps, start=2)))


@pytest.mark.parametrize(
    ("stamps", "steps"),
    [
        ((4600, 1000.3, 1000.4), [WRONG, ON, ON]),
        ((4600, 4600.1, 4600.2), [WRONG, AHEAD, ON]),
        ((4600, 1000.3, 4600, 1000.5), [WRONG, ON, WRONG, ON]),  # of two cameras
        ((4600, 0, 1000.4), [WRONG, ON, ON]),  # no stamp says nothing
        ((4600, 500, 500.1), [WRONG, BACK, ON]),
        ((1009, 1009.1), [ON, ON]),
        ((500, 1000.3, 1000.4), [WRONG, ON, ON]),
        ((500, 500.1, 500.2), [WRONG, BACK, ON]),
        ((500, 500.1, 500.2, 1000.4, 1000.5), [WRONG, BACK, ON, WRONG, AHEAD]),
        ((500, 1000.3, 500, 1000.5), [WRONG, ON, WRONG, ON]),  # of two cameras
        ((500, 0, 1000.4), [WRONG, ON, ON]),
        ((999, 1000.3), [WRONG, ON]),
        ((999.8, 1000.3), [ON, ON]),  # out of order
    ],
)
def test_a_stamp_far_away_is_believed_if_the_next_agrees(stamps, steps):
    assert at_once(*stamps) == steps


def test_pictures_whose_stamps_leap_are_all_believed():
    watch = StampWatch()
    steps = [watch.judge(stamp * 10**9, 0, stamp) for stamp in (100, 200, 300, 400)]
    assert steps == [ON, AHEAD, AHEAD, AHEAD]
    watch = StampWatch()
    steps = [watch.judge(stamp * 10**9, 0, stamp) for stamp in (100, 90, 200, 80, 70)]
    assert steps == [ON, BACK, AHEAD, BACK, BACK]


def test_clocks_tell_a_pause_and_a_clock_that_was_set_from_a_wrong_stamp():
    assert judged((4600, 3600, 3600)) == [ON]  # no image for an hour
    assert judged((4600, 3600, 0.2)) == [AHEAD]  # set, or a gap in a recording with its clock
    assert judged((4600, 0.2, 3600)) == [ON]  # the same without its clock
    assert judged((4600, -3600, 0.2)) == [WRONG]


def test_clocks_tell_another_run_of_a_recording_from_a_wrong_stamp():
    assert judged((900, -100, 0.2), (900.1, -99.9, 0.3)) == [BACK, ON]  # looped with its clock
    assert judged((1000, -0.6, 0.2)) == [ON]
    assert judged((999, -0.6, 0.2)) == [BACK]  # the clock was set
    assert judged((999, -0.4, 0.2)) == [WRONG]
    assert judged((900, 20, 20)) == [BACK]  # played again by hand
    assert judged((900, 20, 0.2)) == [BACK]  # after a pause in a recording with its clock
    assert judged((900, 9, 9), (1009.1, 9.1, 9.1)) == [WRONG, ON]
