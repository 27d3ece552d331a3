"""People on the topics of REP 155 (ROS4HRI), where hri_msgs is installed.

In: poses of one image. Out: the list of bodies, and for each its region, its 2D skeleton and its
piece of the image, all normalised to the image. Joint angles, which need a model of each body,
are not provided.
"""

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pandapose_ros.node.conversions import image_message, person_name
from pandapose_ros.node.distributions import PublisherEventCallbacks
from pandapose_ros.node.estimate import Estimate
from pandapose_ros.node.statistics import Send
from pandapose_ros.pose import Pose, TrackState
from pandapose_ros.skeleton import H36M_17

_TOPIC = "/humans/bodies"
_QOS = QoSProfile(depth=1)
# hri_msgs' names of our joints. Its other points, eyes and ears, get confidence 0.
_JOINTS = {
    "NOSE": "nose",
    "NECK": "thorax",
    **{
        f"{side}_{part}": f"{side}_{part}".lower()
        for side in ("LEFT", "RIGHT")
        for part in ("SHOULDER", "ELBOW", "WRIST", "HIP", "KNEE", "ANKLE")
    },
}


@dataclass(frozen=True)
class _Body:
    """The publishers of one person."""

    roi: Publisher
    skeleton: Publisher
    cropped: Publisher


class HriBridge:
    """Publish the people of all cameras in one list on /humans/bodies; thread-safe."""

    def __init__(self, node: Node) -> None:
        """Create the publisher of the list of bodies.

        Raises:
            RuntimeError: If hri_msgs is not installed.
        """
        try:
            from hri_msgs import msg  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise RuntimeError(
                f"publish_hri needs hri_msgs ({error}): sudo apt install "
                "ros-$ROS_DISTRO-hri-msgs, or set publish_hri to false"
            ) from error
        self._msg = msg
        self._node = node
        # By camera, then by name.
        self._bodies: dict[str, dict[str, _Body]] = {}
        self._lock = threading.Lock()
        self._tracked = node.create_publisher(msg.IdsList, f"{_TOPIC}/tracked", _QOS)

    def publish(self, camera: str, estimate: Estimate, send: Send) -> None:
        """Publish the people of an image, and remove the publishers of those who are gone.

        Args:
            camera: Of the image; people of other cameras stay in the list.
            estimate: The people. Their names differ from those of other cameras' people.
            send: Called with a publisher and its message.
        """
        people = {person_name(p): p for p in estimate.poses if p.state is not TrackState.LOST}
        header, image = estimate.header, estimate.image
        size = np.array([image.shape[1], image.shape[0]])
        with self._lock:
            bodies = self._bodies.setdefault(camera, {})
            for name in bodies.keys() - people.keys():
                self._remove(bodies.pop(name))
            for name, pose in people.items():
                body = bodies.get(name)
                if body is None:
                    body = bodies[name] = self._add(name)
                send(body.roi, self._region(pose, header, size))
                send(body.skeleton, self._skeleton(pose, header, size))
                if body.cropped.get_subscription_count():
                    send(body.cropped, _cropped(pose, header, image))
            send(self._tracked, self._ids(header))

    def clear(self, camera: str) -> None:
        """Take a camera's people off the list, and remove their publishers."""
        with self._lock:
            bodies = self._bodies.pop(camera, {})
            for body in bodies.values():
                self._remove(body)
            if bodies:
                # Or subscribers would keep people who are no longer seen.
                now = self._node.get_clock().now().to_msg()
                self._tracked.publish(self._ids(Header(stamp=now)))

    def destroy(self) -> None:
        """Remove all publishers."""
        for camera in list(self._bodies):
            self.clear(camera)
        self._node.destroy_publisher(self._tracked)

    def _ids(self, header: Header) -> object:
        """Return the list of all cameras' people."""
        ids = [name for bodies in self._bodies.values() for name in bodies]
        return self._msg.IdsList(header=header, ids=ids)

    def _add(self, name: str) -> _Body:
        # Without handlers of events: the executor may just be in one when the worker destroys it
        # with its publisher, and rclpy then raises InvalidHandle, which would end the node.
        create = partial(
            self._node.create_publisher,
            qos_profile=_QOS,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )
        return _Body(
            create(self._msg.NormalizedRegionOfInterest2D, f"{_TOPIC}/{name}/roi"),
            create(self._msg.Skeleton2D, f"{_TOPIC}/{name}/skeleton2d"),
            create(Image, f"{_TOPIC}/{name}/cropped"),
        )

    def _remove(self, body: _Body) -> None:
        for publisher in (body.roi, body.skeleton, body.cropped):
            self._node.destroy_publisher(publisher)

    def _region(self, pose: Pose, header: Header, size: NDArray[np.int64]) -> object:
        """Return the box, from the outer edges of its pixels."""
        box = np.nan_to_num(pose.box_xyxy).reshape(2, 2)
        (left, top), (right, bottom) = ((box + 0.5) / size).clip(0, 1).tolist()
        return self._msg.NormalizedRegionOfInterest2D(
            header=header, xmin=left, ymin=top, xmax=right, ymax=bottom, c=float(pose.score)
        )

    def _skeleton(self, pose: Pose, header: Header, size: NDArray[np.int64]) -> object:
        """Return the 2D skeleton; what is unknown or outside of the image has confidence 0."""
        kind = self._msg.Skeleton2D
        places = (pose.keypoints + 0.5) / size
        seen = np.all((places >= 0) & (places <= 1), axis=-1).tolist()
        points = [self._msg.NormalizedPointOfInterest2D() for _ in range(kind.RIGHT_EAR + 1)]
        for constant, name in _JOINTS.items():
            joint = H36M_17.joint_names.index(name)
            if seen[joint]:
                point = points[getattr(kind, constant)]
                point.x, point.y = places[joint].tolist()
                point.c = float(pose.joint_scores[joint])
        return kind(header=header, skeleton=points)


def _cropped(pose: Pose, header: Header, image: NDArray[np.uint8]) -> Image:
    """Return the piece of the image in the person's box, of one pixel at least."""
    height, width = image.shape[:2]
    left, top, right, bottom = np.nan_to_num(pose.box_xyxy).round().astype(int).tolist()
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    piece = image[top : max(bottom, top) + 1, left : max(right, left) + 1]
    return image_message(piece, header)
