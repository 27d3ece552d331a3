"""Whether the stamps of a camera's images go on, jump, or are wrong once."""

from enum import Enum

# Stamps that jump back further than this mean another recording, or the same one restarted.
TIME_JUMP_NS = 500_000_000
# After so long without images nobody is taken for the same person anyway.
_LEAP_NS = 10_000_000_000


class Step(Enum):
    """How an image's stamp follows on the one before."""

    GOES_ON = 0
    JUMPS_BACK = 1
    JUMPS_AHEAD = 2
    IS_WRONG = 3


class StampWatch:
    """Judge each stamp by the one before and by the clocks of this computer.

    A recording that starts again, or a clock that was set, moves all later stamps; a driver's
    slip moves one. A stamp far from the one before is therefore taken for wrong until the next
    one agrees; not where the node's clock jumped too, as with a recording that brings its own,
    nor where stamps leap from image to image, as those of single pictures do.

    Attributes:
        ahead: By how much the last stamp was ahead of the one before it, seconds.
    """

    def __init__(self) -> None:
        """Start before the first image."""
        self.ahead = 0.0
        # Of the last image that was not wrong: its stamp, and what the clocks showed.
        self._last: tuple[int, int, int] | None = None
        self._has_leapt = True
        self._is_in_doubt = False

    def judge(self, stamp_ns: int, ros_ns: int, steady_ns: int) -> Step:
        """Return how the stamp of the next image follows.

        Args:
            stamp_ns: Of the image, nanoseconds; 0: none, which changes nothing.
            ros_ns: The node's clock, nanoseconds: with `use_sim_time`, that of the recording.
            steady_ns: A clock that nobody sets, nanoseconds.
        """
        if stamp_ns == 0:
            return Step.GOES_ON
        step = self._judge(stamp_ns, ros_ns, steady_ns)
        self._is_in_doubt = step is Step.IS_WRONG
        if step is not Step.IS_WRONG:
            self._has_leapt = self._last is None or step is not Step.GOES_ON
            self._last = (stamp_ns, ros_ns, steady_ns)
        return step

    def _judge(self, stamp_ns: int, ros_ns: int, steady_ns: int) -> Step:
        if self._last is None:
            return Step.GOES_ON
        stamps, ros, steady = (
            now - then for now, then in zip((stamp_ns, ros_ns, steady_ns), self._last, strict=True)
        )
        self.ahead = stamps / 1e9
        if -TIME_JUMP_NS <= stamps <= steady + _LEAP_NS:  # the latter as after a pause
            return Step.GOES_ON
        if stamps > 0:
            step, is_known = Step.JUMPS_AHEAD, stamps - ros <= _LEAP_NS
        else:
            # After a pause the people are gone anyway.
            step, is_known = Step.JUMPS_BACK, ros < -TIME_JUMP_NS or max(ros, steady) > _LEAP_NS
        return step if is_known or self._has_leapt or self._is_in_doubt else Step.IS_WRONG
