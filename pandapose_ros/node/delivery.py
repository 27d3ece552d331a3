"""Publish a camera's estimates in order, each as soon as its transform is known."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import Header

from pandapose_ros.config import PictureConfig, WorldConfig
from pandapose_ros.frames.transform_tree import TransformError
from pandapose_ros.node.estimate import Estimate, Placed
from pandapose_ros.node.markers import lasting
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.outputs import MOST_AT_ONCE, Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics, Timings
from pandapose_ros.node.world import World
from pandapose_ros.pose import TrackState


@dataclass
class Delivery:
    """Publish a camera's estimates, each as soon as its transform is known; for one thread.

    Estimates wait for tf in a queue, so that the next images can be processed meanwhile, and leave
    it in order. One that waits for longer than `transform_timeout` is dropped, and so is one that
    finds the queue full.

    Attributes:
        node: Gives the clock.
        parameters: Read anew for every estimate.
        world: Moves people to `target_frame`.
        outputs: Publishes them.
        statistics: Counts what happened to the estimates.
        timings: Measures the time from estimate to publication.
        notices: Where to log why people were dropped.
        on_error: Called with the error because of which an estimate is not published.
    """

    node: Node
    parameters: Parameters
    world: World
    outputs: Outputs
    statistics: NodeStatistics
    timings: Timings
    notices: Notices
    on_error: Callable[[Exception], None]

    def __post_init__(self) -> None:
        """Start with an empty queue."""
        self.people_in_view = 0
        self._waiting: deque[Estimate] = deque()

    def add(self, estimate: Estimate) -> None:
        """Queue an estimate; `attend` publishes it."""
        self.attend()  # may make room
        if len(self._waiting) >= MOST_AT_ONCE:
            # Drop the newest: if tf is that late, dropping the oldest would publish none at all.
            self.statistics.dropped_untransformed += 1
            self.notices.error(
                f"people dropped: {MOST_AT_ONCE} images are already waiting for tf",
                again_after=10.0,
            )
            return
        self._waiting.append(estimate)

    def attend(self) -> bool:
        """Publish what has its transform, drop what is too late; return whether more waits."""
        # Measured before the first, as those that waited together are published at once.
        pause = self.timings.images_out.pause
        while self._waiting:
            estimate = self._waiting[0]
            try:
                self._publish(estimate, self._place(estimate), pause)
            except TransformError:
                return True
            except Exception as error:  # one bad image must not end the node
                self.on_error(error)
            self._waiting.popleft()
        return False

    def drop(self) -> int:
        """Empty the queue; return how many estimates were in it, for the caller to count."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def _place(self, estimate: Estimate) -> Placed | None:
        """Move people to `target_frame`; None, with the reason in the log, if it is too late.

        Raises:
            TransformError: If it may still be possible later.
        """
        try:
            return self.world.place(estimate.poses, estimate.header)
        except TransformError as error:
            timeout = self.parameters.get(WorldConfig).transform_timeout
            if time.monotonic() < estimate.since + timeout:
                raise
            self.world.state = str(error)
            self.statistics.dropped_untransformed += 1
            self.notices.error(
                f"people dropped: {error} (waited {timeout:g} s; set transform_timeout to at "
                "least the period plus the delay of the slowest tf)",
                again_after=10.0,
            )
            return None

    def _publish(self, estimate: Estimate, placed: Placed | None, pause: float) -> None:
        """Publish everything made from an image; only the debug image if people were dropped.

        Args:
            estimate: Of the image.
            placed: Its people in `target_frame`; None if they were dropped.
            pause: Between the previous messages, seconds.
        """
        style = lasting(self.parameters.get(PictureConfig), pause)
        publication = self.timings.publication
        with publication.measure(estimate.since):
            if placed is not None:
                self._publish_people(placed, style)
            try:
                self._publish_beside(estimate, placed, style)
            except Exception as error:  # the image is already counted as processed
                self.notices.error(
                    f"image partly published, {type(error).__name__}: {error}",
                    again_after=10.0,
                )

    def _publish_people(self, placed: Placed, style: PictureConfig) -> None:
        people = sum(pose.state is not TrackState.LOST for pose in placed.poses)
        # Before they are sent, so that a subscriber who has them finds them counted.
        self._count(1, people)
        try:
            self.outputs.publish(placed, style, self.timings.publication.send)
        except Exception:
            self._count(-1, -people)
            raise
        self.timings.images_out.count()
        self.people_in_view = people

    def _publish_beside(
        self, estimate: Estimate, placed: Placed | None, style: PictureConfig
    ) -> None:
        send = self.timings.publication.send
        if placed is not None and estimate.is_tracked:
            self.world.publish(placed, estimate, send)
        elif placed is not None:
            self.world.withdraw()
        self.outputs.pictures.publish(estimate, style, self._caption(estimate.header), send)

    def _caption(self, header: Header) -> str:
        """Return the rate and, if the image has a stamp, its age."""
        rate = f"{self.timings.images_out.hz:.1f} Hz"
        stamp_ns = nanoseconds(header.stamp)
        if stamp_ns == 0:
            return rate
        age_ms = (self.node.get_clock().now().nanoseconds - stamp_ns) / 1e6
        return f"{rate}  {age_ms:.0f} ms"

    def _count(self, images: int, people: int) -> None:
        self.statistics.processed += images
        self.statistics.people += people
