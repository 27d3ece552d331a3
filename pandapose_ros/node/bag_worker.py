"""A process that plays a recording to `pose_node`, image by image, and records its skeletons.

It runs the live node itself, with all its parameters, in a ROS graph that is invisible to other
processes. Each image is sent when the one before is done, so that none is dropped because the node
is busy.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import try_shutdown
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from pandapose_ros.bags import (
    BagJob,
    CheckedReader,
    DamagedRecordingError,
    Losses,
    new_bag,
    quality,
)
from pandapose_ros.config import NodeConfig
from pandapose_ros.node.bag_player import BagPlayer, class_of, spin_until
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.running import keep_freed_memory, start_ros

_TYPES = {
    "skeletons": "pandapose_ros/msg/Skeleton3DArray",
    "skeleton_info": "pandapose_ros/msg/SkeletonInfo",
    "anchors": "pandapose_ros/msg/AnchorSet3DArray",
}


class BagWorker:
    """Play one job's images to a node in the same process."""

    def __init__(self, job: BagJob, is_ending: Callable[[], bool]) -> None:
        """Start the node; nothing is played before `run`.

        Args:
            job: What to do.
            is_ending: Returns whether to stop; called after each image.

        Raises:
            RuntimeError: If the node does not start; it has logged the reason.
        """
        self._job = job
        self._is_ending = is_ending
        self._written = 0
        self._damaged: Counter[str] = Counter()
        self._executor = SingleThreadedExecutor()
        self._player = Node("player", namespace=job.namespace, use_global_arguments=False)
        self._node = PoseNode(namespace=job.namespace)
        # A lazy node would not subscribe, but its subscriptions choose what is played.
        self._node.set_parameters([Parameter("lazy", value=False)])
        self._received: dict[str, list[bytes]] = {name: [] for name in _TYPES}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for name, kind in _TYPES.items():
            if name != "anchors" or job.anchors:
                qos = latched if name == "skeleton_info" else QoSProfile(depth=100)
                topic = f"{self._node.get_fully_qualified_name()}/{name}"
                self._player.create_subscription(
                    class_of(kind), topic, self._received[name].append, qos, raw=True
                )
        for node in (self._player, self._node):
            self._executor.add_node(node)
        if not self._node.start():
            raise RuntimeError("pose_node did not start; see its message above")

    def close(self) -> None:
        """Destroy both nodes."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._player.destroy_node()

    def run(self, on_image: Callable[[], None]) -> None:
        """Play everything that the node subscribes to, and write what it publishes.

        Args:
            on_image: Called after each image.

        Raises:
            TimeoutError: If the node does not finish an image.
            ValueError: If the recording is damaged.
            OSError: If the disk is full; see `new_bag`.
        """
        bag = Path(self._job.bag)
        with (
            CheckedReader(bag) as reader,
            CheckedReader(bag) as beside,
            new_bag(Path(self._job.out), self._job.storage) as writer,
        ):
            done = 0
            try:
                for done in self._play(reader, beside, writer):  # noqa: B007  for the message
                    on_image()
                    if self._is_ending():
                        raise KeyboardInterrupt
            except DamagedRecordingError as error:
                raise ValueError(_damage(done, str(error))) from error
            images = sum(c.msgcount for c in reader.connections if c.topic == self._job.image)
            if done < images:
                raise ValueError(_damage(done, f"{images} should be there"))
            self._losses().save(self._job.losses)

    def _play(self, reader: Reader, beside: Reader, writer: Writer) -> Iterator[int]:
        """Play image by image; yield how many are done."""
        needed = self._needed()
        topic = self._job.image
        player = BagPlayer(self._player, self._node, self._executor, beside, topic, needed)
        self._damaged = player.damaged
        outputs = self._outputs(writer)
        for count, time_ns in enumerate(player.play(reader), start=1):
            spin_until(
                self._executor,
                lambda count=count: self._has_done(count - self._damaged[topic]),
                "pose_node has not finished an image",
            )
            self._write(writer, outputs, time_ns)
            yield count

    def _needed(self) -> list[str]:
        """Return what the node cannot do without beside the images, as it was asked for."""
        needed = ["depth"] if self._job.depth else []
        return needed + ["detections"] * self._node.parameters.get(NodeConfig).use_detections

    def _outputs(self, writer: Writer) -> dict[str, Connection]:
        store = get_typestore(Stores.ROS2_JAZZY)
        for file in sorted(Path(self._job.definitions).glob("*.msg")):
            store.register(get_types_from_msg(file.read_text(), f"pandapose_ros/msg/{file.stem}"))
        return {
            name: writer.add_connection(
                f"{self._node.get_fully_qualified_name()}/{name}",
                kind,
                typestore=store,
                offered_qos_profiles=[quality(depth=5, latched=name == "skeleton_info")],
            )
            for name, kind in _TYPES.items()
            if name != "anchors" or self._job.anchors
        }

    def _has_done(self, images: int) -> bool:
        counts = self._node.statistics
        if counts.processed + sum(counts.losses().values()) < images:
            return False
        # An image is counted before its messages are published.
        expected = counts.processed - self._written
        names = ("skeletons", "anchors") if self._job.anchors else ("skeletons",)
        return all(len(self._received[name]) >= expected for name in names)

    def _losses(self) -> Losses:
        counts = self._node.statistics
        impaired = (
            "missed_depth",
            "refused_depth",
            "missed_detections",
            "refused_detections",
            "refused_camera_info",
        )
        images = self._damaged[self._job.image]
        lost = counts.losses() | {"damaged": images}
        beside = {name: getattr(counts, name) for name in impaired}
        beside["damaged_messages"] = self._damaged.total() - images
        return Losses(
            lost={cause: count for cause, count in lost.items() if count},
            impaired={name: count for name, count in beside.items() if count},
        )

    def _write(self, writer: Writer, outputs: dict[str, Connection], stamp: int) -> None:
        """Write the messages received, at the time of their image."""
        self._written += len(self._received["skeletons"])
        for name, connection in outputs.items():
            for data in self._received[name]:
                writer.write(connection, stamp, data)
            self._received[name].clear()


def _damage(images: int, reason: str) -> str:
    """Say up to where a recording can be read."""
    return (
        f"the recording is damaged after {images} images ({reason}): save what is left of it with "
        "`sqlite3 FILE .recover` or `mcap recover FILE`, then `ros2 bag reindex`"
    )


def _tell(text: str) -> None:
    """Print a line for the tool that started this process."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Do the job of the first argument; print a line for each image; return the exit code."""
    keep_freed_memory()
    job = BagJob.from_json(sys.argv[1])
    # Hides this graph from all other processes, the robot's and other workers'.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "OFF"
    ending = start_ros()
    worker: BagWorker | None = None
    try:
        worker = BagWorker(job, ending.is_set)
        worker.run(lambda: _tell("image"))
    except (OSError, RuntimeError, ValueError) as error:
        _tell(f"error {getattr(error, 'strerror', None) or error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if worker is not None:
            worker.close()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
