"""Cameras and clients that come, go, race and lie about the time."""

import signal
import time

import numpy as np
from builtin_interfaces.msg import Time
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_parameters
from reliability_bench import CLIP, PATIENCE, Bench, NodeProcess, entry, walk_frames
from reliability_load import ids_in, stream
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from pandapose_ros.msg import Skeleton3D

# Of the stamps of `clock_jumps`: far from those around them.
_WRONG = (2, 4, *range(9, 28, 2))


def camera_restart(bench: Bench, node: NodeProcess) -> dict:
    """Kill a camera's process and start it again."""
    parameters = {"source": CLIP, "loop": True, "rate": 4.0, "remap": ["image_raw:=image"]}
    bench.forget()
    camera = bench.start("video_camera", **parameters)
    came = bench.wait(lambda: len(bench.skeletons) >= 3)
    silent, again = "no image on /image for", "images on /image again after"
    before = node.log.count(silent), node.log.count(again)
    camera.end(signal.SIGKILL)
    told = bench.wait(lambda: node.log.count(silent) > before[0])
    bench.forget()
    camera = bench.start("video_camera", **parameters)
    came_again = bench.wait(lambda: len(bench.skeletons) >= 3)
    camera.end()
    seen = {
        "skeletons": came,
        "silence_told": told,
        "skeletons_again": came_again,
        "return_told": node.log.count(again) > before[1],
        "same_process": node.is_alive,
    }
    return entry(
        "camera_killed",
        "video_camera in its own process, killed with SIGKILL, started again",
        seen,
        f"the log tells of the silence; skeletons again within {PATIENCE:g} s; the node lives on",
        all(seen.values()),
    )


def node_restart(bench: Bench, node: NodeProcess) -> tuple[dict, NodeProcess]:
    """Kill the node and start it again; returns the new one as well."""
    frames = walk_frames(4)
    bench.forget()
    before = [ids_in(bench.exchange(frame)) for frame in frames]
    bench.wait(lambda: len(bench.markers) > 0, 5.0)
    added = [m for m in bench.markers if m.action == Marker.ADD]
    lifetimes = [m.lifetime.sec + m.lifetime.nanosec / 1e9 for m in added]
    code = bench.end_pose_node(node, signal.SIGKILL)
    node = bench.start_pose_node(image_timeout=1.0)
    first = bench.exchange(frames[0])
    states = [s.tracking_state for s in first.skeletons] if first is not None else []
    seen = {
        "ids_before": sorted({name for names in before for name in names}),
        "markers": len(added),
        "lifetimes_s": sorted(set(lifetimes)),
        "exit_code": code,
        "ids_after": ids_in(first),
    }
    passed = (
        code == -signal.SIGKILL
        and len(added) > 0
        and all(0 < lifetime <= 2 for lifetime in lifetimes)
        and ids_in(first) == ["person_0"]
        and states == [Skeleton3D.TRACKING_NEW]
    )
    bound = "every marker has a lifetime of at most 2 s; ids start again with person_0, new"
    return entry("node_killed", "SIGKILL, then started again", seen, bound, passed), node


def clock_jumps(bench: Bench, node: NodeProcess) -> dict:
    """Let the stamps go forward, back, and to where no clock has been."""
    (frame,) = walk_frames(1)
    now = bench.now().sec + 1  # a whole second, not before the last image of another fault
    lines = len(node.log.splitlines())
    answered = []
    # Two that agree, so that the next one is known to be wrong.
    seconds = [now, now, now + 3600, now, 0, 2**31 - 1, -(2**31), now, *[now, now - 60] * 10]
    for number, second in enumerate(seconds):
        message = bench.message(frame)
        message.header.stamp = Time(sec=second, nanosec=7)
        patience = 0.5 if number in _WRONG else PATIENCE
        answer = bench.answer(bench.images, message, patience)
        answered.append(answer is not None and answer.header.stamp == message.header.stamp)
    lines = len(node.log.splitlines()) - lines
    ids = ids_in(bench.exchange(frame))
    seen = {"jumps": len(seconds), "answered": sum(answered), "log_lines": lines, "ids": ids}
    return entry(
        "clock_jumps",
        "a stamp an hour ahead once, at 0, at both ends of int32, then to and fro by 60 s",
        seen,
        "every image answered under its own stamp but those of one stamp that the next one does "
        "not agree with; at most 8 lines in the log; people seen after",
        answered == [n not in _WRONG for n in range(len(seconds))]
        and lines <= 8
        and len(ids) == 1,
    )


def parameter_storm(bench: Bench, node: NodeProcess, seconds: float) -> dict:
    """Change live parameters a hundred times a second while images come."""
    # As deep a queue for the answers as the node has for the calls.
    client = bench.node.create_client(
        SetParameters, "/pose_node/set_parameters", qos_profile=qos_profile_parameters
    )
    bench.wait(client.service_is_ready)
    changes = (("smoothing", True), ("max_people", 7), ("detection_score", 0.4))
    wrong = (99, 1.5)
    changes += (("smoothing", False), ("max_people", 99), ("detection_score", 1.5))
    expected, futures = [], []
    prepared = bench.message(walk_frames(1)[0])
    bench.forget()
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        name, value = changes[len(futures) % len(changes)]
        expected.append(value not in wrong)
        parameter = Parameter(name, value=value).to_parameter_msg()
        futures.append(client.call_async(SetParameters.Request(parameters=[parameter])))
        if len(futures) % 25 == 1:
            prepared.header.stamp = bench.now()
            bench.images.publish(prepared)
        bench.spin(max(0.0, begin + len(futures) / 100 - time.monotonic()))
    bench.wait(lambda: all(future.done() for future in futures), 30.0)
    taken = [future.result().results[0].successful for future in futures if future.done()]
    seen = {
        "changes": len(futures),
        "answers": len(taken),
        "taken": sum(taken),
        "skeletons": len(bench.skeletons),
        "people_after": len(ids_in(bench.exchange(walk_frames(1)[0]))),
    }
    bench.node.destroy_client(client)
    return entry(
        "parameters_at_100_hz",
        f"smoothing, max_people and detection_score set 100 times a second for {seconds:g} s, "
        "a third of them out of range",
        seen,
        "every change answered, right ones taken, wrong ones refused; skeletons meanwhile",
        taken == expected and len(bench.skeletons) > 1 and node.is_alive,
    )


def floods(bench: Bench, node: NodeProcess, seconds: float) -> dict:
    """Call ~/reset and send another camera's images without end."""
    client = bench.node.create_client(Trigger, "/pose_node/reset")
    bench.wait(client.service_is_ready)
    other = bench.node.create_publisher(Image, "image", 10)
    lines, memory = len(node.log.splitlines()), node.memory
    noise = bench.message(np.full((48, 64, 3), 90, np.uint8))
    noise.header.frame_id = "other"
    futures, sent = [], 0
    bench.forget()
    for _stamp in stream(bench, walk_frames(10), lambda: 5.0, seconds):
        for _ in range(20):
            noise.header.stamp = Time(sec=sent)  # with another clock
            other.publish(noise)
            futures.append(client.call_async(Trigger.Request()))
            sent += 1
        bench.spin(0.05)
    bench.wait(lambda: all(future.done() for future in futures), 5.0)
    last = client.call_async(Trigger.Request())
    is_reset = bench.wait(last.done, 30.0)
    bench.node.destroy_publisher(other)
    bench.node.destroy_client(client)
    answers = sum(future.done() for future in futures)
    growth = node.memory / memory - 1
    # After two of the other's stamps in a row, the first of ours is taken for wrong and dropped.
    (frame,) = walk_frames(1)
    bench.exchange(frame, 1.0)
    lines = len(node.log.splitlines()) - lines
    seen = {
        "images_of_the_other": sent,
        "calls": len(futures),
        "calls_answered": answers,
        "call_after_answered": is_reset,
        "skeletons": len(bench.skeletons),
        "log_lines": lines,
        "memory_growth": growth,
        "people_after": len(ids_in(bench.exchange(frame))),
    }
    return entry(
        "floods",
        "a second publisher on the image topic with another frame and clock, and calls of "
        f"~/reset, {len(futures) / seconds:.0f} of each a second for {seconds:g} s",
        seen,
        "alive, a call afterwards is answered (of more than 10 waiting ROS drops the oldest), "
        "skeletons meanwhile, at most 20 lines in the log, memory grows by less than 5 %",
        node.is_alive and is_reset and len(bench.skeletons) > 0 and lines <= 20 and growth < 0.05,
    )
