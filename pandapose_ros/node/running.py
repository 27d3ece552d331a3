"""Start a node's process, and shut it down cleanly on a signal."""

import ctypes
import re
import signal
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

# Longest time until a signal is noticed [s].
_SIGNAL_POLL = 0.2


def start_ros() -> threading.Event:
    """Initialise ROS; the event returned is set by SIGINT and SIGTERM.

    rclpy's own handlers close the context at once, before markers can be deleted and statistics
    logged, and a second signal (a terminal and ros2 launch both send one) breaks the clean-up.

    Raises:
        SystemExit: With the reason, if ROS arguments or its environment are wrong.
    """
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        # Without its place in the C sources and the trace through rclpy, which help no user.
        reason = re.sub(r", at \S+:\d+", "", str(error)).strip()
        if "log directory" in reason:
            reason += ": set ROS_LOG_DIR to a folder that takes files"
        raise SystemExit(f"cannot start: {reason}") from None
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    return ending


def keep_freed_memory() -> None:
    """Have glibc keep freed images instead of handing them back to the kernel.

    Each image would otherwise be mapped anew, at one page fault per 4 KiB: measured, 2,200
    faults and twice the CPU time to receive a 1280x720 image. Does nothing on other systems.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # from malloc.h
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 256 << 20)


def spin(node: Node, is_over: Callable[[], bool]) -> None:
    """Run the node's callbacks until `is_over`, asked a few times a second, or ROS shuts down."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not is_over():
            executor.spin_once(timeout_sec=_SIGNAL_POLL)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
