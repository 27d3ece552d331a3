"""MediaPipe's model files: where they lie, what they must be, how they get there.

They are Apache-2.0 and come inside packages that this one does not depend on. Nothing here uses
the network; `pandapose fetch-models` does.
"""

import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pandapose_ros.whole_files import write_shared


@dataclass(frozen=True)
class ModelFile:
    """Name one model file and the only content that is accepted for it.

    Attributes:
        name: File name in the model directory.
        path: Its path inside the package that it comes in.
        size: Bytes.
        sha256: Lower-case hex digest of the content.
        start: Where in the file at `path` it begins, bytes.
    """

    name: str
    path: str
    size: int
    sha256: str
    start: int = 0


@dataclass(frozen=True)
class Package:
    """Name a package that holds model files.

    Attributes:
        title: What it is called, with its version.
        files: What is taken from it.
    """

    title: str
    files: tuple[ModelFile, ...]


PERSON_DETECTOR = ModelFile(
    name="pose_detection.tflite",
    path="mediapipe/modules/pose_detection/pose_detection.tflite",
    size=2_959_046,
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
LANDMARK_NET = ModelFile(
    name="pose_landmark_full.tflite",
    path="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    size=6_440_512,
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
BODY_DETECTOR = ModelFile(
    name="object_detection_ssd_mobilenetv2_oidv4_fp16.tflite",
    path="package/objectron_solution_packed_assets.data",
    size=9_987_728,
    sha256="d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    start=184,  # behind the names of its classes
)
# The last version of the wheel that carries the files; any platform's holds the same.
MEDIAPIPE_WHEEL = Package("mediapipe==0.10.21", (PERSON_DETECTOR, LANDMARK_NET))
# On npm. The wheel does not have it: the Python version downloads it when it is used.
OBJECTRON_PACKAGE = Package("@mediapipe/objectron@0.4.1675468480", (BODY_DETECTOR,))
PACKAGES = (MEDIAPIPE_WHEEL, OBJECTRON_PACKAGE)


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
    """Find a model file and verify it.

    Args:
        file: Which one.
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


def is_installed(package: Package, directory: str | Path) -> bool:
    """Return whether a directory holds every file of a package, each with the expected content."""
    paths = [(Path(directory) / file.name, file) for file in package.files]
    return all(p.is_file() and not _difference(p.read_bytes(), file) for p, file in paths)


def install_from_archive(
    package: Package, archive: str | Path, directory: str | Path
) -> list[Path]:
    """Take model files out of a package.

    Every file is checked before the first is written, and each appears whole or not at all, so
    that a reader in another process never sees half a file.

    Args:
        package: Which one.
        archive: Its file: a wheel, or the .tgz of npm.
        directory: Where to put the files; made if it is missing.

    Returns:
        Paths of the files, in the order of the package's.

    Raises:
        FileNotFoundError: If the archive does not exist.
        ValueError: If it is none, lacks a file or holds another version of one.
    """
    if not Path(archive).is_file():
        raise FileNotFoundError(f"{archive} does not exist")
    try:
        contents = _read(archive, package.files)
    except KeyError as error:
        raise ValueError(f"{archive}: {error.args[0]}; expected {package.title}") from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive} is not a whole package ({error}): expected {package.title}; fetch it anew"
        ) from error
    for file, content in zip(package.files, contents, strict=True):
        if problem := _difference(content, file):
            raise ValueError(
                f"{archive} holds another {file.name} ({problem}): expected {package.title}"
            )
    target = Path(directory).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / file.name for file in package.files]
    for path, content in zip(paths, contents, strict=True):
        write_shared(path, content)
    return paths


def _read(archive: str | Path, files: Sequence[ModelFile]) -> list[bytes]:
    """Read files from an archive; KeyError if one is missing."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed:
            members = [packed.extractfile(file.path) for file in files]
            whole = [b"" if member is None else member.read() for member in members]
    else:
        with zipfile.ZipFile(archive) as packed:
            whole = [packed.read(file.path) for file in files]
    return [
        content[file.start : file.start + file.size] if file.start else content
        for content, file in zip(whole, files, strict=True)
    ]


def _difference(content: bytes, expected: ModelFile) -> str:
    """Say how a content differs from the expected one; empty if it does not."""
    if len(content) != expected.size:
        return f"expected {expected.size} bytes, got {len(content)}"
    digest = hashlib.sha256(content).hexdigest()
    return "" if digest == expected.sha256 else f"expected sha256 {expected.sha256}, got {digest}"
