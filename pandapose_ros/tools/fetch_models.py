"""Download MediaPipe's model files, unless they are installed."""

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from pandapose_ros.model_files import (
    MEDIAPIPE_WHEEL,
    OBJECTRON_PACKAGE,
    default_model_dir,
    install_from_archive,
    is_installed,
)

# Any platform's wheel holds the same two files; this one need not fit the machine.
PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11")
_NPM_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT = 60.0  # s, without a byte
_TRIES, _PAUSE = 3, 1.0  # s between them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose fetch-models`."""
    parser.add_argument(
        "--dir",
        default="",
        help="where to put the files (default: PANDAPOSE_MODEL_DIR, else ~/.local/share/"
        "pandapose_ros)",
    )
    parser.add_argument(
        "--wheel",
        default="",
        help=f"wheel of {MEDIAPIPE_WHEEL.title}, to take files from instead of the network",
    )
    parser.add_argument(
        "--npm-package",
        default="",
        help=f"the same for the .tgz of {OBJECTRON_PACKAGE.title}, as from `npm pack`",
    )


def run(args: argparse.Namespace) -> int:
    """Install the files unless they are there already.

    Args:
        args: `dir`, `wheel` and `npm_package`, as declared by `add_arguments`.

    Returns:
        Exit code: 0 if the files are installed, 1 if they could not be.
    """
    directory = Path(args.dir).expanduser() if args.dir else default_model_dir()
    sources = (
        (MEDIAPIPE_WHEEL, args.wheel, _download_wheel),
        (OBJECTRON_PACKAGE, args.npm_package, _download_npm_package),
    )
    missing = [source for source in sources if not is_installed(source[0], directory)]
    try:
        if missing:
            _check_folder(directory)
        for package, given, download in missing:
            with tempfile.TemporaryDirectory() as folder:
                archive = given or download(Path(folder))
                install_from_archive(package, archive, directory)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: model files are missing: {error}", file=sys.stderr)
        return 1
    print(f"model files {'put into' if missing else 'are in'} {directory}")
    return 0


def _check_folder(directory: Path) -> None:
    """See that the folder, or what it will be in, takes files: before the download, not after."""
    try:
        there = next(folder for folder in (directory, *directory.parents) if folder.exists())
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(
            f"{error}; choose another folder with PANDAPOSE_MODEL_DIR, or --dir"
        ) from error


def _download_wheel(folder: Path) -> Path:
    """Download the wheel with this interpreter's pip and return its path."""
    title = MEDIAPIPE_WHEEL.title
    print(f"downloading {title} (about 36 MB, once) ...", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *PLATFORM, "--dest", str(folder), title]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(
            f"pip could not download {title} ({reason.removeprefix('ERROR: ')}); check the "
            "network or the package index, or give a wheel with --wheel FILE"
        )
    return wheels[0]


def _download_npm_package(folder: Path) -> Path:
    """Download the package from npm's registry, or the one that npm would use; return its path."""
    name, version = OBJECTRON_PACKAGE.title.rsplit("@", 1)
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _NPM_REGISTRY).rstrip("/")
    url = f"{registry}/{name}/-/{name.split('/')[1]}-{version}.tgz"
    print(f"downloading {OBJECTRON_PACKAGE.title} (about 33 MB, once) ...", flush=True)
    path = folder / "package.tgz"
    for tries_left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                path.write_bytes(answer.read())
            break
        except (OSError, ValueError, http.client.HTTPException) as error:
            if not tries_left:
                raise RuntimeError(
                    f"could not download {url} ({error}); check the network, or give the package "
                    "with --npm-package FILE"
                ) from error
            time.sleep(_PAUSE)
    return path
