import os
import subprocess
import sys
from pathlib import Path

import pytest

from pandapose_ros.tools import doctor


def run_doctor(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pandapose_ros.tools.main", "doctor", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


def test_all_is_well_where_the_tests_run(graph, make_camera):
    make_camera()
    done = run_doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    for subject in ("Python", "torch", "model files", "weights", "shared memory", "ROS"):
        assert f"ok    {subject}" in done.stdout, done.stdout
    assert "ok    image topic: /image of /camera" in done.stdout


def test_what_is_missing_is_named_with_its_remedy(tmp_path):
    done = run_doctor(
        "--model-dir", str(tmp_path), FASTRTPS_DEFAULT_PROFILES_FILE=str(tmp_path / "no.xml")
    )
    assert done.returncode == 1
    assert "FAIL  estimator" in done.stdout
    assert "pandapose fetch-models" in done.stdout
    assert "warn  DDS profile" in done.stdout
    assert "1 to fix" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [("", "FASTRTPS"), ("humble", "FASTRTPS"), ("kilted", "FASTDDS"), ("rolling", "FASTDDS")],
)
def test_the_profile_is_that_which_fast_dds_reads(distribution, variable, monkeypatch):
    profile = str(Path(__file__).parents[1] / "config" / "fastdds.xml")
    monkeypatch.setenv("ROS_DISTRO", distribution)
    for name in ("FASTRTPS", "FASTDDS"):
        monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
        monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
        monkeypatch.setenv(f"{name}_DEFAULT_PROFILES_FILE", profile)
        (finding,) = doctor.check_profile()
        assert finding.level == ("ok" if name == variable else "warn"), finding
        assert name == variable or f"export {variable}_DEFAULT" in finding.text


def test_a_profile_without_room_for_images_is_told(tmp_path, monkeypatch):
    (tmp_path / "dds.xml").write_text("<dds/>")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "dds.xml"))
    (finding,) = doctor.check_profile()
    assert finding.level == "warn"
    assert "segment_size" in finding.text
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    assert [f.level for f in doctor.check_profile()] == ["ok"]


def test_ros_that_cannot_be_loaded_is_a_failure(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_absent")
    (finding,) = doctor.check_graph()
    assert finding.level == "FAIL"
    assert "source ROS 2" in finding.text
    assert "unset RMW_IMPLEMENTATION, rmw_absent" in finding.text


@pytest.mark.parametrize(("distribution", "wheels"), [("", True), ("jazzy", False)])
def test_wheels_of_ros_are_not_put_beside_another_ros(distribution, wheels, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    monkeypatch.setattr(doctor, "_MODULES", {"no_such_module": "no-such-package"})
    monkeypatch.setattr(doctor, "_OPTIONAL", {})
    (finding,) = doctor.check_packages()
    assert finding.level == "FAIL"
    assert ("requirements.txt" in finding.text) == wheels
    assert "requirements-python.txt" in finding.text


def test_a_python_that_was_not_tried_is_no_failure(monkeypatch):
    for number, level in (((3, 10, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 2), "warn")):
        monkeypatch.setattr(sys, "version_info", number)
        (finding,) = doctor.check_python()
        assert finding.level == level


@pytest.mark.parametrize(("distribution", "constraint"), [("", ""), ("jazzy", "'numpy<2' ")])
def test_what_is_done_without_is_no_failure(distribution, constraint, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    monkeypatch.setattr(doctor, "_MODULES", {})
    monkeypatch.setattr(doctor, "_OPTIONAL", {"no-such": ("the moon needs it", "moon.txt")})
    text = f"not installed, the moon needs it: pip install {constraint}-r moon.txt"
    assert list(doctor.check_packages()) == [doctor.Finding("warn", "no-such", text)]
