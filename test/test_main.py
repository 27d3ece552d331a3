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
    for own in (None, "ACTIVE"):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if own:
            monkeypatch.setenv("OMP_WAIT_POLICY", own)
        with pytest.raises(SystemExit):
            main.main([command, "--help"])
        default = None if command.startswith("train") else "PASSIVE"
        assert os.environ.get("OMP_WAIT_POLICY") == (own or default)


@pytest.mark.parametrize("command", ["train", "train-landmarks"])
@pytest.mark.parametrize("minutes", ["nan", "inf", "-1", "soon"])
def test_a_training_that_would_never_stop_is_refused(command, minutes, capsys):
    with pytest.raises(SystemExit):
        main.main([command, f"--minutes={minutes}"])
    assert f"expected minutes, 0 for no limit; got '{minutes}'" in capsys.readouterr().err
