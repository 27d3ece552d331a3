"""People in the world: in `target_frame`, as tf frames, and for REP 155."""

from collections.abc import Sequence

from rclpy.node import Node
from std_msgs.msg import Header

from pandapose_ros.config import WorldConfig
from pandapose_ros.frames.transform import IDENTITY, move_pose
from pandapose_ros.frames.transform_tree import TransformError
from pandapose_ros.node.body_frames import BodyFrames
from pandapose_ros.node.estimate import Estimate, Placed
from pandapose_ros.node.hri import HriBridge
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.rivals import Rivals
from pandapose_ros.node.stamps import nanoseconds
from pandapose_ros.node.statistics import Send
from pandapose_ros.node.transforms import open_transforms
from pandapose_ros.pose import Pose


class SharedWorld:
    """Hold what all cameras of a node share: one listener to tf, one list of people for REP 155.

    Attributes:
        target: The frame to publish in; empty: the camera's own.
        transforms: None without a target.
        hri: None unless asked for.
        notices: Where to log things once.
    """

    def __init__(self, node: Node, config: WorldConfig) -> None:
        """Subscribe and create publishers as configured.

        Args:
            node: Subscribes and publishes.
            config: Only `transform_timeout` may change later.

        Raises:
            RuntimeError: If a ROS package that is needed is missing; the message names the remedy.
        """
        self.target = config.target_frame.lstrip("/")
        self.notices = Notices(node.get_logger())
        self.hri = HriBridge(node) if config.publish_hri else None
        self.transforms = open_transforms(node) if self.target else None
        tf, hri = config.publish_tf, config.publish_hri
        self._rivals = Rivals(node, self.notices, publish_tf=tf, publish_hri=hri)

    def destroy(self) -> None:
        """Unsubscribe and remove the publishers."""
        for part in (self.transforms, self.hri, self._rivals):
            if part is not None:
                part.destroy()


class World:
    """Move a camera's people to `target_frame`, publish their tf frames and REP 155's topics.

    Attributes:
        state: Between which frames people were moved last, or why they were dropped.
    """

    def __init__(
        self, node: Node, config: WorldConfig, shared: SharedWorld, camera: str = ""
    ) -> None:
        """Create the publisher of tf frames, if configured; nothing is published before `open`.

        Args:
            node: Publishes.
            config: Only `transform_timeout` may change later.
            shared: What the node's cameras have in common.
            camera: Name of the camera; empty for a node with one.

        Raises:
            RuntimeError: If a ROS package that is needed is missing; the message names the remedy.
        """
        self._shared = shared
        self._camera = camera
        self._frames = BodyFrames(node) if config.publish_tf else None
        self._is_open = False
        target = shared.target
        self.state = f"no image placed in {target} yet" if target else "not used"

    @property
    def is_published(self) -> bool:
        """Whether people are published in a way that needs no subscription to the node."""
        return self._frames is not None or self._shared.hri is not None

    def open(self) -> None:
        """Begin to publish; forget transforms, as time may have jumped back since `close`."""
        self._is_open = True
        if self._shared.transforms is not None:
            self._shared.transforms.clear()

    def close(self) -> None:
        """Remove all people and stop publishing, even for an image still being processed."""
        self._is_open = False
        self.clear()

    def place(self, poses: Sequence[Pose], header: Header) -> Placed:
        """Move people to the target frame.

        Args:
            poses: People in the camera's optical frame.
            header: Stamp of the image and that frame.

        Raises:
            TransformError: If there is no transform at the image's time yet; the message names
                the missing frame. Nothing may be published then.
        """
        if self._shared.transforms is None:
            return Placed(poses, header, IDENTITY)
        source = header.frame_id.lstrip("/")
        try:
            camera = self._shared.transforms.look_up(
                self._shared.target, source, nanoseconds(header.stamp)
            )
        except TransformError as error:
            raise TransformError(
                f"no transform from '{source}' to '{self._shared.target}': {error}"
            ) from error
        self.state = f"from {source} to {self._shared.target}"
        target = Header(stamp=header.stamp, frame_id=self._shared.target)
        return Placed([move_pose(pose, camera) for pose in poses], target, camera)

    def publish(self, placed: Placed, estimate: Estimate, send: Send) -> None:
        """Publish tf frames and REP 155's topics, as configured.

        Args:
            placed: The people, who must keep their names from image to image.
            estimate: The same people, as in the image.
            send: Called with a publisher and its message.
        """
        if not self._is_open:
            return
        if self._frames is not None:
            self._frames.publish(placed, send)
        if self._shared.hri is not None:
            self._shared.hri.publish(self._camera, estimate, send)

    def withdraw(self) -> None:
        """Remove all people, as they do not keep their names without tracking."""
        self.clear()
        if self.is_published:
            self._shared.notices.warn(
                "publish_tf and publish_hri publish nothing while the parameter tracking is false"
            )

    def clear(self) -> None:
        """Remove all people."""
        if self._shared.hri is not None:
            self._shared.hri.clear(self._camera)

    def forget_after(self, stamp_ns: int) -> None:
        """Forget transforms later than a stamp, as when time has jumped back."""
        if self._shared.transforms is not None:
            self._shared.transforms.forget_after(stamp_ns)

    def destroy(self) -> None:
        """Remove the camera's publisher."""
        self.close()
        if self._frames is not None:
            self._frames.destroy()
