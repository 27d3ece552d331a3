"""The program `pandapose` beside other programs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", ["doctor", "parameters"])
def test_a_reader_that_has_seen_enough_is_no_error(command):
    program = [sys.executable, "-m", "pandapose_ros.tools.main", command]
    with subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
