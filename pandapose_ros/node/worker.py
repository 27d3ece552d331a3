"""One thread that works on the newest frame only."""

import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, CompressedImage, Image


@dataclass(frozen=True)
class Frame:
    """Hold an image as received and the newest calibration at that time.

    Attributes:
        image: The image message.
        camera_info: The latest calibration, or None before the first.
    """

    image: Image | CompressedImage
    camera_info: CameraInfo | None


class LatestFrameWorker:
    """Hand frames to a thread that never has more than one waiting.

    A new frame replaces the waiting one, so that the age of a result is bounded by two frames'
    work however fast the camera is. What else has to happen in the thread is done between two
    frames.
    """

    def __init__(self, process: Callable[[Frame], None]) -> None:
        """Prepare the thread; `start` runs it.

        Args:
            process: Called with each frame in the worker's thread. Has to handle its errors.
        """
        self._process = process
        self._condition = threading.Condition()
        self._waiting: Frame | None = None
        self._requests: deque[Callable[[], None]] = deque()
        self._running = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; does nothing if it runs."""
        if self._thread is None:
            self._running = True
            self._thread = threading.Thread(target=self._run, name="pose worker", daemon=True)
            self._thread.start()

    def submit(self, frame: Frame) -> bool:
        """Hand over a frame without waiting.

        Returns:
            Whether an older frame was waiting and is now dropped.
        """
        with self._condition:
            replaced = self._waiting is not None
            self._waiting = frame
            self._condition.notify()
        return replaced

    def discard(self) -> bool:
        """Forget the waiting frame and tell whether there was one."""
        with self._condition:
            was_waiting, self._waiting = self._waiting is not None, None
        return was_waiting

    def request(self, action: Callable[[], None]) -> None:
        """Have something done in the thread before the next frame, without waiting for it.

        Args:
            action: Has to handle its errors. Forgotten if the worker is stopped before its turn.
        """
        with self._condition:
            self._requests.append(action)
            self._condition.notify()

    def stop(self, timeout: float) -> tuple[bool, bool]:
        """End the thread after the frame it is at, and forget the waiting one.

        Args:
            timeout: Longest time to wait for the thread, in seconds.

        Returns:
            Whether the thread has ended, and whether a waiting frame was dropped.
        """
        with self._condition:
            dropped = self._waiting is not None
            self._waiting = None
            self._requests.clear()
            self._running = False
            self._condition.notify()
        thread, self._thread = self._thread, None
        if thread is None:
            return True, dropped
        thread.join(timeout)
        return not thread.is_alive(), dropped

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        """Wait for something to do; None when the worker is to end."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._waiting is not None or self._requests or not self._running
            )
            if not self._running:
                return None
            if self._requests:
                return self._requests.popleft()
            frame, self._waiting = self._waiting, None
            return functools.partial(self._process, frame) if frame is not None else None
