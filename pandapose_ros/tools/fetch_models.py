"""Download the two BlazePose model files, unless they are installed."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from pandapose_ros.model_files import default_model_dir, install_from_wheel, is_installed

WHEEL = "mediapipe==0.10.21"  # the last version that carries the files
# Any platform's wheel holds the same two files; this one need not fit the machine.
PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose fetch-models`."""
    parser.add_argument(
        "--dir",
        default="",
        help="where to put the files (default: PANDAPOSE_MODEL_DIR, else ~/.local/share/"
        "pandapose_ros)",
    )
    parser.add_argument(
        "--wheel", default="", help=f"take them from this wheel of {WHEEL} instead of the network"
    )


def run(args: argparse.Namespace) -> int:
    """Install the files unless they are there already.

    Args:
        args: `dir` and `wheel`, as declared by `add_arguments`.

    Returns:
        Exit code: 0 if the files are installed, 1 if they could not be.
    """
    directory = Path(args.dir).expanduser() if args.dir else default_model_dir()
    if is_installed(directory):
        print(f"BlazePose files are in {directory}")
        return 0
    try:
        if args.wheel:
            install_from_wheel(args.wheel, directory)
        else:
            with tempfile.TemporaryDirectory() as folder:
                install_from_wheel(_download_wheel(Path(folder)), directory)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: no BlazePose files: {error}", file=sys.stderr)
        return 1
    print(f"BlazePose files put into {directory}")
    return 0


def _download_wheel(folder: Path) -> Path:
    """Download the wheel with this interpreter's pip and return its path."""
    print(f"downloading {WHEEL} (about 36 MB, once) ...", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *PLATFORM, "--dest", str(folder), WHEEL]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(
            f"pip could not download {WHEEL} ({reason.removeprefix('ERROR: ')}); check the "
            "network or the package index, or give a wheel with --wheel FILE"
        )
    return wheels[0]
