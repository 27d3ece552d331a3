"""Choose among the topics of a recording (rosbag2)."""

from collections.abc import Sequence
from pathlib import Path

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError

_IMAGE_TYPE, _COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DEPTH_TYPE = _IMAGE_TYPE
DETECTIONS_TYPE = "vision_msgs/msg/Detection2DArray"
COMPRESSED = "/compressed"


class RecordedTopics:
    """Hold the topics of a recording, with their types and numbers of messages."""

    def __init__(self, bag: Path) -> None:
        """Read the recording's index.

        Raises:
            ValueError: If it cannot be read.
        """
        self._bag = bag
        try:
            with Reader(bag) as reader:
                self._connections = list(reader.connections)
        except (ReaderError, OSError) as error:
            remedy = "; was it cut off? `ros2 bag reindex` repairs that" if bag.is_dir() else ""
            raise ValueError(f"cannot read the recording {bag}: {error}{remedy}") from error

    def count_images(self, topics: Sequence[str], depths: Sequence[str]) -> dict[str, int]:
        """Return the number of images on each topic to process.

        Args:
            topics: Those asked for; empty: the only one there is.
            depths: Topics of depth images, which are left out.

        Raises:
            ValueError: If a topic is missing, empty or ambiguous.
        """
        found = {
            c.topic: c.msgcount
            for c in self._connections
            if c.msgtype in (_IMAGE_TYPE, _COMPRESSED_TYPE) and c.topic not in depths
        }
        listing = ", ".join(sorted(found)) or "none"
        for topic in topics:
            if topic not in found:
                raise ValueError(
                    f"{self._bag} has no images on {topic}; its image topics: {listing}"
                )
        if not topics and len(found) != 1:
            raise ValueError(f"choose topics with --image; image topics of {self._bag}: {listing}")
        for topic in topics or found:
            if not found[topic]:
                raise ValueError(
                    f"{topic} of {self._bag} is empty: leave it out; its image topics: {listing}"
                )
        return {topic: found[topic] for topic in topics or found}

    def choose_beside(
        self, images: Sequence[str], topics: Sequence[str], option: str, kind: str
    ) -> dict[str, str]:
        """Return the topic of what comes beside each of the images; empty where none is given.

        Args:
            images: Topics of the images.
            topics: Those asked for, in the same order; empty: none.
            option: By which they were asked for.
            kind: Their type.

        Raises:
            ValueError: If their number differs, or one is missing, empty or of another type.
        """
        if not topics:
            return dict.fromkeys(images, "")
        if len(topics) != len(images):
            raise ValueError(
                f"{option} needs one topic for each image topic, in the same order: "
                f"{len(images)} image topics, {len(topics)} for {option}"
            )
        kinds = {c.topic: c.msgtype for c in self._connections}
        filled = {c.topic for c in self._connections if c.msgcount}
        others = [t for t in sorted(kinds) if kinds[t] == kind and t not in images]
        listing = f"its other topics of {kind}: {', '.join(others) or 'none'}"
        for topic in topics:
            if topic not in kinds:
                raise ValueError(f"{self._bag} has no topic {topic} for {option}; {listing}")
            if kinds[topic] != kind:
                raise ValueError(
                    f"{topic} of {self._bag} is of {kinds[topic]}, but {option} needs {kind}; "
                    f"{listing}"
                )
            if topic not in filled:
                raise ValueError(f"{topic} of {self._bag} for {option} is empty; {listing}")
        return dict(zip(images, topics, strict=True))

    def is_compressed(self, topic: str) -> bool:
        """Return whether there are compressed images on a topic."""
        return any(c.topic == topic and c.msgtype == _COMPRESSED_TYPE for c in self._connections)


def choose_namespaces(topics: Sequence[str]) -> dict[str, str]:
    """Return the namespace of each topic's skeletons: none for one, beside the images for several.

    Args:
        topics: Of the images.
    """
    if len(topics) == 1:
        return {topics[0]: ""}
    folders = [folder_of(topic) for topic in topics]
    is_clear = all(folders) and len(set(folders)) == len(folders)
    return dict(zip(topics, folders if is_clear else topics, strict=True))


def folder_of(topic: str) -> str:
    """Return what stands before a topic's last name, for compressed images before the last two."""
    return topic.removesuffix(COMPRESSED).rsplit("/", 1)[0]
