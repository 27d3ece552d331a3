# What is wrong before a node exists.
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "from pandapose_ros.node.running import start_ros; start_ros()"


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (["--params-file", "/nowhere.yaml"], {}, "'--params-file /nowhere.yaml'"),
        (["-r", "image=camera"], {}, "'-r image=camera'"),
        ([], {"ROS_DOMAIN_ID": "robot"}, "ROS_DOMAIN_ID is not an integral number"),
        ([], {"ROS_LOG_DIR": "/proc/none"}, "set ROS_LOG_DIR to a folder that takes files"),
    ],
)
def test_wrong_arguments_are_told_without_a_trace(arguments, environment, reason):
    result = subprocess.run(
        [sys.executable, "-c", CODE, "--ros-args", *arguments],
        env=os.environ | environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    *before, line = result.stderr.splitlines()
    assert len(before) <= 1  # rcl has a line of its own
    assert line.startswith("cannot start: ")
    assert reason in line
    assert "/src/" not in line
    assert result.returncode == 1
