"""Keep two processes from writing the same thing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claim(folder: Path, purpose: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system lets go of it if this one dies.

    Args:
        folder: Made if it is missing; remove it inside the block, or not at all.
        purpose: What is written with it, for the message.

    Raises:
        OSError: If another process has it.
    """
    folder.mkdir(exist_ok=True)
    path = folder / ".lock"  # no topic or recording begins with a dot
    with path.open("w") as file:
        is_ours = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False
        except OSError:
            pass  # a file system without locks, as some of networks are
        if not is_ours or not _is_at(path, file.fileno()):
            raise OSError(
                f"{purpose} is being written by another process: wait for it, or give another name"
            )
        yield


def _is_at(path: Path, number: int) -> bool:
    """Return whether an open file is still there: whoever had it may have removed it meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
