"""The bag tool on recordings and parameter files of other kinds than the usual."""

import argparse
from pathlib import Path

import cv2
import pytest
from clip_images import clip_frames
from rclpy.serialization import serialize_message
from recordings import STORE, messages, read_skeletons, run_tool, write_recording
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from pandapose_ros.tools import bag
from pandapose_ros.tools.bag_topics import RecordedTopics, choose_namespaces
from pandapose_ros.tools.processes import check_parameters

# When a simulation is recorded, in nanoseconds: its own time began with it.
LATER = 1_700_000_000 * 10**9


def options(*arguments):
    parser = argparse.ArgumentParser()
    bag.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def write_messages(path, kinds, sent):
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {t: writer.add_connection(t, kind, typestore=STORE) for t, kind in kinds.items()}
        for topic, time, message in sent:
            writer.write(topics[topic], time, serialize_message(message))


def test_topics_of_like_names_are_kept_apart(tmp_path):
    topics = ["/a/b_image", "/a_b/image", "/a_b_image"]
    still = CompressedImage(format="jpeg")
    kinds = dict.fromkeys(topics, "sensor_msgs/msg/CompressedImage")
    write_messages(tmp_path / "in", kinds, [(topic, 1, still) for topic in topics])
    recorded = RecordedTopics(tmp_path / "in")
    jobs = bag.make_jobs(options(tmp_path, tmp_path), recorded, topics, Path())
    assert len({job.out for job in jobs}) == 3
    assert all(job.is_compressed for job in jobs)


def test_parts_with_other_namespaces_are_not_gone_on_with(tmp_path):
    beside, named = ("/left/image", "/right/image"), ("/left/image", "/left/other")
    assert choose_namespaces(beside)["/left/image"] == "/left"
    assert choose_namespaces(named)["/left/image"] == "/left/image"
    prints = {
        bag.fingerprint(options(tmp_path, tmp_path, "--image", *topics))
        for topics in (beside, named)
    }
    assert len(prints) == 2
    again = bag.fingerprint(options(tmp_path, tmp_path, "--image", *reversed(beside)))
    assert again in prints


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("/**: {ros__parameters: {lazy: true}}", ("/pose_node", "/left/pose_node")),
        ("/*/pose_node: {ros__parameters: {lazy: true}}", ("/left/pose_node",)),
        ("pose_node: {ros__parameters: {lazy: true}}", ("/pose_node",)),
        ("left: {pose_node: {ros__parameters: {lazy: true}}}", ("/left/pose_node",)),
        ("/other: {ros__parameters: {lazy: true}}", ()),
        ("lazy: true", ()),
    ],
)
def test_a_parameter_file_is_for_the_nodes_that_ros_says(tmp_path, text, nodes):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    for node in ("/pose_node", "/left/pose_node"):
        if node in nodes:
            check_parameters(file, node)
        else:
            with pytest.raises(ValueError, match=rf"no parameters for {node}.* write /\*\*"):
                check_parameters(file, node)


def test_parameters_that_no_worker_would_read_are_refused(tmp_path):
    write_recording(tmp_path / "in", clip_frames(1), cameras=("left", "right"))
    settings = tmp_path / "settings.yaml"
    settings.write_text("/pose_node:\n  ros__parameters: {max_people: 1}\n")
    topics = ("--image", "/left/image_raw", "/right/image_raw")
    done = run_tool(tmp_path / "in", tmp_path / "out", *topics, "--params-file", settings)
    assert done.returncode == 1
    assert "no parameters for /left/pose_node, but /pose_node: write /**" in done.stderr
    assert not list(tmp_path.glob("*out*"))


def test_a_simulations_own_clock_tells_how_old_images_are(tmp_path):
    kinds = {"/clock": "rosgraph_msgs/msg/Clock", "/cam/image_raw": "sensor_msgs/msg/Image"}
    sent = []
    for number, (image, _) in enumerate(messages(clip_frames(3))):
        time = LATER + number * 10**8
        sent += [("/clock", time, Clock(clock=image.header.stamp))]
        sent += [("/cam/image_raw", time + 1, image)]
    write_messages(tmp_path / "in", kinds, sent)
    settings = tmp_path / "settings.yaml"
    settings.write_text("/**:\n  ros__parameters: {max_image_age: 1.0}\n")
    done = run_tool(tmp_path / "in", tmp_path / "out", "--params-file", settings)
    assert done.returncode == 0, done.stderr
    assert "dropped old" not in done.stdout
    assert len(read_skeletons(tmp_path / "out")) == 3


def test_compressed_images_may_have_any_topic(tmp_path):
    image, _ = next(messages(clip_frames(1)))
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(clip_frames(1)[0], cv2.COLOR_RGB2BGR))
    message = CompressedImage(header=image.header, format="jpeg", data=jpeg.tobytes())
    kinds = {"/cam/image_rect_compressed": "sensor_msgs/msg/CompressedImage"}
    sent = [("/cam/image_rect_compressed", 10**9, message)]
    write_messages(tmp_path / "in", kinds, sent)
    done = run_tool(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(read_skeletons(tmp_path / "out")[0].skeletons) == 1


def test_a_recording_without_its_metadata_is_no_riddle(tmp_path):
    (tmp_path / "in").mkdir()
    done = run_tool(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1
    assert "ros2 bag reindex" in done.stderr


@pytest.mark.parametrize("is_folder", [True, False])
def test_nothing_is_written_into_the_recording(tmp_path, is_folder):
    recording = tmp_path / "in"
    recording.mkdir() if is_folder else recording.write_bytes(b"")
    with pytest.raises(ValueError, match="would be inside the recording"):
        bag.run(options(recording, recording / "below" / "out"))
    assert not is_folder or not list(recording.iterdir())
