"""Recordings (rosbag2): a job for one image topic, and bags that are whole or not there at all."""

import errno
import json
import shutil
import sqlite3
from collections import defaultdict, deque
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from heapq import merge
from pathlib import Path

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from pandapose_ros.folder_lock import claim

STORAGES = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
_FOREVER = QosTime(2147483647, 4294967295)


@dataclass(frozen=True)
class BagJob:
    """Ask for the skeletons of one image topic.

    Attributes:
        bag: Recording to read.
        image: Topic of the images.
        out: Recording to write; appears when it is whole.
        storage: A key of `STORAGES`.
        definitions: Folder of the message definitions, `msg/`.
        is_compressed: Whether the images are compressed.
        namespace: Of the node whose topics are written.
        depth: Topic of the depth images; empty: the node's own, `depth` in the namespace.
        detections: Topic of another detector's boxes, to be used; empty: as the parameters say.
        anchors: Whether to write the anchors too.
    """

    bag: str
    image: str
    out: str
    storage: str
    definitions: str
    is_compressed: bool
    namespace: str = ""
    depth: str = ""
    detections: str = ""
    anchors: bool = False

    @property
    def losses(self) -> Path:
        """File beside `out` that tells what became of the images, as `Losses` has it."""
        return Path(f"{self.out}.json")

    def to_json(self) -> str:
        """Return one line that `from_json` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(line: str) -> "BagJob":
        """Read what `to_json` wrote."""
        return BagJob(**json.loads(line))


@dataclass(frozen=True)
class Losses:
    """Count by cause, without zeros, which images of a topic came off badly.

    Attributes:
        lost: Images that gave no skeletons.
        impaired: Images whose skeletons are without depth, detections or calibration that was
            there.
    """

    lost: dict[str, int]
    impaired: dict[str, int]

    def save(self, path: Path) -> None:
        """Write a file that `load` reads."""
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def load(path: Path) -> "Losses":
        """Read what `save` wrote."""
        return Losses(**json.loads(path.read_text()))


class DamagedRecordingError(Exception):
    """Say that a recording cannot be read any further."""


class CheckedReader(Reader):
    """A reader of rosbag2 with one kind of error for damaged messages."""

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        """Yield the messages; arguments as of `Reader.messages`.

        Raises:
            DamagedRecordingError: If the next one cannot be read.
        """
        try:
            yield from super().messages(connections, start, stop)
        except Exception as error:  # SQLite, MCAP and the codecs each have their own
            raise DamagedRecordingError(str(error)) from error


class TopicQueues:
    """Hand out the messages of a recording, of each topic up to a time of its own.

    What is read on the way to one topic's messages waits until its own topic is asked for.
    """

    def __init__(self, messages: Iterator[tuple[Connection, int, bytes]]) -> None:
        """Start at the beginning.

        Args:
            messages: Of a reader, in the order of their times.
        """
        self._messages = messages
        self._next = next(messages, None)
        self._waiting: defaultdict[str, deque[tuple[int, bytes]]] = defaultdict(deque)

    def take(self, topic: str, end: int) -> Iterator[bytes]:
        """Yield the next messages of a topic; those that nobody asked for stay.

        Args:
            topic: Which.
            end: Time of recording of the last one to yield, nanoseconds.
        """
        waiting = self._waiting[topic]
        while True:
            while not waiting and self._next is not None and self._next[1] <= end:
                connection, time, data = self._next
                self._waiting[connection.topic].append((time, bytes(data)))
                self._next = next(self._messages, None)
            if not waiting or waiting[0][0] > end:
                return
            yield waiting.popleft()[1]


@contextmanager
def new_bag(path: Path, storage: str) -> Iterator[Writer]:
    """Write a recording that appears at `path` when the block ends well, and otherwise not.

    Args:
        path: Where; its folder has to exist.
        storage: A key of `STORAGES`.

    Raises:
        FileExistsError: If there is something already.
        OSError: If another process is writing it; with errno ENOSPC if the disk is full: nothing
            is left behind then.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it or give another name")
    # The files in a bag are named after its folder.
    work = path.parent / f".{path.name}.part"
    with claim(work, path):
        shutil.rmtree(work / path.name, ignore_errors=True)  # of one that was killed
        try:
            with Writer(work / path.name, version=9, storage_plugin=STORAGES[storage]) as writer:
                yield writer
            (work / path.name).rename(path)
        except BaseException as error:
            if is_disk_full(error):
                with suppress(OSError):
                    shutil.rmtree(work)
                text = f"no space left on the disk of {path}; nothing unfinished was kept there"
                raise OSError(errno.ENOSPC, text) from error
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that there is no space left.

    Args:
        error: Of a file or of SQLite, which has no error code for it.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "disk is full" in str(error)


def quality(*, depth: int, latched: bool) -> Qos:
    """Return the reliable quality of service that a player has to offer for a topic.

    Args:
        depth: Messages kept for a slow subscriber.
        latched: Whether those who come later get the last message.
    """
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE,
        durability=durability,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def count_messages(bag: Path, ending: str) -> int:
    """Return how many messages a recording holds on the topics with an ending of the name."""
    with Reader(bag) as reader:
        return sum(c.msgcount for c in reader.connections if c.topic.endswith(ending))


def join_bags(parts: Sequence[Path], out: Path, storage: str) -> int:
    """Write the messages of several recordings into one, in the order of their times.

    Args:
        parts: Recordings without a topic in common.
        out: As `new_bag`.
        storage: A key of `STORAGES`.

    Returns:
        How many messages were written.

    Raises:
        ValueError: If a part holds fewer messages than it says.
    """
    readers = [Reader(part) for part in parts]
    count = 0
    for reader in readers:
        reader.open()
    try:
        with new_bag(out, storage) as writer:
            copies = {
                (number, c.id): _copy(writer, c)
                for number, reader in enumerate(readers)
                for c in reader.connections
            }
            streams = [_stream(number, reader) for number, reader in enumerate(readers)]
            for time, number, connection, data in merge(*streams, key=lambda item: item[:2]):
                writer.write(copies[number, connection], time, data)
                count += 1
            if count != (expected := sum(reader.message_count for reader in readers)):
                raise ValueError(f"{out}: {count} messages could be joined, not {expected}")
    finally:
        for reader in readers:
            reader.close()
    return count


def _stream(number: int, reader: Reader) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield time, the reader's number, connection and data of each message."""
    for connection, time, data in reader.messages():
        yield time, number, connection.id, bytes(data)


def _copy(writer: Writer, connection: Connection) -> Connection:
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        msgdef=connection.msgdef.data,
        rihs01=connection.digest,
        offered_qos_profiles=connection.ext.offered_qos_profiles,  # type: ignore[union-attr]
    )
