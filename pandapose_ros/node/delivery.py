"""The way out of a camera's results: in their order, each as soon as it can be placed."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from pandapose_ros.config import PictureConfig, WorldConfig
from pandapose_ros.frames.transform_tree import TransformError
from pandapose_ros.node.markers import lasting
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.node.parameters import Parameters
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import NodeStatistics, Timings
from pandapose_ros.node.world import Placed, World
from pandapose_ros.pose import Pose, TrackState

# Each holds on to its image, of 3 MB at 1280x720. What waits for longer than this takes at 30 Hz
# is of little use.
MOST_WAITING = 30


@dataclass(frozen=True, eq=False)
class Estimate:
    """Hold the people of an image.

    Attributes:
        poses: In the camera's optical frame.
        header: Stamp of the image and that frame.
        image: RGB uint8 [H, W, 3].
        is_tracked: Whether the people's names hold from image to image.
        since: When the estimation ended, seconds of `time.monotonic`.
    """

    poses: Sequence[Pose]
    header: Header
    image: NDArray[np.uint8]
    is_tracked: bool
    since: float


@dataclass
class Delivery:
    """Publish a camera's results, each as soon as its transform is there; for one thread.

    Whoever has to wait for tf is set aside, so that the next images can be worked on. None is
    published after a later one. One that waits for longer than `transform_timeout` is given up,
    and so is one that comes while too many others wait.

    Attributes:
        node: Gives the clock.
        parameters: Read anew for every estimate.
        world: Places people in another frame.
        outputs: Publishes them.
        statistics: Counts what became of the results.
        timings: Takes the time from estimation to publication.
        notices: Where to say why people were dropped.
        on_error: Told what went wrong with an estimate that is not published.
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
        """Start with nothing to deliver."""
        self.people_in_view = 0
        self._waiting: deque[Estimate] = deque()

    def add(self, estimate: Estimate) -> None:
        """Take an estimate in; `attend` publishes it."""
        self.attend()  # there may be room by now
        if len(self._waiting) >= MOST_WAITING:
            # Not the oldest: where tf is that late, none would live to be published.
            self.statistics.dropped_untransformed += 1
            self.notices.error(
                f"people dropped: {MOST_WAITING} images are already waiting for tf",
                again_after=10.0,
            )
            return
        self._waiting.append(estimate)

    def attend(self) -> bool:
        """Publish what has its transform by now, give up what is late; tell if more waits."""
        # Before the first: what has waited together comes out at once.
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
        """Forget all that waits; return of how many images, for the caller to count."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def _place(self, estimate: Estimate) -> Placed | None:
        """Move people to the frame to publish in; None, after having said why, if it is too late.

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
        """Publish all that is made of an image; only its picture if people have no place.

        Args:
            estimate: Of the image.
            placed: Its people; None if they have no place.
            pause: Between the messages of before, seconds.
        """
        style = lasting(self.parameters.get(PictureConfig), pause)
        publication = self.timings.publication
        with publication.measure(estimate.since):
            if placed is not None:
                self._publish_people(placed, style)
            try:
                self._publish_beside(estimate, placed, style)
            except Exception as error:  # the image is counted by now, as what it has come to
                self.notices.error(
                    f"image partly published, {type(error).__name__}: {error}",
                    again_after=10.0,
                )

    def _publish_people(self, placed: Placed, style: PictureConfig) -> None:
        people = sum(pose.state is not TrackState.LOST for pose in placed.poses)
        # Before, so that whoever has seen the skeletons finds them counted.
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
        poses, header, image = estimate.poses, estimate.header, estimate.image
        send = self.timings.publication.send
        if placed is not None and estimate.is_tracked:
            self.world.publish(placed, header, image, send)
        elif placed is not None:
            self.world.withdraw()
        caption = self._caption(header)
        self.outputs.pictures.publish(image, poses, header, style, caption, send)

    def _caption(self, header: Header) -> str:
        """Tell the rate and, where images have a stamp, how old this one is by now."""
        rate = f"{self.timings.images_out.hz:.1f} Hz"
        stamp_ns = nanoseconds(header.stamp)
        if stamp_ns == 0:
            return rate
        age_ms = (self.node.get_clock().now().nanoseconds - stamp_ns) / 1e6
        return f"{rate}  {age_ms:.0f} ms"

    def _count(self, images: int, people: int) -> None:
        self.statistics.processed += images
        self.statistics.people += people
