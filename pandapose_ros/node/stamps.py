"""Stamps of messages as numbers."""

from builtin_interfaces.msg import Time


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds; unlike rclpy's Time, of a broken driver's negative one too.

    Args:
        stamp: Of any message.
    """
    return stamp.sec * 10**9 + stamp.nanosec
