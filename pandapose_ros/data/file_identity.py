"""Identity of files by their content, in a line that is the same on another machine."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

# Up to this size all is read, in a fraction of a second; images can be many gigabytes.
_READ_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20


def file_sha256(*paths: Path) -> str:
    """Return the digest of a file, as `sha256sum` prints it; of several, one after another.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def identity(files: Sequence[Path], root: Path) -> str:
    """Identify files, wherever they are.

    Args:
        files: In any order.
        root: A file, or a folder that they are below; of their names only what is below it counts.

    Returns:
        Their number, bytes and a digest: of their content if that is at most 64 MiB in all, else
        of names and sizes only, as reading would take too long. "none" if there are none.

    Raises:
        FileNotFoundError: If one is missing.
    """
    if not files:
        return "none"
    sizes = {file: file.stat().st_size for file in sorted(files)}
    total, digest = sum(sizes.values()), hashlib.sha256()
    for file, size in sizes.items():
        name = file.relative_to(root).as_posix() if root.is_dir() else file.suffix
        content = file_sha256(file) if total <= _READ_BYTES else ""
        digest.update(f"{name}\n{size}\n{content}\n".encode())
    count = f"{len(sizes)} files" if len(sizes) > 1 else "1 file"
    return f"{count}, {total} bytes, digest {digest.hexdigest()[:16]}"
