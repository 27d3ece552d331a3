"""Builds the package for pip, with the CMake project that colcon builds too."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
BUILD = ROOT / "build" / "pip"  # colcon's is build/pandapose_ros


class BinaryDistribution(Distribution):
    """Compiled, so that its wheel is for one platform and one Python."""

    def has_ext_modules(self):
        return True


class BuildWithCMake(build_ext):
    """Has CMake install everything, and packs what it installed.

    The Python package goes where packages go. All else goes to the root of the Python
    environment, where the ROS 2 wheels keep their libraries and the ament index.
    """

    def run(self):
        prefix = BUILD / "install"
        shutil.rmtree(prefix, ignore_errors=True)  # what an earlier build installed
        shutil.rmtree(self.build_lib, ignore_errors=True)
        build_with_cmake(prefix)
        packages = prefix / "python"  # ours, and tf2_msgs where there is none
        sources = shutil.ignore_patterns("*.c", "*.egg-info")  # of the messages; of no use there
        shutil.copytree(packages, self.build_lib, ignore=sources, dirs_exist_ok=True)
        shutil.rmtree(packages)
        for file in filter(Path.is_file, prefix.rglob("*")):
            folder = file.parent.relative_to(prefix)
            self.distribution.data_files.append((str(folder), [str(file)]))


def build_with_cmake(prefix):
    build = BUILD / "cmake"
    # CMake keeps where it found ROS 2, which an isolated build of pip puts elsewhere each time.
    environment = f"{sys.executable} {find_spec('ament_package').origin}"
    known = build / "environment.txt"
    if not known.exists() or known.read_text() != environment:
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        known.write_text(environment)
    configure = [
        *("cmake", "-S", ROOT, "-B", build, "-G", "Ninja"),
        "-DBUILD_TESTING=OFF",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake' / 'pypi_wheels.cmake'}",
        "-DPYTHON_INSTALL_DIR=python",
        "-DPANDAPOSE_WITH_MISSING_MESSAGES=ON",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    install = ["cmake", "--build", build, "--target", "install"]
    # pip does not put a virtual environment's own cmake and ninja on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for command in (configure, install):
        subprocess.run(command, check=True, env={**os.environ, "PATH": path})


BUILD.mkdir(parents=True, exist_ok=True)
setup(
    version=ElementTree.parse(ROOT / "package.xml").findtext("version"),
    packages=[],
    data_files=[],
    distclass=BinaryDistribution,
    cmdclass={"build_ext": BuildWithCMake},
    options={"build": {"build_base": str(BUILD)}, "egg_info": {"egg_base": str(BUILD)}},
)
