"""Thousands of wrong messages: does the node live, and does it account for every one?"""

import math
import re
import time
from collections.abc import Callable

import numpy as np
import reliability_messages as messages
from builtin_interfaces.msg import Time
from rclpy.publisher import Publisher
from reliability_bench import LOSSLESS, Bench, NodeProcess, entry, walk_frames

from pandapose_ros.camera.depth_root import check_depth
from pandapose_ros.node.compressed import decode
from pandapose_ros.node.depth import depth_from_message
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view, intrinsics_from_message
from pandapose_ros.node.jumps import StampWatch, Step
from pandapose_ros.node.stamps import nanoseconds

_SIZE = (messages.WIDTH, messages.HEIGHT)
# However many messages are wrong, the log stays readable. Once this is reached, by texts that are
# all different, there comes one line in ten seconds.
_MOST_LINES = 150
_NODE_LINE = re.compile(r"\[(INFO|WARN|ERROR|FATAL)\] ")
# Longest time for an answer before a message counts as not answered.
_ANSWER = 20.0
# The same for one that is dropped for its stamp.
_NO_ANSWER = 0.5
# For the next message not to overtake the one before on its way to the worker.
_PAUSE = 0.004


def _is_refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except ValueError:
        return True
    return False


def _has_numbers_only(bench: Bench) -> bool:
    """Whether every coordinate of every marker published is a number."""
    return all(
        math.isfinite(value)
        for marker in bench.markers
        for point in (marker.pose.position, *marker.points)
        for value in (point.x, point.y, point.z)
    )


def _judge(
    bench: Bench, node: NodeProcess, begin: float, fault: str, done: str, expected: dict[str, int]
) -> dict:
    """End the node and compare what it counted with what it was sent."""
    memory, was_alive = node.memory, node.is_alive
    code = bench.end_pose_node(node)
    counts = node.counts()
    dropped = sum(
        n for name, n in counts.items() if name.startswith("dropped") or name == "failed"
    )
    all_lines = node.log.splitlines()
    lines = sum(_NODE_LINE.match(line) is not None for line in all_lines)
    seconds = time.monotonic() - begin
    got = {name: counts.get(name, 0) for name in expected}
    # On a busy machine a wrong image may be replaced before its turn, which is counted as well.
    got["dropped_undecodable"] += counts.get("dropped_busy", 0)
    # The stamps are random: some are far ahead of two that agree.
    got["processed"] += counts.get("dropped_wrong_stamp", 0)
    seen = {
        "alive": was_alive,
        "exit_code": code,
        "counts": counts,
        "expected": expected,
        "log_lines": lines,
        "other_lines": len(all_lines) - lines,
        "seconds": seconds,
        "memory_mib": memory,
        "markers": len(bench.markers),
        "markers_finite": _has_numbers_only(bench),
    }
    passed = (
        was_alive
        and code == 0
        and got == expected
        and counts["received"] == counts["processed"] + dropped
        and counts.get("failed", 0) == 0
        and counts["dropped_undecodable"] > counts.get("dropped_busy", 0)
        and lines <= _MOST_LINES + seconds / 10
        and seen["markers_finite"]
        and "Traceback" not in node.log
    )
    bound = (
        "alive; exit code 0; every counter as expected (an undecodable image may count "
        "as busy, replaced before its turn, and a right one as of a wrong stamp), "
        "received = processed + drops by cause; "
        f"failed 0; at most {_MOST_LINES} lines in the log and one in 10 s, "
        "beside what libpng and libjpeg write; no traceback; no NaN in a marker"
    )
    return entry(fault, done, seen, bound, passed)


def _send_images(bench: Bench, publisher: Publisher, images: list) -> int:
    """Send images, waiting for an answer to those that can be decoded; return their number."""
    good, watch = 0, StampWatch()
    for image in images:
        if _is_refused(lambda image=image: decode(image)):
            publisher.publish(image)
            bench.spin(_PAUSE)
            continue
        good += 1
        stamp_ns, now_ns = nanoseconds(image.header.stamp), time.monotonic_ns()
        is_wrong = watch.judge(stamp_ns, now_ns, now_ns) is Step.IS_WRONG
        bench.answer(publisher, image, _NO_ANSWER if is_wrong else _ANSWER)
    return good


def fuzz_raw(bench: Bench, image_count: int, info_count: int, depth_count: int) -> dict:
    """Send wrong images, then right ones with wrong calibrations, then with wrong depths."""
    node = bench.start_pose_node(**LOSSLESS)
    begin = time.monotonic()
    images = messages.draw(messages.images(), image_count)
    processed = _send_images(bench, bench.images, images)
    refused_infos = refused_depths = 0
    frames = walk_frames(20, _SIZE)
    for number, info in enumerate(messages.draw(messages.camera_infos(), info_count)):
        refused_infos += _is_refused(lambda info=info: intrinsics_from_message(info, *_SIZE))
        bench.infos.publish(info)
        bench.spin(2 * _PAUSE)
        bench.exchange(frames[number % len(frames)], _ANSWER)
    bench.infos.publish(camera_info_from_field_of_view(1.0, *_SIZE))
    bench.spin(0.5)
    for number, depth in enumerate(messages.draw(messages.depths(), depth_count)):
        refused_depths += _is_refused(
            lambda depth=depth: check_depth(depth_from_message(depth), _SIZE)
        )
        image = bench.message(frames[number % len(frames)])
        depth.header.stamp = image.header.stamp
        bench.depths.publish(depth)
        bench.answer(bench.images, image, _ANSWER)
    right = info_count + depth_count
    expected = {
        "received": image_count + right,
        "processed": processed + right,
        "dropped_undecodable": image_count - processed,
        "refused_camera_info": refused_infos,
        "refused_depth": refused_depths,
    }
    done = (
        f"{image_count} images, {info_count} camera_info and {depth_count} depth images made with "
        "hypothesis: sizes, steps, encodings, data and stamps that disagree, huge sizes with "
        "little data, NaN and zero in K, wrong distortion; an image of a person after each "
        "camera_info and depth image"
    )
    return _judge(bench, node, begin, "fuzz_image_camera_info_depth", done, expected)


def fuzz_compressed(bench: Bench, count: int) -> dict:
    """Send damaged JPEG and PNG images."""
    node = bench.start_pose_node(image_transport="compressed", **LOSSLESS)
    begin = time.monotonic()
    images = messages.draw(messages.compressed_images(), count)
    processed = _send_images(bench, bench.compressed, images)
    # Once this one is answered, none is on its way any more. A jump back is believed if two agree.
    last = messages.whole_image(Time(sec=-(2**31)))
    for patience in (_NO_ANSWER, _ANSWER):
        bench.answer(bench.compressed, last, patience)
    expected = {
        "received": count + 2,
        "processed": processed + 2,
        "dropped_undecodable": count - processed,
    }
    done = (
        f"{count} compressed images made with hypothesis: JPEG and PNG, whole, cut short, with "
        "bytes changed, with other sizes declared, with other formats named, and plain bytes"
    )
    return _judge(bench, node, begin, "fuzz_compressed", done, expected)


def sizes(bench: Bench) -> dict:
    """Send the smallest image there is, and 8K."""
    node = bench.start_pose_node(**LOSSLESS)
    answered = {}
    for width, height in ((1, 1), (1, 4000), (4000, 1), (7680, 4320), (1, 1)):
        pixels = np.full((height, width, 3), 90, np.uint8)
        answered[f"{width}x{height}"] = bench.exchange(pixels, 60.0) is not None
    memory, code = node.memory, bench.end_pose_node(node)
    counts = node.counts()
    seen = {"answered": answered, "memory_mib": memory, "counts": counts, "exit_code": code}
    return entry(
        "sizes",
        "raw images of 1x1, 1x4000, 4000x1 and 7680x4320 pixels, then 1x1 again",
        seen,
        "every image answered, failed 0, exit code 0",
        all(answered.values()) and counts.get("failed", 0) == 0 and code == 0,
    )
