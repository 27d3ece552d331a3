"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def prepare_file(path: Path) -> None:
    """Make the folder of a file that is to be written later, and see that the file can be one.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it is a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file to write")
    is_new = not path.exists()
    path.open("ab").close()
    if is_new:
        path.unlink()


def prepare_replacement(path: Path) -> None:
    """Make the folder of a file that `replace_file` is to write later, and see that it can.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file to write")
    prepare_file(_unfinished(path))  # the file itself may be read-only


def replace_file(path: Path, content: bytes) -> None:
    """Write a file; whatever happens meanwhile, the old one or the new one is there, and whole."""
    unfinished = _unfinished(path)
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def write_shared(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, though other processes write it at that time."""
    # So under a name of its own first, unlike `replace_file`.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        unfinished = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            unfinished.chmod(0o644)  # a temporary file is private; other users may read this one
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _unfinished(path: Path) -> Path:
    """Return where a file is written before it replaces another."""
    return path.with_name(path.name + ".part")
