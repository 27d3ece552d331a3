"""Read a webcam in a thread of its own, so that no image waits and late ones are dropped."""

import threading
import time
from collections.abc import Callable

# A grab that takes less time returned an image that had waited in the driver's queue [s].
_LEAST_WAIT = 0.002
# OpenCV's V4L2 queues up to ten. After that many, it is a camera whose grab never waits.
_MOST_WAITING = 10
# Longest wait for the thread [s]; a grab from a webcam that hangs takes ten.
_CLOSING_TIME = 1.0


class Pace:
    """Choose which of a webcam's images to take: fresh ones, at no more than the rate asked for.

    When the reader is held up for a moment, the driver's queue fills, and reading at the camera's
    rate never empties it: from then on every image would be late by the length of the queue, which
    its stamp would not show. So images that have waited are dropped. A queue of one buffer
    (CAP_PROP_BUFFERSIZE) does not help: V4L2 then fills none while that one is read, which halves
    the rate.
    """

    def __init__(self, rate: float) -> None:
        """Begin with the next image.

        Args:
            rate: Maximum images per second; 0: all.
        """
        self._period = 1 / rate if rate > 0 else 0.0
        self._due = self._came = float("-inf")
        self._waiting = 0

    def takes(self, asked: float, came: float) -> bool:
        """Return whether to take an image.

        Args:
            asked: When it was asked for, seconds on a steady clock.
            came: When it came.
        """
        interval, self._came = came - self._came, came
        if came - asked < _LEAST_WAIT and self._waiting < _MOST_WAITING:
            self._waiting += 1
            return False
        self._waiting = 0
        # The next image will be half an interval late or more: this one is nearer.
        if came + interval / 2 < self._due:
            return False
        is_late = self._due + self._period < came
        self._due = (came if is_late else self._due) + self._period
        return True


class WebcamReader:
    """Grab on a thread of its own, as fast as the camera delivers, until `close`."""

    def __init__(
        self,
        grab: Callable[[], bool],
        rate: float,
        on_image: Callable[[], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        """Start to grab.

        Args:
            grab: Waits for the webcam's next image; returns False if there are no more. Nothing
                else may use the webcam but `on_image`, until `close` has returned True.
            rate: Maximum images per second; 0: all.
            on_image: Called in the thread after the grab of an image to take.
            on_end: Called in the thread with what `on_image` raised, or with None when there are
                no more images.
        """
        self._grab = grab
        self._pace = Pace(rate)
        self._on_image, self._on_end = on_image, on_end
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webcam", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """Stop grabbing; return whether the thread has ended: False if the webcam hangs."""
        self._is_closing.set()
        self._thread.join(_CLOSING_TIME)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._is_closing.is_set():
                asked = time.monotonic()
                is_there = self._grab()
                if self._is_closing.is_set():
                    return
                if not is_there:
                    self._on_end(None)
                    return
                if self._pace.takes(asked, time.monotonic()):
                    self._on_image()
        except Exception as error:  # any error, as the node would wait for images for ever
            self._on_end(error)
