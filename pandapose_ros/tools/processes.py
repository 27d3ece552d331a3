"""Nodes as processes of their own, as tools never import them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Time for a node to delete its markers and to log its statistics.
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


def find_shared(path: Path) -> Path:
    """Find a file of the package's share folder, in the source tree or where it is installed.

    Args:
        path: Relative to the share folder, such as config/demo/walk.mp4.

    Raises:
        FileNotFoundError: If it is nowhere.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(__file__).parents[2]]
    folders += [Path(prefix, "share", "pandapose_ros") for prefix in prefixes if prefix]
    for folder in folders:
        if (folder / path).exists():
            return folder / path
    raise FileNotFoundError(f"{path} is in none of {', '.join(map(str, folders))}; reinstall")


def node_command(
    name: str, namespace: str, parameters: Mapping[str, object], remaps: Mapping[str, str]
) -> list[str]:
    """Return the command line that runs a node of this package.

    Args:
        name: Its module in `pandapose_ros.node`.
        namespace: Of the node; empty: none.
        parameters: Values by name.
        remaps: New names of topics by old ones.
    """
    command = [sys.executable, "-m", f"pandapose_ros.node.{name}", "--ros-args"]
    if namespace:
        command += ["-r", f"__ns:={namespace}"]
    for old, new in remaps.items():
        command += ["-r", f"{old}:={new}"]
    for key, value in parameters.items():
        # A quoted text stays one for the YAML parser, as a webcam's index must.
        text = f"'{value}'" if isinstance(value, str) else str(value)
        command += ["-p", f"{key}:={text}"]
    return command


def start_node(
    name: str, namespace: str, parameters: Mapping[str, object], remaps: Mapping[str, str]
) -> subprocess.Popen:
    """Start a node of this package as a process of its own; arguments as of `node_command`."""
    return subprocess.Popen(node_command(name, namespace, parameters, remaps))


def wait_for_first_end(processes: Sequence[tuple[str, subprocess.Popen]]) -> tuple[str, int]:
    """Wait until one of the processes ends; return its name and exit code.

    Args:
        processes: Names and processes.

    Raises:
        KeyboardInterrupt: If this process is told to end, by SIGTERM too.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        for name, process in processes:
            if process.poll() is not None:
                return name, process.returncode
        time.sleep(_POLL_SECONDS)


def stop(processes: Sequence[tuple[str, subprocess.Popen]]) -> None:
    """Ask processes to end, one after the other; kill what does not.

    Args:
        processes: Names and processes.
    """
    for _name, process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
