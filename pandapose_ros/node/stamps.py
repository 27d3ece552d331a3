"""Stamps of messages as numbers, and numbers as durations."""

from builtin_interfaces.msg import Duration, Time


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds; unlike rclpy's Time, of a broken driver's negative one too.

    Args:
        stamp: Of any message.
    """
    return stamp.sec * 10**9 + stamp.nanosec


def duration(seconds: float) -> Duration:
    """Return seconds as a message, to the nanosecond."""
    sec, nanosec = divmod(round(seconds * 1e9), 10**9)
    return Duration(sec=sec, nanosec=nanosec)
