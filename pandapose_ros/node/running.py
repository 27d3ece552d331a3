"""Start a node's process, and end it well when told to."""

import signal
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

# Longest time until a signal is noticed.
_SIGNAL_POLL = 0.2


def start_ros() -> threading.Event:
    """Initialise ROS; the event returned is set by SIGINT and SIGTERM.

    rclpy's own handlers close the context at once, before markers can be deleted and statistics
    logged, and a second signal (a terminal and ros2 launch both send one) breaks the clean-up.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    return ending


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
