"""What became of the images and how long it took: the one source of every figure reported."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from rclpy.publisher import Publisher

# What is older does not count in a rate, so that it falls to zero soon after the camera stops.
_RATE_WINDOW = 3.0
# Nor does what is older count as a pause: who waits for so long waits for something else.
_PAUSE_WINDOW = 10.0
_PAUSES = 3
_KEPT = 100
# Hands a message to DDS.
Send = Callable[[Publisher, Any], None]


@dataclass
class NodeStatistics:
    """Count what became of the images.

    Each counter is written by one thread at a time; received is the sum of processed, failed, the
    dropped ones, and those still on their way: up to two, and what waits for its transform.

    Attributes:
        received: Images that arrived while active.
        processed: Images that gave a skeleton message.
        people: Skeletons in these messages.
        dropped_busy: Replaced by a newer image before their turn came.
        dropped_undecodable: Unknown encoding, short data, zero size, wrong step.
        dropped_old: Older than `max_image_age` when their turn came.
        dropped_untransformed: There was no transform to `target_frame` at their time: within
            `transform_timeout`, while too many others waited for theirs, or before all people
            were forgotten as of a reset or as time went back.
        dropped_disabled: Waiting or on their way when `~/enable` became false; after that none
            is received.
        dropped_unwanted: On their way when the last subscriber of a result had gone (`lazy`);
            after that none is received.
        dropped_inactive: Waiting, for their turn or their transform, when the node was
            deactivated.
        failed: An error that the log names cost the skeletons.
        refused_camera_info: Images processed without intrinsics because camera_info was unusable.
        missed_depth: Images processed without a depth image, although such images come or came.
        refused_depth: Images processed without depth because the depth image was unusable.
    """

    received: int = 0
    processed: int = 0
    people: int = 0
    dropped_busy: int = 0
    dropped_undecodable: int = 0
    dropped_old: int = 0
    dropped_untransformed: int = 0
    dropped_disabled: int = 0
    dropped_unwanted: int = 0
    dropped_inactive: int = 0
    failed: int = 0
    refused_camera_info: int = 0
    missed_depth: int = 0
    refused_depth: int = 0

    def __str__(self) -> str:
        """List the counters, those of losses only where they are not zero."""
        always = ("received", "processed", "people")
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in values.items()
            if value or name in always
        )

    def losses(self) -> dict[str, int]:
        """Return the counters of images that gave no skeletons, by cause."""
        names = [item.name for item in fields(self)]
        return {n: getattr(self, n) for n in names if n == "failed" or n.startswith("dropped_")}

    def since(self, earlier: "NodeStatistics") -> "NodeStatistics":
        """Return what was counted after an earlier copy was taken."""
        names = [item.name for item in fields(self)]
        return NodeStatistics(**{n: getattr(self, n) - getattr(earlier, n) for n in names})


class Rate:
    """Measure how often something happens, from its last 100 times; safe between threads."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def count(self) -> None:
        """Note that it happened now."""
        with self._lock:
            self._times.append(time.monotonic())

    @property
    def hz(self) -> float:
        """Return the rate of the last seconds; 0 if it happened less than twice in them."""
        start = time.monotonic() - _RATE_WINDOW
        with self._lock:
            times = [moment for moment in self._times if moment >= start]
        if len(times) < 2 or times[-1] == times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])

    @property
    def pause(self) -> float:
        """Return the longest of the last three pauses, the present one included, in seconds.

        0 if it has not happened in the last ten seconds.
        """
        now = time.monotonic()
        with self._lock:
            times = [moment for moment in self._times if now - moment < _PAUSE_WINDOW]
        return float(np.diff([*times[-_PAUSES:], now]).max(initial=0.0))


class Durations:
    """Keep how long a step took the last 100 times; safe between threads."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time what is done in this context; what raises an error does not count."""
        started = time.monotonic()
        yield
        self.add(time.monotonic() - started)

    def add(self, seconds: float) -> None:
        """Note how long it took once, seconds."""
        with self._lock:
            self._seconds.append(seconds)

    def percentiles(self) -> tuple[float, float]:
        """Return p50 and p95 in seconds, NaN before the first time."""
        with self._lock:
            seconds = list(self._seconds)
        middle, high = np.percentile(seconds or [np.nan], (50, 95)).tolist()
        return middle, high


class Publication:
    """Time the making of an image's messages apart from their way into DDS; for one thread.

    Attributes:
        message: From poses to messages, all that are made of one image.
        publish: In `send`, for the same.
    """

    def __init__(self) -> None:
        self.message, self.publish = Durations(), Durations()
        self._sending = 0.0

    @contextmanager
    def measure(self, since: float) -> Iterator[None]:
        """Time what is done for an image in this context; what raises an error does not count.

        Args:
            since: When the image's poses were there, seconds of `time.monotonic`.
        """
        self._sending = 0.0
        yield
        self.message.add(time.monotonic() - since - self._sending)
        self.publish.add(self._sending)

    def send(self, publisher: Publisher, message: Any) -> None:
        """Hand a message to DDS, in the context of `measure`."""
        started = time.monotonic()
        publisher.publish(message)
        self._sending += time.monotonic() - started


@dataclass(frozen=True)
class Timings:
    """Hold the rates and durations of an activation.

    Attributes:
        images_in: Arrival of images.
        images_out: Publication of skeletons.
        decode: From message to array.
        estimate: From array to poses.
        publication: From poses to messages, the wait for a transform and the drawing of the
            debug image included; and from messages into DDS.
    """

    images_in: Rate = field(default_factory=Rate)
    images_out: Rate = field(default_factory=Rate)
    decode: Durations = field(default_factory=Durations)
    estimate: Durations = field(default_factory=Durations)
    publication: Publication = field(default_factory=Publication)

    def latencies(self) -> dict[str, tuple[float, float]]:
        """Return p50 and p95 of each step in seconds, NaN before the first image."""
        steps = {
            "decode": self.decode,
            "estimate": self.estimate,
            "message": self.publication.message,
            "publish": self.publication.publish,
        }
        return {name: durations.percentiles() for name, durations in steps.items()}
