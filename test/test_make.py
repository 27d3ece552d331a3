# What `make` does where the folder, its .venv or the environment are not as usual.
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAMPS = ("run", "dev", "view", "package", "models")
PROGRAMS = ("pandapose", "pytest", "ruff", "pyright", "colcon")
TELL = 'for text in "$PYTHONPATH" "$AMENT_PREFIX_PATH" "${0##*/}" "$@"; do echo "$text"; done'


def program(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def tree(tmp_path):
    # A shell would split its name. Its programs tell how they were called.
    tree = tmp_path / "my clone"
    (tree / "scripts").mkdir(parents=True)
    files = ["Makefile", "setup.py", "pyproject.toml", "package.xml", "CMakeLists.txt"]
    files += ["scripts/install.sh", *(file.name for file in ROOT.glob("requirements*.txt"))]
    for name in files:
        shutil.copy(ROOT / name, tree / name)
    for name in PROGRAMS:
        program(tree / ".venv" / "bin" / name, TELL)
    return tree


def stamp(tree):
    for name in STAMPS:
        (tree / ".venv" / f"{name}.stamp").touch()


def make(tree, *arguments, flags=""):
    result = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=tree,
        env={**os.environ, "MAKEFLAGS": flags, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_a_folder_may_have_a_space_in_its_name(tree):
    stamp(tree)
    venv = str(tree / ".venv")
    assert make(tree, "demo", "INPUT=a b.mp4") == [str(tree), venv, "pandapose", "demo", "a b.mp4"]
    assert make(tree, "test", "ARGS=test")[:4] == [str(tree), venv, "pytest", "test"]
    assert make(tree, "lint")[-1] == "pyright"
    lines = make(tree, "colcon")
    assert venv in lines
    assert f"-DCMAKE_PROJECT_INCLUDE={tree / 'cmake' / 'pypi_wheels.cmake'}" in lines


def test_no_two_steps_install_at_a_time(tree):
    steps = 'echo "start $1"; sleep 0.2; echo "end $1"'
    program(tree / "scripts" / "install.sh", f'[ "$1" = discard ] || {{ {steps}; }}')
    lines = make(tree, "demo", "VIEW=1", flags="-j4")
    words = [line.split()[0] for line in lines if line.startswith(("start", "end"))]
    assert words == ["start", "end"] * 3


@pytest.mark.parametrize("first_lines", ["#!{}", '#!/bin/sh\n\'\'\'exec\' "{}" "$0" "$@"'])
def test_an_environment_in_which_nothing_starts_is_made_anew(tree, first_lines):
    stamp(tree)
    python = tree / ".venv" / "bin" / "python"
    python.with_name("pip").write_text(first_lines.format(python) + "\n")
    for exists in (True, False):
        program(python, "") if exists else python.unlink()
        subprocess.run([tree / "scripts" / "install.sh", "discard"], check=True)
        assert (tree / ".venv").exists() == exists


def test_an_sdist_holds_all_that_is_built_and_tested(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    listed = set((tmp_path / "pandapose_ros.egg-info" / "SOURCES.txt").read_text().splitlines())
    folders = ("cmake", "config", "launch", "msg", "pandapose_ros", "resource", "test")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    files += [ROOT / n for n in ("CMakeLists.txt", "package.xml", "setup.py", "pyproject.toml")]
    files += ROOT.glob("requirements*.txt")
    assert len(files) > 400
    names = {str(f.relative_to(ROOT)) for f in files if "__pycache__" not in f.parts}
    assert not names - listed
    assert not [name for name in listed if name.endswith(".pyc")]
