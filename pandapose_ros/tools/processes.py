"""Run nodes in other processes, as tools do not import ROS."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

# Time for a node to delete its markers and to log its statistics [s].
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1
# Fast DDS reads the first from Kilted on, the second before.
_DDS_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def find_shared(path: Path) -> Path:
    """Find a file of the package's share folder, in the source tree or where it is installed.

    Args:
        path: Relative to the share folder, such as config/demo/walk.mp4.

    Raises:
        FileNotFoundError: If it is in neither.
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
    command = [sys.executable, "-m", "pandapose_ros.node.program", name, "--ros-args"]
    if namespace:
        command += ["-r", f"__ns:={namespace}"]
    for old, new in remaps.items():
        command += ["-r", f"{old}:={new}"]
    for key, value in parameters.items():
        # Quoted, so that YAML does not turn a text such as a webcam's index into a number.
        text = "'{}'".format(value.replace("'", "''")) if isinstance(value, str) else str(value)
        command += ["-p", f"{key}:={text}"]
    return command


def check_parameters(file: Path, node: str) -> None:
    """Refuse a parameter file from which a node would silently read nothing.

    Args:
        file: YAML.
        node: Name with its namespace, such as /left/pose_node.

    Raises:
        ValueError: If no section is for the node; the message names those there are.
    """
    try:
        sections = list(_sections("", yaml.safe_load(file.read_text())))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no YAML: {error}") from error
    if not any(_section_pattern(section).fullmatch(node) for section in sections):
        listing = ", ".join(sections) or "no section with ros__parameters"
        raise ValueError(
            f"{file} has no parameters for {node}, but {listing}: write /** to mean every node"
        )


def _sections(name: str, content: object) -> Iterator[str]:
    """Yield the names of nodes, with namespaces and wildcards, that a file has parameters for."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == "ros__parameters":
            yield name
        else:
            yield from _sections(f"{name}/{str(key).strip('/')}", value)


def _section_pattern(section: str) -> re.Pattern[str]:
    """Return a section's name as a pattern: * is one part of a name, ** any number of parts."""
    parts = {"/**": "(/[^/]+)*", "/*": "/[^/]+"}
    names = re.findall(r"/[^/]+", section)
    return re.compile("".join(parts.get(name) or re.escape(name) for name in names))


def start_node(
    name: str, namespace: str, parameters: Mapping[str, object], remaps: Mapping[str, str]
) -> subprocess.Popen:
    """Start a node of this package as a process of its own; arguments as of `node_command`."""
    command = node_command(name, namespace, parameters, remaps)
    return subprocess.Popen(command, env=node_environment())


def node_environment() -> dict[str, str]:
    """Return the environment for a node: this one's, and a Fast DDS profile if it has none.

    Images do not fit into Fast DDS's default shared memory: half of a camera's would be lost.
    """
    given = [os.environ[name] for name in _DDS_PROFILES if os.environ.get(name)]
    profile = given[0] if given else str(find_shared(Path("config", "fastdds.xml")))
    return os.environ | dict.fromkeys(_DDS_PROFILES, profile)


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
    """Terminate processes, one after the other; kill those that do not end.

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
