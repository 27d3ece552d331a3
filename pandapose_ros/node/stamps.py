"""Stamps of messages as numbers, and numbers as durations."""

import struct

from builtin_interfaces.msg import Duration, Time

# No clocks differ so much, but the time of day and that of a simulator do. [s]
DECADE = 3e8


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds; unlike rclpy's Time, of a broken driver's negative one too.

    Args:
        stamp: Of any message.
    """
    return stamp.sec * 10**9 + stamp.nanosec


def stamp_of_serialized(data: bytes) -> int:
    """Return the stamp of a message as it is recorded, in nanoseconds.

    Args:
        data: CDR of a message that begins with a header, after four bytes about the encoding.
    """
    order = "<" if data[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", data, 4)
    return sec * 10**9 + nanosec


def duration(seconds: float) -> Duration:
    """Return seconds as a message, to the nanosecond."""
    sec, nanosec = divmod(round(seconds * 1e9), 10**9)
    return Duration(sec=sec, nanosec=nanosec)
