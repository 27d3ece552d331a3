"""Node `viewer`: shows skeletons, anchors and the camera's image in a browser."""

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.utilities import try_shutdown

from pandapose_ros.config import ViewerConfig
from pandapose_ros.drawing import limit_width
from pandapose_ros.frames.frame_names import has_optical_axes, is_of_camera
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3D, Skeleton3DArray, SkeletonInfo
from pandapose_ros.node.compressed import decode
from pandapose_ros.node.distributions import steady_clock
from pandapose_ros.node.intrinsics import intrinsics_from_message
from pandapose_ros.node.listener import Listener, Pulse
from pandapose_ros.node.parameters import read_parameters
from pandapose_ros.node.readback import pose_from_messages, skeleton_from_message
from pandapose_ros.node.running import spin, start_ros
from pandapose_ros.node.sources import find_source, skeleton_topics
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.view_text import quoted
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import H36M_17, Skeleton

if TYPE_CHECKING:
    from pandapose_ros.node.live_scene import LiveScene

_SEARCH_PERIOD = 1.0
# People and the image are hidden when their node has been silent for so many seconds, or for so
# many times the longest of its last pauses if that is longer; the latter in seconds at most. The
# image is hidden after the same time in which people had none, too.
_SILENCE = 1.5
_SILENT_PAUSES = 2.5
_SILENCE_AT_MOST = 10.0
# Longest wait after a drawing for messages of the next skeletons' stamp [s].
_PATIENCE = 0.3
# Images that are older, or as far ahead, are of a recording or a simulation with another clock.
_OTHER_TIME_MS = 60_000.0
_OF_OTHER_TIME = ", images of another time"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Viewer(Node):
    """Subscribe to a pose_node while a browser is connected, and draw its people.

    Nothing is subscribed to without a browser: pose_node builds its anchors for subscribers only.
    """

    def __init__(self, **node_options: Any) -> None:
        """Read the parameters; `serve` has to follow.

        Args:
            node_options: As of `rclpy.node.Node`, which checks them.

        Raises:
            ValueError: If a parameter is wrong.
        """
        super().__init__("viewer", **node_options)
        # Before anything that may fail: from Kilted on, rclpy then calls `destroy_node`.
        self.scene: LiveScene | None = None
        self.config = read_parameters(self, ViewerConfig)
        # Here, as nothing would be told of a wrong name before there is a browser.
        self._skeletons, self._image = self._resolve("skeletons"), self._resolve("image")
        self._listener: Listener | None = None
        self._drawn: Skeleton3DArray | None = None
        self._drawn_at = 0.0
        self._pictures = Pulse()
        self._frames = ("", "")
        self._next_search = 0.0

    def serve(self, scene: "LiveScene") -> None:
        """Draw into a scene from now on; `destroy_node` stops it."""
        self.scene = scene
        self.get_logger().info(f"open {scene.url} in a browser")
        if self.config.host not in _LOOPBACK:
            self.get_logger().warning(
                f"anyone who can reach port {scene.url.rsplit(':', 1)[1]} of this computer sees "
                "the camera's images: there is no password and no encryption"
            )
        clock = steady_clock()
        self.create_timer(1 / self.config.rate, lambda: self._update(scene), clock=clock)

    def destroy_node(self) -> None:
        """Stop serving."""
        if self.scene is not None:
            self.scene.stop()
        super().destroy_node()

    def _resolve(self, parameter: str) -> str:
        """Return the topic that a parameter names; empty: none.

        Raises:
            ValueError: If it is no name of a topic.
        """
        topic = getattr(self.config, parameter)
        try:
            return self.resolve_topic_name(topic) if topic else ""
        except RuntimeError as error:
            reason = str(error).split(", at ")[0]  # without the place in the C sources
            raise ValueError(f"parameter '{parameter}', {topic!r}: {reason}") from error

    def _update(self, scene: "LiveScene") -> None:
        """Search for skeletons or draw them; unsubscribe without a browser."""
        if not scene.watchers:
            self._hang_up()
            return
        listener = self._listener
        is_silent = listener is None or _is_silent(listener.pulse)
        # A topic that was asked for may be of another type than it seemed before it was published.
        lacks_image = not (listener and listener.source.image) or _is_silent(self._pictures)
        if time.monotonic() >= self._next_search and (is_silent or lacks_image):
            self._next_search = time.monotonic() + _SEARCH_PERIOD
            self._search()
        if is_silent:
            topic = f" on {listener.source.skeletons}" if listener else ""
            _show_nothing(scene, f"**no skeletons**{topic}: does pose_node run and get images?")
        elif listener is not None:
            listener.hear_anchors(wanted=scene.wants_anchors)
            try:
                self._draw(scene, listener)
            except Exception as error:  # one bad message must not end the view
                why = f"{type(error).__name__}: {error}"
                self.get_logger().error(f"people not shown, {why}", throttle_duration_sec=10.0)
                _show_nothing(scene, f"**people not shown**, {quoted(why)}")

    def _search(self) -> None:
        """Subscribe to the skeletons that were asked for, or to the first ones found.

        Not to others while these come: their images may have to be found anew.
        """
        topics = skeleton_topics(self)
        current = self._listener
        heard = current.source.skeletons if current and not _is_silent(current.pulse) else ""
        found = heard if heard in topics else next(iter(topics), "")
        topic = self._skeletons or found
        if not topic:
            return
        try:
            source = find_source(self, topic, self._image)
        except RuntimeError:  # the publisher has just disappeared
            return
        if self._listener is not None and self._listener.source == source:
            return
        self._hang_up()
        self._listener, self._pictures = Listener(self, source), Pulse()
        others = ", ".join(name for name in topics if name != topic)
        also = f"; there are also {others} (parameter skeletons)" if others else ""
        self.get_logger().info(f"showing {topic} on {source.image or 'no image'}{also}")

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = self._drawn = None

    def _draw(self, scene: "LiveScene", listener: Listener) -> None:
        message = listener.skeletons
        if message is None or message is self._drawn:
            return
        skeleton = _skeleton_of(message, listener.info)
        if skeleton is None:
            _show_nothing(
                scene,
                f"**no skeleton_info** tells what the joints of {quoted(message.skeleton_type)} "
                "are: publish or record it beside the skeletons",
            )
            return
        anchors, image = listener.anchors_of(message), listener.image_of(message)
        is_patient = self._drawn is not None and time.monotonic() < self._drawn_at + _PATIENCE
        if is_patient and listener.awaits(message, image=scene.wants_image):
            return
        self._drawn, self._drawn_at = message, time.monotonic()
        # Without an image its frame is taken as unchanged, or the view would turn each time.
        image_frame = image.header.frame_id if image is not None else self._frames[1]
        frames = (message.header.frame_id, image_frame)
        scene.set_skeleton(skeleton)
        if frames != self._frames:
            self._frames = frames
            # Skeletons may be in a frame of the world, in which the camera's place is unknown.
            scene.set_up(optical=has_optical_axes(*frames))
        poses = _poses(message, anchors)
        scene.draw_people(poses)
        if image is not None:
            self._pictures.beat()
        has_place = image is None or is_of_camera(*frames)
        if not scene.wants_image or not has_place or _is_silent(self._pictures):
            scene.draw_camera(None)
        elif image is not None:
            self._draw_camera(scene, listener, image)
        scene.set_status(self._status(listener, message, poses))

    def _draw_camera(self, scene: "LiveScene", listener: Listener, image: Any) -> None:
        try:
            pixels = decode(image)
        except ValueError as error:
            self.get_logger().error(f"image not shown: {error}", once=True)
            return
        height, width = pixels.shape[:2]
        camera, info = listener.camera, listener.camera_info
        camera.ask()
        K = intrinsics_from_field_of_view(camera.field_of_view, width, height)
        if info is not None:
            try:
                K, _ = intrinsics_from_message(info, width, height, rectified=camera.rectified)
            except ValueError as error:
                self.get_logger().warning(f"camera_info ignored: {error}", once=True)
        # Of the pyramid, not of the image: the pixels of some cameras are no squares.
        aspect = float(width / K[0, 0] / (height / K[1, 1]))
        field_of_view = float(2 * np.arctan(height / 2 / K[1, 1]))
        scene.draw_camera(limit_width(pixels, self.config.image_width), field_of_view, aspect)

    def _status(self, listener: Listener, message: Skeleton3DArray, poses: list[Pose]) -> str:
        """Return a line on the stream, and one on each thing that is not shown."""
        lines = [f"**{len(poses)}** in view, {listener.rate.hz:.1f} Hz"]
        if stamp_ns := nanoseconds(message.header.stamp):  # zero: the driver gives no stamp
            age_ms = (self.get_clock().now().nanoseconds - stamp_ns) / 1e6
            is_live = abs(age_ms) < _OTHER_TIME_MS
            lines[0] += f", {age_ms:.0f} ms after the image" if is_live else _OF_OTHER_TIME
        if any(pose.root is None for pose in poses):
            lines.append("People without a 3D position are not shown: set `field_of_view`.")
        if listener.source.image and _is_silent(self._pictures):
            lines.append(f"**no images** of these people on `{listener.source.image}`")
        elif self._pictures.has_come and not is_of_camera(*self._frames):
            people, images = (f"in {quoted(f)}" if f else "in no frame" for f in self._frames)
            lines.append(f"**no camera**: people are {people}, images {images}")
        return "\n\n".join([*lines, f"`{listener.source.skeletons}`"])


def _show_nothing(scene: "LiveScene", why: str) -> None:
    """Hide what is no news any more: an image that stays would look like one without people."""
    scene.draw_people(())
    scene.draw_camera(None)
    scene.set_status(why)


def _is_silent(pulse: Pulse) -> bool:
    """Return whether something has not come for so long that what it showed is no news."""
    longest = max(_SILENCE, min(_SILENT_PAUSES * pulse.longest_pause, _SILENCE_AT_MOST))
    return pulse.silence > longest


def _skeleton_of(message: Skeleton3DArray, info: SkeletonInfo | None) -> Skeleton | None:
    """Return what the joints mean; None if nobody tells, as in a recording of skeletons alone."""
    if info is not None:
        return skeleton_from_message(info)
    return H36M_17 if message.skeleton_type == H36M_17.name else None


def _poses(skeletons: Skeleton3DArray, anchors: AnchorSet3DArray | None) -> list[Pose]:
    """Convert all people but the lost, each with the anchors at the same index."""
    sets = list(anchors.sets) if anchors is not None else []
    has_anchors = len(sets) == len(skeletons.skeletons)
    return [
        pose_from_messages(skeleton, sets[number] if has_anchors else None)
        for number, skeleton in enumerate(skeletons.skeletons)
        if len(skeleton.joints) and skeleton.tracking_state != Skeleton3D.TRACKING_LOST
    ]


def main() -> int:
    """Show people until told to end; return the exit code."""
    ending = start_ros()
    viewer: Viewer | None = None
    try:
        from pandapose_ros.node.live_scene import LiveScene

        viewer = Viewer()
        viewer.serve(LiveScene(viewer.config.host, viewer.config.port))
        spin(viewer, ending.is_set)
    except ModuleNotFoundError as error:
        get_logger("viewer").error(f"{error}: pip install 'viser>=1.1,<2'")
        return 1
    except (OSError, ValueError) as error:
        get_logger("viewer").error(str(error))
        return 1
    finally:
        if viewer is not None:
            viewer.destroy_node()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
