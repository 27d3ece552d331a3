"""The bag tool with damaged recordings, empty topics and a second run at the same time."""

import itertools
import struct
import zlib

import pytest
from clip_images import clip_frames
from rclpy.serialization import serialize_message
from recordings import STORE, messages, read_skeletons, run_tool, write_recording
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from pandapose_ros.bags import (
    BagJob,
    CheckedReader,
    DamagedRecordingError,
    Losses,
    join_bags,
    new_bag,
)
from pandapose_ros.folder_lock import claim
from pandapose_ros.tools import bag


@pytest.fixture(scope="module")
def frames():
    return clip_frames(6)


def copy_to(frames, writer):
    """Write images as a recording that `writer` has opened."""
    topic = writer.add_connection("/image", "sensor_msgs/msg/Image", typestore=STORE)
    for number, (image, _) in enumerate(messages(frames), start=1):
        writer.write(topic, number, serialize_message(image))


@pytest.mark.parametrize("name", ["out", "lock"])
def test_a_recording_is_written_by_one_process_only(frames, tmp_path, name):
    out = tmp_path / name
    with new_bag(out, "sqlite3") as writer:
        taken = f"{name} is being written by another process"
        with pytest.raises(OSError, match=taken), new_bag(out, "sqlite3"):
            pass
        copy_to(frames, writer)
    with Reader(out) as reader:
        assert reader.message_count == len(frames)
    assert list(tmp_path.iterdir()) == [out]


def test_what_a_killed_process_left_does_not_hinder(tmp_path):
    work = tmp_path / ".out.part"
    (work / "out").mkdir(parents=True)
    (work / ".lock").touch()
    (work / "out" / "out.db3").write_bytes(b"half")
    with new_bag(tmp_path / "out", "sqlite3"):
        pass
    with Reader(tmp_path / "out") as reader:
        assert reader.message_count == 0


def test_a_second_run_is_refused_while_the_first_one_works(frames, tmp_path):
    write_recording(tmp_path / "in", frames[:1])
    made = tmp_path / ".out.parts-0"
    with claim(made, tmp_path / "out"):
        made.rename(tmp_path / f".out.parts-{fingerprint(tmp_path)}")
        done = run_tool(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1
    assert "out is being written by another process" in done.stderr
    with claim(tmp_path / f".out.parts-{fingerprint(tmp_path)}", tmp_path / "out"):
        pass  # a third run could go on


def fingerprint(folder):
    parser = bag.argparse.ArgumentParser()
    bag.add_arguments(parser)
    return bag.fingerprint(parser.parse_args([str(folder / "in"), str(folder / "out")]))


def test_a_part_without_its_skeletons_is_no_success(frames, tmp_path):
    write_recording(tmp_path / "part", frames)
    job = BagJob("in", "/cam/image_raw", str(tmp_path / "part"), "mcap", "msg", False)
    Losses({"dropped_old": 2}, {}).save(job.losses)
    with pytest.raises(ValueError, match="skeletons of 0 images were kept, not of 4"):
        bag.check_part(job, 6)
    assert not (tmp_path / "part").exists()


def test_messages_that_get_lost_while_joining_are_missed(frames, tmp_path, monkeypatch):
    write_recording(tmp_path / "in", frames)
    monkeypatch.setattr(Reader, "message_count", 13)
    with pytest.raises(ValueError, match="12 messages could be joined, not 13"):
        join_bags([tmp_path / "in"], tmp_path / "out", "mcap")
    assert not (tmp_path / "out").exists()


def damaged(path, frames):
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        copy_to(frames, writer)
    file = next(path.glob("*.db3"))
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200_000] = bytes(200_000)
    file.write_bytes(data)


def shortened(path, frames):
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        copy_to(frames[:2], writer)
    index = path / "metadata.yaml"
    index.write_text(index.read_text().replace("message_count: 2", "message_count: 6"))


def checked(path, frames):
    """Change pixels in the second chunk of a file that has checksums, as MCAP describes them."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        copy_to(frames, writer)
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    chunks, place = [], 8
    while place < len(data) - 8:
        kind, size = struct.unpack_from("<BQ", data, place)
        if kind == 6:
            chunks.append(place + 9)
        place += 9 + size
    for chunk in chunks:  # uncompressed: an empty name, then the size of what follows
        (size,) = struct.unpack_from("<Q", data, chunk + 32)
        content = data[chunk + 40 : chunk + 40 + size]
        struct.pack_into("<I", data, chunk + 24, zlib.crc32(content))
    data[chunks[1] + 5000 : chunks[1] + 6000] = bytes(1000)
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [damaged, checked])
def test_a_damaged_message_is_one_kind_of_error(frames, tmp_path, damage):
    damage(tmp_path / "in", frames)
    with CheckedReader(tmp_path / "in") as reader:
        read = reader.messages()
        assert [time for _, time, _ in itertools.islice(read, 2)] == [1, 2]
        with pytest.raises(DamagedRecordingError):
            next(read)


# What the worker finds by an error, and what by a missing message.
@pytest.mark.parametrize("damage", [damaged, shortened])
def test_a_damaged_recording_is_told_with_the_place(frames, tmp_path, damage):
    damage(tmp_path / "in", frames)
    done = run_tool(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1
    assert "/image failed: the recording is damaged after 2 images" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_messages_that_cannot_be_read_are_counted_and_left_out(frames, tmp_path):
    kinds = {"image": "sensor_msgs/msg/Image", "camera_info": "sensor_msgs/msg/CameraInfo"}
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        topics = {
            name: writer.add_connection(f"/{name}", kind, typestore=STORE)
            for name, kind in kinds.items()
        }
        for number, (image, info) in enumerate(messages(frames), start=1):
            data = bytearray(serialize_message(image))
            if number == 3:  # the length of the name of its encoding
                struct.pack_into("<I", data, data.index(b"rgb8") - 4, 2**31)
            whole = serialize_message(info)
            writer.write(topics["camera_info"], 2 * number, whole[:9] if number == 5 else whole)
            # The last one ends before its stamp does.
            writer.write(topics["image"], 2 * number + 1, data[:9] if number == 6 else data)
    done = run_tool(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "/image: 2 of 6 images gave no skeletons: damaged 2" in done.stdout
    assert "/image: images without their depth, detections or camera_info: damaged" in done.stdout
    assert "damaged messages 1" in done.stdout
    stamps = [message.header.stamp.nanosec for message in read_skeletons(tmp_path / "out")]
    assert stamps == [10**8, 2 * 10**8, 4 * 10**8, 5 * 10**8]


def test_an_empty_topic_is_refused_before_the_work(frames, tmp_path):
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        copy_to(frames[:1], writer)
        writer.add_connection("/empty", "sensor_msgs/msg/Image", typestore=STORE)
    for options in (("--image", "/image", "/empty"), ("--depth", "/empty")):
        done = run_tool(tmp_path / "in", tmp_path / "out", *options)
        assert done.returncode == 1
        assert "is empty" in done.stderr
        assert not list(tmp_path.glob("*out*"))
