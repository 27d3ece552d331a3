"""Depth images beside the colour images: from message to metres, and which belongs to which."""

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from pandapose_ros.node.images import rows_of
from pandapose_ros.node.stamps import DECADE, nanoseconds

# Encoding -> (type of a value, metres of one unit), as REP 118 has it.
_ENCODINGS = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}
# Depth is kept for images that come later than it: so long by the stamps [s], in so many bytes.
_KEPT_FOR = 1.0
_MOST_BYTES = 64 << 20
# So many are kept in any case: they tell when the next one is due.
_LEAST_KEPT = 4
# A depth camera that has been silent for longer is not waited for: seconds, or periods of its own,
# which are taken from the last few arrivals; the latter in seconds at most.
_ALIVE = 1.0
_ALIVE_PERIODS = 2.5
_ALIVE_AT_MOST = 10.0
_ARRIVALS = 4
# A depth image may come so much before it is due, as a share of the gap between two.
_EARLY = 0.1
# Taken for the gap between two until more than two have come [s].
_FIRST_GAP = 0.3


def depth_from_message(message: Image) -> NDArray[np.float32]:
    """Decode a depth image, honouring its unit, row step and byte order.

    Args:
        message: 16UC1 in millimetres or 32FC1 in metres. Its data are not written to.

    Returns:
        [H, W], metres; 0 or not finite where unknown, as it came.

    Raises:
        ValueError: If the size is zero, the step too small, the data too short, or the encoding
            is another one.
    """
    if message.encoding not in _ENCODINGS:
        raise ValueError(
            f"depth image of encoding '{message.encoding}', expected 16UC1 [mm] or 32FC1 [m]"
        )
    if message.width == 0 or message.height == 0:
        raise ValueError(f"depth image without pixels: {message.width}x{message.height}")
    kind, metres = _ENCODINGS[message.encoding]
    order = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    rows = np.ascontiguousarray(rows_of(message, message.height, order.itemsize))
    depth = rows.view(order)[..., 0].astype(np.float32)
    return depth if metres == 1.0 else depth * np.float32(metres)


def check_registered(message: Image, frame_id: str) -> None:
    """Raise ValueError if a depth image is not in the frame of the image.

    Args:
        message: The depth image.
        frame_id: Of the image. No error if it or the frame of the depth image is empty.
    """
    frame = message.header.frame_id
    if frame and frame_id and frame != frame_id:
        raise ValueError(
            f"it is in {frame}, not in the images' {frame_id}: give the topic of depth that is "
            "registered (aligned) to the images"
        )


class DepthBuffer:
    """Keep the depth images of the last second; filled by the executor, read by the worker.

    Attributes:
        received: Number of depth images so far.
    """

    def __init__(self) -> None:
        # By stamp, in the order in which they came.
        self._messages: dict[int, Image] = {}
        self._condition = threading.Condition()
        self.received = 0
        self._silent_since = 0.0
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS)
        self._period = 0.0

    def add(self, message: Image) -> None:
        """Add a depth image, and forget old ones."""
        stamp_ns = nanoseconds(message.header.stamp)
        with self._condition:
            self._messages.pop(stamp_ns, None)
            self._messages[stamp_ns] = message
            self._forget_old(stamp_ns)
            self._silent_since = time.monotonic()
            self._arrivals.append(self._silent_since)
            self._period = _smallest_gap(self._arrivals)
            self.received += 1
            self._condition.notify_all()

    def resume(self) -> None:
        """Restart the silence, as there was no subscription until now."""
        with self._condition:
            self._silent_since = time.monotonic()

    def forget_after(self, stamp_ns: int) -> None:
        """Forget depth images later than a stamp, as when time has jumped back.

        Args:
            stamp_ns: Of the last one to keep, nanoseconds.
        """
        with self._condition:
            self._messages = {t: m for t, m in self._messages.items() if t <= stamp_ns}

    @property
    def silence(self) -> float:
        """Seconds since the last depth image, or since `resume`; infinite if none ever came."""
        return time.monotonic() - self._silent_since if self.received else math.inf

    @property
    def is_alive(self) -> bool:
        """Whether depth images have come lately, given how often they come."""
        return self.silence < max(_ALIVE, min(_ALIVE_PERIODS * self._period, _ALIVE_AT_MOST))

    @property
    def oldest_ns(self) -> int | None:
        """Stamp of the oldest depth image that is kept, nanoseconds; None without any."""
        with self._condition:
            return min(self._messages, default=None)

    def is_of_another_clock(self, stamp_ns: int) -> bool:
        """Return whether all depth images are decades from a stamp, as where one of them is 0.

        Args:
            stamp_ns: Of the colour image, nanoseconds.
        """
        with self._condition:
            return _are_decades_away(self._messages, stamp_ns)

    @property
    def gap(self) -> float:
        """The usual difference of the stamps of two depth images, seconds; 0 until it is known."""
        with self._condition:
            gaps = [after - before for before, after in pairwise(sorted(self._messages))]
        return median(gaps) / 1e9 if len(gaps) > 1 else 0.0

    def is_between(self, stamp_ns: int, used_ns: int) -> bool:
        """Return whether an image comes after a depth image was used and before the next is due.

        Args:
            stamp_ns: Of the image, nanoseconds.
            used_ns: Of the depth image that was used last, nanoseconds.
        """
        with self._condition:
            before = max((t for t in self._messages if t <= stamp_ns), default=None)
        gap = self.gap or _FIRST_GAP
        return before == used_ns and stamp_ns - used_ns < (1 - _EARLY) * gap * 1e9

    def find(self, stamp_ns: int, window: float) -> Image | None:
        """Return the depth image nearest to a stamp, after waiting for it if it is due by then.

        The previous one may be within the window too, but shows people where they were before: it
        is returned only if a nearer one cannot come, or did not come in time.

        Args:
            stamp_ns: Of the colour image, nanoseconds.
            window: Greatest difference of the stamps, and longest time to wait, seconds.

        Returns:
            None if there is none within the window.
        """
        with self._condition:
            deadline = time.monotonic() + window
            while True:
                best = min(self._messages, key=lambda t: abs(t - stamp_ns), default=None)
                if best is not None and abs(best - stamp_ns) > window * 1e9:
                    best = None
                left = deadline - time.monotonic()
                if left <= 0 or not self.is_alive or self._is_final(best, stamp_ns, window):
                    return None if best is None else self._messages[best]
                self._condition.wait(left)

    def _forget_old(self, newest_ns: int) -> None:
        """Forget those that came first, if they are too old or all together too many."""
        size = sum(len(message.data) for message in self._messages.values())
        for stamp_ns in list(self._messages)[:-_LEAST_KEPT]:
            # A stamp may be later too, if time has jumped back.
            if size <= _MOST_BYTES and abs(newest_ns - stamp_ns) <= _KEPT_FOR * 1e9:
                break
            size -= len(self._messages.pop(stamp_ns).data)

    def _is_final(self, best_ns: int | None, stamp_ns: int, window: float) -> bool:
        """Return whether no image to come is in the window and nearer than the best one."""
        stamps = sorted(self._messages)
        if stamps and stamps[-1] >= stamp_ns:
            return True
        if _are_decades_away(stamps, stamp_ns):
            return True
        # Some may have been lost, so the smallest gap tells when the next one is due.
        gap = _smallest_gap(stamps)
        if best_ns is not None:
            return 2 * abs(best_ns - stamp_ns) <= gap
        early = min(_EARLY * gap, window * 1e9)
        return gap > 0 and stamps[-1] + gap - early > stamp_ns + window * 1e9


def _are_decades_away(stamps: Collection[int], stamp_ns: int) -> bool:
    """Return whether there are stamps and all are of another clock than one more, or zero."""
    return bool(stamps) and min(abs(each - stamp_ns) for each in stamps) > DECADE * 1e9


def _smallest_gap(times: Iterable[float]) -> float:
    """Return the shortest time from one to the next; 0 for less than two."""
    return min((after - before for before, after in pairwise(times)), default=0)
