"""One thread that works on the newest frame only, and the count of what became of each frame."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields

from sensor_msgs.msg import CameraInfo, Image


@dataclass(frozen=True)
class Frame:
    """Hold an image as received and the newest calibration at that time.

    Attributes:
        image: The image message.
        camera_info: The latest calibration, or None before the first.
    """

    image: Image
    camera_info: CameraInfo | None


@dataclass
class NodeStatistics:
    """Count what became of the images.

    Each counter is written by one thread only; received is the sum of processed, failed, the
    dropped ones, and up to two images still on their way.

    Attributes:
        received: Images that arrived while active.
        processed: Images that gave a skeleton message.
        people: Skeletons in these messages.
        dropped_busy: Replaced by a newer image before their turn came.
        dropped_undecodable: Unknown encoding, short data, zero size, wrong step.
        dropped_old: Older than `max_image_age` when their turn came.
        dropped_inactive: Waiting when the node was deactivated.
        failed: The estimator raised an error.
        refused_camera_info: Images processed without intrinsics because camera_info was unusable.
    """

    received: int = 0
    processed: int = 0
    people: int = 0
    dropped_busy: int = 0
    dropped_undecodable: int = 0
    dropped_old: int = 0
    dropped_inactive: int = 0
    failed: int = 0
    refused_camera_info: int = 0

    def __str__(self) -> str:
        """List the counters, those of losses only where they are not zero."""
        always = ("received", "processed", "people")
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in values.items()
            if value or name in always
        )


class LatestFrameWorker:
    """Hand frames to a thread that never has more than one waiting.

    A new frame replaces the waiting one, so that the age of a result is bounded by two frames'
    work however fast the camera is.
    """

    def __init__(self, process: Callable[[Frame], None]) -> None:
        """Prepare the thread; `start` runs it.

        Args:
            process: Called with each frame in the worker's thread. Has to handle its errors.
        """
        self._process = process
        self._condition = threading.Condition()
        self._waiting: Frame | None = None
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
            self._running = False
            self._condition.notify()
        thread, self._thread = self._thread, None
        if thread is None:
            return True, dropped
        thread.join(timeout)
        return not thread.is_alive(), dropped

    def _run(self) -> None:
        while (frame := self._next()) is not None:
            self._process(frame)

    def _next(self) -> Frame | None:
        """Wait for a frame; None when the worker is to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting is not None or not self._running)
            frame, self._waiting = self._waiting, None
            return frame if self._running else None
