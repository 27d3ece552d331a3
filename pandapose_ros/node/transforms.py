"""Transforms from /tf: by tf2_ros, or by a tree of our own where it is not installed.

tf2_ros is not available from pip, but the messages of /tf are.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from pandapose_ros.frames.transform import Transform
from pandapose_ros.frames.transform_tree import Motion, TransformError, TransformTree
from pandapose_ros.node.stamps import nanoseconds

_QUEUE = 100  # as of tf2_ros


class Transforms(Protocol):
    """Look transforms up; called from the worker's thread while the executor spins."""

    def look_up(self, target: str, source: str, stamp_ns: int) -> Transform:
        """Return the transform from `source` to `target` at a time; 0: the newest.

        Raises:
            TransformError: If there is none yet.
        """
        ...

    def clear(self) -> None:
        """Forget all but static transforms."""
        ...

    def forget_after(self, stamp_ns: int) -> None:
        """Forget moving transforms later than a stamp, as when time has jumped back."""
        ...

    def destroy(self) -> None:
        """Unsubscribe."""
        ...


def open_transforms(node: Node) -> Transforms:
    """Subscribe to /tf and /tf_static.

    Raises:
        RuntimeError: If neither tf2_ros nor tf2_msgs is installed.
    """
    try:
        return Tf2Transforms(node)
    except ImportError:
        pass
    try:
        return TreeTransforms(node)
    except ImportError as error:
        raise RuntimeError(
            f"target_frame needs tf2_ros ({error}): sudo apt install "
            "ros-$ROS_DISTRO-tf2-ros-py, or leave target_frame empty"
        ) from error


class Tf2Transforms:
    """Look up with tf2_ros."""

    def __init__(self, node: Node) -> None:
        """Start to listen.

        Raises:
            ImportError: If tf2_ros is not installed.
        """
        from tf2_ros import (  # pyright: ignore[reportMissingImports]
            Buffer,
            TransformException,
            TransformListener,
        )

        self._error = TransformException
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def look_up(self, target: str, source: str, stamp_ns: int) -> Transform:
        """See `Transforms`."""
        if stamp_ns < 0:
            raise TransformError("the image's stamp is negative")
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except self._error as error:
            raise TransformError(str(error)) from error
        return _motion(found).transform()

    def clear(self) -> None:
        """See `Transforms`."""
        self._buffer.clear()

    def forget_after(self, stamp_ns: int) -> None:
        """See `Transforms`; the few transforms of the new time are forgotten too."""
        self._buffer.clear()

    def destroy(self) -> None:
        """See `Transforms`."""
        self._listener.unregister()


class TreeTransforms:
    """Look up in a tree of our own."""

    def __init__(self, node: Node) -> None:
        """Start to listen.

        Raises:
            ImportError: If tf2_msgs is not installed.
        """
        from tf2_msgs.msg import TFMessage

        self._node = node
        self._tree = TransformTree()
        latched = QoSProfile(depth=_QUEUE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

        def on_moving(message: TFMessage) -> None:
            self._add(message.transforms, is_static=False)

        def on_static(message: TFMessage) -> None:
            self._add(message.transforms, is_static=True)

        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", on_moving, QoSProfile(depth=_QUEUE)),
            node.create_subscription(TFMessage, "/tf_static", on_static, latched),
        ]

    def look_up(self, target: str, source: str, stamp_ns: int) -> Transform:
        """See `Transforms`."""
        return self._tree.look_up(target, source, stamp_ns)

    def clear(self) -> None:
        """See `Transforms`."""
        self._tree.clear()

    def forget_after(self, stamp_ns: int) -> None:
        """See `Transforms`."""
        self._tree.forget_after(stamp_ns)

    def destroy(self) -> None:
        """See `Transforms`."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _add(self, transforms: Iterable[TransformStamped], *, is_static: bool) -> None:
        for stamped in transforms:
            # As tf2 does with names of ROS 1, which begin with a slash.
            child = stamped.child_frame_id.removeprefix("/")
            parent = stamped.header.frame_id.removeprefix("/")
            self._tree.add(child, parent, _motion(stamped), is_static=is_static)


def _motion(stamped: TransformStamped) -> Motion:
    """Convert a message."""
    moved, turned = stamped.transform.translation, stamped.transform.rotation
    return Motion(
        nanoseconds(stamped.header.stamp),
        np.array([moved.x, moved.y, moved.z]),
        np.array([turned.x, turned.y, turned.z, turned.w]),
    )
