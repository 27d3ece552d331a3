# What other machines run: the workflow and the container, as far as a file can be wrong.
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCRIPTS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
# Each RUN of the Dockerfile, with the lines that it goes on in.
SCRIPTS += re.findall(r"^RUN ((?:.*\\\n)*.*)", DOCKERFILE, re.M)


def test_every_distribution_of_ros_2_is_tried():
    matrix = JOBS["ros"]["strategy"]["matrix"]
    assert matrix["distribution"] == ["humble", "jazzy", "kilted", "lyrical", "rolling"]
    assert JOBS["ros"]["container"] == "ros:${{ matrix.distribution }}-ros-base"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.split("\n")[0][:40])
def test_scripts_are_bash_and_name_files_that_exist(script):
    assert len(SCRIPTS) > 6
    check = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")
    for path in re.findall(r"src/pandapose_ros/([\w./-]+)", script):
        assert (ROOT / path).is_file(), path


def test_the_container_starts_what_is_there():
    entry = re.search(r'^ENTRYPOINT \["/workspace/src/pandapose_ros/(.+)"\]', DOCKERFILE, re.M)
    assert entry
    assert os.access(ROOT / entry[1], os.X_OK)
    copied = re.findall(r"^COPY (.+) src/pandapose_ros/?$", DOCKERFILE, re.M)
    files = [name for line in copied for name in line.split()]
    assert files
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in files:
        assert (ROOT / name).exists(), name
        assert name not in ignored
    for launch_file in re.findall(r'"(\w+\.launch\.py)"', DOCKERFILE):
        assert (ROOT / "launch" / launch_file).is_file()
