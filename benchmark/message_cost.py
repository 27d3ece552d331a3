"""Measure what it costs to fill and publish the skeletons of five people from Python.

Run: ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST .venv/bin/python benchmark/message_cost.py
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import rclpy
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.node import Node

from pandapose_ros.msg import Joint3D, Skeleton3D, Skeleton3DArray

JOINTS = 17
Rows = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]


def people(count: int) -> list[Rows]:
    """Draw joints [17, 3], scores [17], covariances [17, 9] and keypoints [17, 2] per person."""
    rng = np.random.default_rng(0)
    shapes = ((JOINTS, 3), (JOINTS,), (JOINTS, 9), (JOINTS, 2))
    joints, scores, covariances, keypoints = zip(
        *([rng.random(shape) for shape in shapes] for _ in range(count)), strict=True
    )
    return [
        (j.astype(np.float32), s.astype(np.float32), c, k.astype(np.float32))
        for j, s, c, k in zip(joints, scores, covariances, keypoints, strict=True)
    ]


def new_message(rows: list[Rows]) -> Skeleton3DArray:
    """Make every object anew."""
    message = Skeleton3DArray(skeleton_type="h36m_17")
    for joints, scores, covariances, keypoints in rows:
        skeleton = Skeleton3D(id="p1")
        numbers = zip(
            joints.tolist(), scores.tolist(), covariances, keypoints.tolist(), strict=True
        )
        skeleton.joints = [
            Joint3D(
                position=Point(x=x, y=y, z=z),
                confidence=score,
                position_covariance=covariance,
                u=u,
                v=v,
            )
            for (x, y, z), score, covariance, (u, v) in numbers
        ]
        message.skeletons.append(skeleton)
    return message


def refill_message(message: Skeleton3DArray, rows: list[Rows]) -> Skeleton3DArray:
    """Set the fields of a message of an earlier frame."""
    for skeleton, (joints, scores, covariances, keypoints) in zip(
        message.skeletons, rows, strict=True
    ):
        numbers = zip(
            skeleton.joints,
            joints.tolist(),
            scores.tolist(),
            covariances,
            keypoints.tolist(),
            strict=True,
        )
        for joint, (x, y, z), score, covariance, (u, v) in numbers:
            position = joint.position
            position.x, position.y, position.z = x, y, z
            joint.confidence = score
            joint.position_covariance[:] = covariance
            joint.u, joint.v = u, v
    return message


def median_ms(call: Callable[[], object], frames: int) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for _ in range(frames):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(times)), 3)


def main() -> None:
    """Print the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1000)
    args = parser.parse_args()
    rows = people(args.people)
    rclpy.init()
    node = Node("message_cost")
    publisher = node.create_publisher(Skeleton3DArray, "skeletons", 5)
    # Never spun: makes the middleware deliver what is published.
    node.create_subscription(Skeleton3DArray, "skeletons", lambda _: None, 5)
    message = new_message(rows)
    result = {
        "people": args.people,
        "new_ms": median_ms(lambda: new_message(rows), args.frames),
        "refill_ms": median_ms(lambda: refill_message(message, rows), args.frames),
        "publish_ms": median_ms(lambda: publisher.publish(message), args.frames),
    }
    print(json.dumps(result))
    rclpy.shutdown()


if __name__ == "__main__":
    main()
