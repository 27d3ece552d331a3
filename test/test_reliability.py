# Each fault of benchmark/reliability.py for a few seconds: real processes over real DDS.
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmark"
FAULTS = [
    "fuzz_image_camera_info_depth",
    "fuzz_compressed",
    "sizes",
    "camera_four_times_too_fast",
    "camera_killed",
    "clock_jumps",
    "parameters_at_100_hz",
    "floods",
    "node_killed",
    "thirty_people",
    "soak",
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    out = tmp_path_factory.mktemp("reliability") / "reliability.json"
    command = [sys.executable, str(BENCHMARK / "reliability.py"), "--quick", "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.exists(), result.stderr[-3000:]
    faults = {fault["fault"]: fault for fault in json.loads(out.read_text())["faults"]}
    assert set(faults) == set(FAULTS), result.stderr[-3000:]
    assert result.returncode == (0 if all(fault["passed"] for fault in faults.values()) else 1)
    return faults


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.timeout(900)
def test_the_node_survives(seen, fault):
    assert seen[fault]["passed"], seen[fault]


def test_the_figures_on_record_hold_their_bounds():
    faults = json.loads((BENCHMARK / "results" / "reliability.json").read_text())["faults"]
    assert {fault["fault"] for fault in faults} == set(FAULTS)
    assert all(fault["passed"] for fault in faults)
    messages = [f for f in faults if f["fault"].startswith("fuzz")]
    assert sum(fault["seen"]["counts"]["received"] for fault in messages) >= 2000
