"""The two BlazePose files: where they lie, what they must be, how they get there.

They are Apache-2.0 and come inside the mediapipe wheel, which this package does not depend on.
Nothing here uses the network; `pandapose fetch-models` does.
"""

import hashlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pandapose_ros.whole_files import write_shared


@dataclass(frozen=True)
class ModelFile:
    """Name one model file and the only content that is accepted for it.

    Attributes:
        name: File name in the model directory.
        wheel_path: Its path inside the mediapipe wheel.
        size: Bytes.
        sha256: Lower-case hex digest of the content.
    """

    name: str
    wheel_path: str
    size: int
    sha256: str


PERSON_DETECTOR = ModelFile(
    name="pose_detection.tflite",
    wheel_path="mediapipe/modules/pose_detection/pose_detection.tflite",
    size=2_959_046,
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
LANDMARK_NET = ModelFile(
    name="pose_landmark_full.tflite",
    wheel_path="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    size=6_440_512,
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
BLAZEPOSE_FILES = (PERSON_DETECTOR, LANDMARK_NET)


def default_model_dir() -> Path:
    """Return where model files are kept: PANDAPOSE_MODEL_DIR, else the user's data directory.

    Raises:
        FileNotFoundError: If the user has no home directory.
    """
    if chosen := os.environ.get("PANDAPOSE_MODEL_DIR"):
        return _expanded(chosen)
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return _expanded(data_home) / "pandapose_ros"


def _expanded(path: str | Path) -> Path:
    """Return a path with the user's home directory in place of ~."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            f"there is no home directory for {path}: set PANDAPOSE_MODEL_DIR to the folder of the "
            "model files, as an absolute path"
        ) from error


def find_model_file(file: ModelFile, model_dir: str | Path = "") -> Path:
    """Find a BlazePose file and verify it.

    Args:
        file: One of `BLAZEPOSE_FILES`.
        model_dir: Directory to look in; empty: `default_model_dir()`.

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: If the file is not there; the message says how to get it.
        ValueError: If the content is not the one expected.
    """
    directory = _expanded(model_dir) if str(model_dir) else default_model_dir()
    path = directory / file.name
    remedy = f"get it with `{_fetch_command(directory)}`"
    if not path.is_file():
        raise FileNotFoundError(f"model file {path} is missing: {remedy}")
    if problem := _difference(path.read_bytes(), file):
        raise ValueError(f"model file {path} is damaged ({problem}): {remedy}")
    return path


def _fetch_command(directory: Path) -> str:
    """Return the command that fetches the files; in a colcon workspace only ros2 finds it."""
    programs = {"pandapose": "pandapose", "ros2": "ros2 run pandapose_ros pandapose"}
    found = (text for name, text in programs.items() if shutil.which(name))
    program = next(found, "python3 -m pandapose_ros.tools.main")
    try:
        option = f" --dir {directory}" if directory != default_model_dir() else ""
    except FileNotFoundError:
        option = f" --dir {directory}"
    return f"{program} fetch-models{option}"


def is_installed(directory: str | Path) -> bool:
    """Tell whether a directory holds every BlazePose file, each with the expected content."""
    paths = [(Path(directory) / file.name, file) for file in BLAZEPOSE_FILES]
    return all(p.is_file() and not _difference(p.read_bytes(), file) for p, file in paths)


def install_from_wheel(wheel_path: str | Path, directory: str | Path) -> list[Path]:
    """Take the BlazePose files out of a mediapipe wheel.

    Every file is checked before the first is written, and each appears whole or not at all, so
    that a reader in another process never sees half a file.

    Args:
        wheel_path: A wheel of mediapipe 0.10.21, for any platform.
        directory: Where to put the files; made if it is missing.

    Returns:
        Paths of the files, in the order of `BLAZEPOSE_FILES`.

    Raises:
        FileNotFoundError: If the wheel does not exist.
        ValueError: If the wheel is no zip file, lacks a file or holds another version of one.
    """
    if not Path(wheel_path).is_file():
        raise FileNotFoundError(f"wheel {wheel_path} does not exist")
    contents = []
    try:
        with zipfile.ZipFile(wheel_path) as wheel:
            for file in BLAZEPOSE_FILES:
                content = wheel.read(file.wheel_path)
                if problem := _difference(content, file):
                    raise ValueError(
                        f"{wheel_path} holds another {file.name} ({problem}): "
                        "expected a wheel of mediapipe 0.10.21"
                    )
                contents.append(content)
    except KeyError as error:
        raise ValueError(
            f"{wheel_path}: {error.args[0]}; expected a wheel of mediapipe 0.10.21"
        ) from error
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel_path} is not a whole wheel ({error}): fetch it anew") from error
    target = Path(directory).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / file.name for file in BLAZEPOSE_FILES]
    for path, content in zip(paths, contents, strict=True):
        write_shared(path, content)
    return paths


def _difference(content: bytes, expected: ModelFile) -> str:
    """Say how a content differs from the expected one; empty if it does not."""
    if len(content) != expected.size:
        return f"expected {expected.size} bytes, got {len(content)}"
    digest = hashlib.sha256(content).hexdigest()
    return "" if digest == expected.sha256 else f"expected sha256 {expected.sha256}, got {digest}"
