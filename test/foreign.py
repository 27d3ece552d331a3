"""Messages of packages that are in no registry: their fields are built here."""

import ctypes
import fcntl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "interfaces"
PACKAGES = ("foxglove_msgs", "hri_msgs", "vision_msgs", "yolo_msgs")


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def build():
    tools = Path(sys.executable).parent
    if not (BUILD / "build.ninja").exists():
        run(
            *(tools / "cmake", "-S", ROOT / "test" / "interfaces", "-B", BUILD, "-G", "Ninja"),
            *("-DBUILD_TESTING=OFF", f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"),
            f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake' / 'pypi_wheels.cmake'}",
            f"-DPython3_EXECUTABLE={sys.executable}",
        )
    run(tools / "ninja", "-C", BUILD, *(f"{p}_s__rosidl_typesupport_c" for p in PACKAGES))


@contextmanager
def importable():
    """Build them once, and let them be imported for a while."""
    BUILD.parent.mkdir(exist_ok=True)
    with (BUILD.parent / "interfaces.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        build()
    for package in PACKAGES:
        # ROS asks for these by name alone, which finds a library that is loaded already.
        for layer in ("generator_c", "typesupport_fastrtps_c", "typesupport_introspection_c"):
            ctypes.CDLL(str(BUILD / package / f"lib{package}__rosidl_{layer}.so"))
        sys.path.insert(0, str(BUILD / package / "rosidl_generator_py"))
    yield
    for package in PACKAGES:
        sys.path.remove(str(BUILD / package / "rosidl_generator_py"))
        for name in [n for n in sys.modules if n.split(".")[0] == package]:
            del sys.modules[name]
