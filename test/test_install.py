# The package as it is installed: by pip into an environment, or by colcon into a workspace.
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from pandapose_ros.packaged_weights import PACKAGED_WEIGHTS
from pandapose_ros.tools.processes import node_command

ROOT = Path(__file__).resolve().parents[1]
INDEX = Path("share", "ament_index", "resource_index")
PROGRAMS = ["pandapose", "pose_node", "video_camera", "viewer"]


def prefixes():
    return [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]


@pytest.fixture(scope="module")
def prefix():
    marker = INDEX / "packages" / "pandapose_ros"
    found = [Path(prefix) for prefix in prefixes() if (Path(prefix) / marker).exists()]
    assert found, (
        f"pandapose_ros is installed in none of {prefixes()}: make test, or pip install ."
    )
    return found[0].resolve()


@pytest.fixture(scope="module")
def environment():
    # What sources add to the path must not be needed, what colcon adds must be.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    installed = [path for path in paths if path and Path(path).resolve() != ROOT]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(installed),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def run(command, environment, folder):
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def programs(prefix, name):
    scripts = [prefix / "lib" / "pandapose_ros" / name, Path(sys.prefix, "bin", name)]
    # colcon makes no console scripts; in an environment, pip must have.
    return scripts if prefix == Path(sys.prefix).resolve() else scripts[:1]


def test_modules_and_messages_are_found_outside_of_the_tree(prefix, environment, tmp_path):
    code = (
        "import pandapose_ros.msg, pandapose_ros.config, pandapose_ros.node, pandapose_ros.tools;"
        "print(pandapose_ros.config.__file__, pandapose_ros.msg.__file__, sep='\\n');"
        "pandapose_ros.msg.Skeleton3DArray.__class__.__import_type_support__();"
        "assert pandapose_ros.msg.Skeleton3DArray.__class__._TYPE_SUPPORT"
    )
    result = run([sys.executable, "-c", code], environment, tmp_path)
    assert result.returncode == 0, result.stderr
    for file in result.stdout.splitlines():
        assert Path(file).is_relative_to(prefix)


@pytest.mark.parametrize("folder", ["config", "launch"])
def test_shared_files_are_installed(prefix, folder):
    sources = [file for file in (ROOT / folder).rglob("*") if file.suffix not in ("", ".pyc")]
    assert sources
    for source in sources:
        installed = prefix / "share" / "pandapose_ros" / source.relative_to(ROOT)
        assert installed.read_bytes() == source.read_bytes(), "reinstall"


def test_ament_index_knows_package_and_messages(prefix):
    interfaces = (prefix / INDEX / "rosidl_interfaces" / "pandapose_ros").read_text().split()
    for message in (ROOT / "msg").glob("*.msg"):
        assert f"msg/{message.name}" in interfaces
        assert (prefix / "share" / "pandapose_ros" / "msg" / message.name).exists()
    manifest = prefix / "share" / "pandapose_ros" / "package.xml"
    assert manifest.read_text() == (ROOT / "package.xml").read_text()


def test_the_message_of_tf_is_there_as_on_any_robot():
    # Its type hash, which publishers and subscribers compare, is that of ROS 2's own package.
    found = [Path(p, "share", "tf2_msgs", "msg", "TFMessage.json") for p in prefixes()]
    texts = [file.read_text() for file in found if file.exists()]
    assert texts
    type_hash = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
    assert all(type_hash in text for text in texts)


def test_weights_are_installed(environment, tmp_path):
    code = "import pandapose_ros.skeleton as c; print(c.__file__)"
    result = run([sys.executable, "-c", code], environment, tmp_path)
    weights = Path(result.stdout.strip()).parent / "weights"
    for name in PACKAGED_WEIGHTS:
        assert (weights / f"{name}.safetensors").stat().st_size > 1e5
    assert (weights / "MODEL_CARD.md").exists()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_where_ros2_run_looks(prefix, name):
    for program in programs(prefix, name):
        assert os.access(program, os.X_OK)


def test_pandapose_tells_its_commands(prefix, environment, tmp_path):
    for program in programs(prefix, "pandapose"):
        result = run([sys.executable, program, "--help"], environment, tmp_path)
        assert result.returncode == 0, result.stderr
        assert "fetch-models" in result.stdout


def test_video_camera_names_a_missing_file(prefix, environment, tmp_path):
    for program in programs(prefix, "video_camera"):
        command = [sys.executable, program, "--ros-args", "-p", "source:=no/such/file.mp4"]
        result = run(command, environment, tmp_path)
        assert result.returncode == 1
        assert "no/such/file.mp4" in result.stderr


def test_pose_node_starts_and_ends_when_told(prefix, environment, tmp_path):
    context = Context()
    rclpy.init(context=context)
    watcher = Node("watcher", context=context)
    name = f"installed_{os.getpid()}"
    command = [sys.executable, programs(prefix, "pose_node")[0], "--ros-args"]
    command += ["-r", f"__node:={name}", "-p", "autostart:=false"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        end = time.monotonic() + 40
        while name not in watcher.get_node_names() and time.monotonic() < end:
            assert process.poll() is None
            time.sleep(0.1)
        assert name in watcher.get_node_names()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        watcher.destroy_node()
        context.try_shutdown()


def test_an_interrupt_while_it_loads_ends_a_node_without_a_trace(prefix, environment, tmp_path):
    commands = [[sys.executable, program] for program in programs(prefix, "pose_node")]
    for command in (*commands, node_command("pose_node", "", {}, {})):
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            maps = Path("/proc", str(process.pid), "maps")
            while "libtorch" not in maps.read_text():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20)[1] == ""
        assert process.returncode == 0  # or ros2 launch says that it has died


def test_version_is_the_manifests(prefix, environment, tmp_path):
    code = "import importlib.metadata as m; print(m.version('pandapose_ros'))"
    result = run([sys.executable, "-c", code], environment, tmp_path)
    manifest = ElementTree.parse(prefix / "share" / "pandapose_ros" / "package.xml")
    assert result.stdout.strip() == manifest.findtext("version"), result.stderr
