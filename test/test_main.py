"""The program `pandapose` beside other programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pandapose_ros.tools import main

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


@pytest.mark.parametrize("command", ["train", "train-landmarks", "estimate"])
def test_threads_of_trainings_alone_wait_spinning(command, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "77")
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    trains = command.startswith("train")
    assert os.environ.get("OMP_WAIT_POLICY") == (None if trains else "PASSIVE")
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "77"  # the user's own counts
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    assert (os.environ.get("ONEDNN_PRIMITIVE_CACHE_CAPACITY") == "16384") == trains
