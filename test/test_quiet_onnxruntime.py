import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = (
    "from pandapose_ros.runtime.quiet_onnxruntime import load_onnxruntime;"
    "load_onnxruntime().SessionOptions()"
)


def test_onnxruntime_keeps_no_identifier_of_the_machine(tmp_path):
    # Where it reports, it does, in the home directory.
    hushed = ("ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hushed}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", CODE], env=environment, cwd=tmp_path, check=True)
    assert not list(tmp_path.rglob("*"))


def test_nothing_else_loads_onnxruntime():
    files = [*ROOT.glob("pandapose_ros/**/*.py"), *ROOT.glob("benchmark/*.py")]
    loading = [file.name for file in files if "import onnxruntime" in file.read_text()]
    assert loading == ["quiet_onnxruntime.py"]
