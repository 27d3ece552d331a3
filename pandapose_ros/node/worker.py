"""One thread that works on the newest frames only."""

import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

# Time between two calls while something is unfinished [s].
_PAUSE = 0.005


@dataclass(frozen=True)
class Frame:
    """Hold an image as received and the newest calibration at that time.

    Attributes:
        image: The image message.
        camera_info: The latest calibration, or None before the first.
        camera: Name of the camera; empty for a node with one.
    """

    image: Image | CompressedImage
    camera_info: CameraInfo | None
    camera: str = ""


class LatestFrameWorker:
    """Hand frames to a thread that never has more than one of each camera waiting.

    A new frame replaces the waiting one, so that the age of a result is bounded by the work on
    two frames, however fast the camera is. The waiting frames of all cameras are processed
    together. Requests are served between frames. The thread sleeps while there is nothing to do.
    """

    def __init__(
        self, process: Callable[[list[Frame]], bool], end: Callable[[], None] = lambda: None
    ) -> None:
        """Start the thread.

        Args:
            process: Called in the worker's thread with the newest frames, one of each camera that
                has a new one. While it returns true, something is unfinished: it is called again
                within 5 ms, without frames if there are no new ones. Must not raise.
            end: Called in the thread before it ends. Must not raise.
        """
        self._process = process
        self._end = end
        self._is_unfinished = False
        self._condition = threading.Condition()
        self._waiting: dict[str, Frame] = {}
        self._requests: deque[Callable[[], None]] = deque()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="pose worker", daemon=True)
        self._thread.start()

    def submit(self, frame: Frame) -> bool:
        """Hand over a frame without waiting.

        Returns:
            Whether an older frame of the camera was waiting and is now dropped.
        """
        with self._condition:
            replaced = frame.camera in self._waiting
            self._waiting[frame.camera] = frame
            self._condition.notify()
        return replaced

    def discard(self) -> list[Frame]:
        """Forget the waiting frames and return them."""
        with self._condition:
            waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def request(self, action: Callable[[], None]) -> None:
        """Have an action called in the thread before the next frame, without waiting for it.

        An action that is already waiting is not called twice.

        Args:
            action: Must not raise. Forgotten if the worker is stopped before its turn.
        """
        with self._condition:
            if action not in self._requests:
                self._requests.append(action)
            self._condition.notify()

    def stop(self, timeout: float) -> tuple[bool, list[Frame]]:
        """End the thread after the frames it works on, and forget those that wait.

        Args:
            timeout: Longest time to wait for the thread, in seconds.

        Returns:
            Whether the thread has ended, and the frames that were waiting.
        """
        with self._condition:
            dropped = list(self._waiting.values())
            self._waiting = {}
            self._requests.clear()
            self._running = False
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive(), dropped

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
        self._end()

    def _next(self) -> Callable[[], None] | None:
        """Wait for something to do; None when the worker is to end."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._waiting or self._requests or not self._running,
                _PAUSE if self._is_unfinished else None,
            )
            if not self._running:
                return None
            if self._requests:
                return self._requests.popleft()
            frames, self._waiting = list(self._waiting.values()), {}
            return functools.partial(self._work_on, frames)

    def _work_on(self, frames: list[Frame]) -> None:
        self._is_unfinished = self._process(frames)
