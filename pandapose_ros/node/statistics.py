"""Counters, rates and durations of the work on images: the source of every reported figure."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from rclpy.publisher import Publisher

# Rates cover this many seconds, or the last two events if those come more slowly, and fall to zero
# after as many seconds, or periods, without an event.
_RATE_WINDOW = 3.0
_RATE_PERIODS = 2.5
# A longer pause between messages means that the node did not work, not that it was slow.
_PAUSE_WINDOW = 10.0
_PAUSES = 3
_KEPT = 100
# Called with a publisher and its message, to hand it to DDS.
Send = Callable[[Publisher, Any], None]


@dataclass
class NodeStatistics:
    """Count what happened to the images.

    Each counter is written by one thread at a time. `received` is the sum of processed, failed and
    dropped images, and of those still being processed: up to two, and those that wait for tf.

    Attributes:
        received: Images that arrived while active.
        processed: Images that gave a skeleton message.
        people: Skeletons in these messages.
        dropped_busy: Replaced by a newer image before processing started.
        dropped_undecodable: Unknown encoding, short data, zero size, wrong step.
        dropped_old: Older than `max_image_age` when processing would have started.
        dropped_untransformed: Without a transform to `target_frame` within `transform_timeout`,
            while too many others waited, or until a reset or a jump in time.
        dropped_wrong_stamp: Stamped far ahead of the image before, or before it, while the clocks
            went on as usual; if the next one is too, it is a jump in time, and used.
        dropped_disabled: Waiting or arriving when `~/enable` was set to false; after that, none is
            received.
        dropped_unwanted: Arriving when the last subscriber of a result had left (`lazy`); after
            that, none is received.
        dropped_inactive: Waiting for processing or for tf when the node was deactivated.
        failed: Lost to an error, which is in the log.
        refused_camera_info: Images processed without intrinsics because camera_info was unusable.
        missed_depth: Images processed without a depth image, although there are or were such.
        between_depth: Images processed without a depth image as those come less often; no fault.
        refused_depth: Images processed without depth because the depth image was unusable.
        missed_detections: Images processed when no detections had come for `image_timeout`, or
            only such as were further away than `detections_window`.
        refused_detections: Images processed without detections because those were unusable.
    """

    received: int = 0
    processed: int = 0
    people: int = 0
    dropped_busy: int = 0
    dropped_undecodable: int = 0
    dropped_old: int = 0
    dropped_untransformed: int = 0
    dropped_wrong_stamp: int = 0
    dropped_disabled: int = 0
    dropped_unwanted: int = 0
    dropped_inactive: int = 0
    failed: int = 0
    refused_camera_info: int = 0
    missed_depth: int = 0
    between_depth: int = 0
    refused_depth: int = 0
    missed_detections: int = 0
    refused_detections: int = 0

    def __str__(self) -> str:
        """List the counters, without those of losses that are zero."""
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
    """Measure the rate of an event from its last 100 times; thread-safe."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count one event, now."""
        with self._lock:
            self._times.append(time.monotonic())

    @property
    def hz(self) -> float:
        """Events per second during the last three, or from one to the next if they are slower.

        After two periods without an event it falls. It is 0 after 2.5 of them, at least three
        seconds and at most ten, and before the second event.
        """
        now = time.monotonic()
        with self._lock:
            times = list(self._times)
        recent = [moment for moment in times if now - moment <= _RATE_WINDOW]
        times = recent if len(recent) > 1 else times[-2:]
        if len(times) < 2 or times[-1] == times[0]:
            return 0.0
        period, silence = (times[-1] - times[0]) / (len(times) - 1), now - times[-1]
        if silence > min(max(_RATE_WINDOW, _RATE_PERIODS * period), _PAUSE_WINDOW):
            return 0.0
        return 1 / (silence if silence > 2 * period else period)

    @property
    def silence(self) -> float:
        """Seconds since the last event; infinite before the first."""
        with self._lock:
            return time.monotonic() - self._times[-1] if self._times else float("inf")

    @property
    def pause(self) -> float:
        """The longest of the last three intervals, including the current one, in seconds.

        0 without an event in the last ten seconds.
        """
        now = time.monotonic()
        with self._lock:
            times = [moment for moment in self._times if now - moment < _PAUSE_WINDOW]
        return float(np.diff([*times[-_PAUSES:], now]).max(initial=0.0))


class Durations:
    """Keep the last 100 durations of a step; thread-safe."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure the duration of a context, unless it raises an error."""
        started = time.monotonic()
        yield
        self.add(time.monotonic() - started)

    def add(self, seconds: float) -> None:
        """Add one duration, seconds."""
        with self._lock:
            self._seconds.append(seconds)

    def percentiles(self) -> tuple[float, float]:
        """Return p50 and p95 in seconds, NaN before the first one."""
        with self._lock:
            seconds = list(self._seconds)
        middle, high = np.percentile(seconds or [np.nan], (50, 95)).tolist()
        return middle, high


class Publication:
    """Measure the making of an image's messages apart from their publication; for one thread.

    Attributes:
        message: Durations of making all messages of an image.
        publish: Durations of handing them to DDS.
    """

    def __init__(self) -> None:
        self.message, self.publish = Durations(), Durations()
        self._sending = 0.0

    @contextmanager
    def measure(self, since: float) -> Iterator[None]:
        """Measure a context that publishes an image's messages, unless it raises an error.

        Args:
            since: When the image's poses were estimated, seconds of `time.monotonic`.
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
