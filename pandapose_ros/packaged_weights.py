"""The weights that come with the package, by name."""

from pathlib import Path

PACKAGED_WEIGHTS = ("default", "accurate")
WEIGHTS_CHOICE = f"{', '.join(PACKAGED_WEIGHTS)} or a weights file"  # for help texts

_FOLDER = Path(__file__).parent / "weights"


def find_weights(choice: str) -> Path:
    """Find packaged weights by name, or those in a file.

    Args:
        choice: One of `PACKAGED_WEIGHTS`, or the path of a file.

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: If it is neither.
    """
    path = _FOLDER / f"{choice}.safetensors" if choice in PACKAGED_WEIGHTS else Path(choice)
    if not path.is_file():
        names = ", ".join(PACKAGED_WEIGHTS)
        raise FileNotFoundError(
            f"no weights at '{choice}': give {names} or a file that `pandapose train` wrote"
        )
    return path
