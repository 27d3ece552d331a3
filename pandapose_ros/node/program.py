"""Start a node as a program: `python -m pandapose_ros.node.program pose_node --ros-args ...`.

Imports nothing that takes long to load.
"""

import importlib
import os
import signal
import sys


def run(module: str) -> int:
    """Run a node; return the exit code.

    Loading its module takes seconds. Until the node handles signals itself, Ctrl-C ends the
    process with exit code 0, as later, in place of a trace through whatever was being loaded: of
    another code, ros2 launch says that the process has died.

    Args:
        module: In this package, with a function `main`.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # there is nothing to clean up yet
    return importlib.import_module(f"pandapose_ros.node.{module}").main()


def pose_node() -> int:
    """Run the program `pose_node`."""
    return run("pose_node")


def video_camera() -> int:
    """Run the program `video_camera`."""
    return run("video_camera")


def viewer() -> int:
    """Run the program `viewer`."""
    return run("viewer")


if __name__ == "__main__":
    sys.exit(run(sys.argv.pop(1)))
