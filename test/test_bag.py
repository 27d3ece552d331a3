"""The bag tool, on bags in both formats, against the live node."""

import array
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from clip_images import clip_frames
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.time import Time
from recordings import STORE, messages, read_skeletons, run_tool, write_recording
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from pandapose_ros.bags import CheckedReader, join_bags, new_bag
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.bag_player import BagPlayer
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.stamps import nanoseconds

FRAMES = 6


@pytest.fixture(scope="module")
def frames():
    return clip_frames(FRAMES)


def values(message):
    """All numbers of a skeleton message."""
    rows = [
        (j.position.x, j.position.y, j.position.z, j.confidence, j.u, j.v)
        for skeleton in message.skeletons
        for j in skeleton.joints
    ]
    return np.array(rows)


def test_a_bag_gives_what_the_live_node_gives(graph, make_camera, frames, tmp_path):
    recording, out = tmp_path / "in", tmp_path / "out"
    write_recording(recording, frames)
    done = run_tool(recording, out)
    assert done.returncode == 0, done.stderr
    from_bag = read_skeletons(out)
    node = graph.add(PoseNode(context=graph.context))
    assert node.start()
    camera = make_camera()
    camera.wait_for_node()
    live = []
    for image, info in messages(frames):
        camera.infos.publish(info)
        live.append(camera.exchange(image))
    assert len(from_bag) == FRAMES
    for recorded, said in zip(from_bag, live, strict=True):
        assert recorded.header == said.header
        assert [s.id for s in recorded.skeletons] == [s.id for s in said.skeletons]
        assert len(recorded.skeletons) == 1
        assert recorded.skeletons[0].tracking_state == said.skeletons[0].tracking_state
        assert np.allclose(values(recorded), values(said), atol=1e-5, equal_nan=True)
    with Reader(out) as reader:
        assert {c.topic for c in reader.connections} >= {"/pose_node/skeleton_info"}
    assert not list(tmp_path.glob(".*"))


def depth_image(header, size, distance):
    height, width = size
    values = np.full(size, round(distance * 1000), "<u2")
    return Image(
        header=header,
        height=height,
        width=width,
        encoding="16UC1",
        step=2 * width,
        data=array.array("B", values.tobytes()),
    )


def write_robot(path, frames, distances):
    """A camera of colours and depth on a robot that moves: depth and tf come after each image.

    The transform for the last image is not in the recording any more.
    """
    kinds = {
        "/cam/image_raw": "sensor_msgs/msg/Image",
        "/cam/camera_info": "sensor_msgs/msg/CameraInfo",
        "/cam/depth": "sensor_msgs/msg/Image",
        "/tf": "tf2_msgs/msg/TFMessage",
    }
    place = TransformStamped(child_frame_id="lens")
    place.header.frame_id = "base"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        topics = {t: writer.add_connection(t, kind, typestore=STORE) for t, kind in kinds.items()}

        def write(topic, time, message):
            writer.write(topics[topic], time, serialize_message(message))

        for (image, info), distance in zip(messages(frames), distances, strict=True):
            time = nanoseconds(image.header.stamp)
            place.header.stamp = Time(nanoseconds=time - 5 * 10**7).to_msg()
            write("/tf", time - 4 * 10**7, TFMessage(transforms=[place]))
            write("/cam/camera_info", time, info)
            write("/cam/image_raw", time + 1, image)
            depth = depth_image(image.header, (image.height, image.width), distance)
            write("/cam/depth", time + 3 * 10**7, depth)


def test_depth_and_tf_after_an_image_count_and_losses_are_told(frames, tmp_path):
    K = np.array(next(messages(frames))[1].k).reshape(3, 3)
    (person,) = PoseEstimator().estimate(frames[0], K)
    distances = person.root[2] - 0.4 + 0.3 * (np.arange(FRAMES) % 2)
    write_robot(tmp_path / "in", frames, distances)
    settings = tmp_path / "settings.yaml"
    # What the recording decides counts, whatever the robot's own file says.
    robots = "image_transport: compressed, cameras: [left, right], use_sim_time: false"
    settings.write_text(f"/**:\n  ros__parameters: {{target_frame: base, {robots}}}\n")
    options = ("--depth", "/cam/depth", "--params-file", settings)
    done = run_tool(tmp_path / "in", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert f"/cam/image_raw: 1 of {FRAMES} images gave no skeletons" in done.stdout
    assert "no skeletons: dropped untransformed 1\n" in done.stdout
    assert "without their depth" not in done.stdout
    said = read_skeletons(tmp_path / "out")
    assert [m.header.frame_id for m in said] == ["base"] * (FRAMES - 1)
    for message, distance in zip(said, distances, strict=False):
        (skeleton,) = message.skeletons
        assert skeleton.root_source == Skeleton3D.ROOT_DEPTH
        assert 0.05 < skeleton.root_position.z - distance < 0.25


def test_depth_that_the_node_does_not_use_is_refused(graph, frames, tmp_path):
    write_robot(tmp_path / "in", frames[:1], [2.0])
    remaps = ["--ros-args", "-r", "image:=/cam/image_raw", "-r", "depth:=/cam/depth"]
    parameters = [Parameter("depth_window", value=0.0)]
    options = {"cli_args": remaps, "parameter_overrides": parameters}
    node = graph.add(PoseNode(context=graph.context, **options))
    assert node.start()
    player = graph.add(Node("player", context=graph.context))
    text = "pose_node does not subscribe to /cam/depth of the recording"
    with CheckedReader(tmp_path / "in") as beside, pytest.raises(RuntimeError, match=text):
        BagPlayer(player, node, graph.executor, beside, "/cam/image_raw", ["depth"])


def test_an_interrupted_run_goes_on_after_what_is_done(frames, tmp_path):
    recording, out = tmp_path / "in", tmp_path / "out"
    write_recording(recording, frames[:1], cameras=("left", "right"))
    arguments = ("bag", recording, out, "--image", "/left/image_raw", "/right/image_raw")
    command = [sys.executable, "-m", "pandapose_ros.tools.main", *map(str, arguments)]
    # A shell has its background jobs ignore interrupts.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 100
        while not list(tmp_path.glob(".out.parts-*/left.image_raw")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert "run the same command again" in process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert not out.exists()
    done = run_tool(*arguments[1:])
    assert done.returncode == 0, done.stderr
    assert "1 of 2 topics are already done" in done.stdout
    assert not list(tmp_path.glob(".*"))
    for camera in ("left", "right"):
        assert len(read_skeletons(out, f"/{camera}/pose_node/skeletons")) == 1
    again = run_tool(*arguments[1:])
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--image", "/nose"), "/cam/image_raw"),
        ((), "choose topics with --image"),
        (("--image", "/cam/image_raw", "--depth", "/nose"), "/other/image_raw"),
        (
            ("--image", "/cam/image_raw", "--depth", "/cam/camera_info"),
            "of sensor_msgs/msg/CameraInfo",
        ),
        (
            ("--image", "/cam/image_raw", "/other/image_raw", "--depth", "/nose"),
            "2 image topics, 1 for --depth",
        ),
    ],
)
def test_a_wrong_topic_is_answered_with_those_there_are(frames, tmp_path, arguments, reason):
    write_recording(tmp_path / "in", frames[:1], cameras=("cam", "other"))
    done = run_tool(tmp_path / "in", tmp_path / "out", *arguments)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_full_disk_leaves_nothing_broken(frames, small_disk, tmp_path, storage):
    write_recording(tmp_path / "in", frames[:1])
    with pytest.raises(OSError, match="no space left on the disk of"):
        join_bags([tmp_path / "in"], small_disk / "out", storage)
    assert not list(small_disk.iterdir())


def test_joined_bags_keep_topics_and_order(frames, tmp_path):
    for camera in ("left", "right"):
        write_recording(tmp_path / camera, frames[:3], cameras=(camera,))
    parts = [tmp_path / "left", tmp_path / "right"]
    assert join_bags(parts, tmp_path / "out", "mcap") == 12
    with Reader(tmp_path / "out") as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        times = [time for _, time, _ in reader.messages()]
    assert set(counts.values()) == {3}
    assert len(counts) == 4
    assert times == sorted(times)


def test_a_bag_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_bag(tmp_path / "out", "sqlite3"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
