# Each fault of benchmark/reliability.py for a few seconds: real processes over real DDS.
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmark"
FAULTS = {
    "fuzz": ["fuzz_image_camera_info_depth"],
    "compressed": ["fuzz_compressed"],
    "sizes": ["sizes"],
    "faults": [
        "camera_four_times_too_fast",
        "camera_killed",
        "clock_jumps",
        "parameters_at_100_hz",
        "floods",
        "node_killed",
    ],
    "people": ["thirty_people"],
    "soak": ["soak"],
}


@pytest.mark.parametrize("part", FAULTS)
@pytest.mark.timeout(600)
def test_the_node_survives(tmp_path, part):
    out = tmp_path / "reliability.json"
    command = [sys.executable, str(BENCHMARK / "reliability.py"), "--quick", "--only", part]
    result = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert out.exists(), result.stderr[-3000:]
    faults = json.loads(out.read_text())["faults"]
    broken = [fault for fault in faults if not fault["passed"]]
    assert not broken, broken
    assert [fault["fault"] for fault in faults] == FAULTS[part], result.stderr[-3000:]
    assert result.returncode == 0, result.stderr[-3000:]


def test_the_figures_on_record_hold_their_bounds():
    faults = json.loads((BENCHMARK / "results" / "reliability.json").read_text())["faults"]
    assert {fault["fault"] for fault in faults} == {
        name for part in FAULTS.values() for name in part
    }
    assert all(fault["passed"] for fault in faults)
