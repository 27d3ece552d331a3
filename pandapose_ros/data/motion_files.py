"""Original files of motion capture, ASF/AMC and BVH, one or a folder of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.asf_amc import read_asf_amc
from pandapose_ros.data.bvh import read_bvh

Array = NDArray[np.floating]

MOTION_SUFFIXES = (".amc", ".bvh")
_SKELETON_SUFFIX = ".asf"
_AMC_RATE_HZ = 120.0  # of nearly all of the CMU data base; the format has no rate


def read_captures(path: Path) -> dict[str, Array]:
    """Read motion capture in its original format.

    Args:
        path: An AMC file, whose ASF file lies beside it, a BVH file, or a folder that is searched
            for both, with all folders in it. The skeleton of "01_02.amc" is "01.asf", or the
            only ASF file of its folder.

    Returns:
        Clips [T, 17, 3] by name, as `captured_joints.make_clip`; a clip is called as its file is,
        with the folders below `path` before it, joined by "_".

    Raises:
        FileNotFoundError: If there is nothing to read, or no skeleton for an AMC file.
        ValueError: If a file is not of its format; the message names it.
    """
    if path.is_file():
        return {path.stem: _read(path)}
    files = [file for file in motion_files(path) if file.suffix.lower() in MOTION_SUFFIXES]
    if not files:
        raise FileNotFoundError(f"no motion in {path}; expected AMC files with ASF, or BVH files")
    clips: dict[str, Array] = {}
    for file in files:
        name = "_".join(file.relative_to(path).with_suffix("").parts)
        if name in clips:
            raise ValueError(f"two clips would be called '{name}', one is {file}; rename it")
        clips[name] = _read(file)
    return clips


def motion_files(path: Path) -> list[Path]:
    """List the files that motion is read from, skeletons too.

    Args:
        path: A file, or a folder that is searched with all folders in it.

    Raises:
        FileNotFoundError: If there is no skeleton for an AMC file.
    """
    if path.is_file():
        return [path, _skeleton_of(path)] if path.suffix.lower() == ".amc" else [path]
    suffixes = (*MOTION_SUFFIXES, _SKELETON_SUFFIX)
    found = (file for file in path.rglob("*") if file.suffix.lower() in suffixes)
    return sorted(file for file in found if file.is_file())


def _read(path: Path) -> Array:
    """Read one clip."""
    if path.suffix.lower() == ".bvh":
        return read_bvh(path)
    return read_asf_amc(_skeleton_of(path), path, rate_hz=_AMC_RATE_HZ)


def _skeleton_of(path: Path) -> Path:
    """Find the ASF file of an AMC file."""
    skeletons = [file for file in path.parent.iterdir() if file.suffix.lower() == _SKELETON_SUFFIX]
    # The "_" keeps "105_01.amc" from subject 10's skeleton.
    named = [file for file in skeletons if f"{path.stem}_".startswith(f"{file.stem}_")]
    if named:
        return max(named, key=lambda file: len(file.stem))
    if len(skeletons) == 1:
        return skeletons[0]
    raise FileNotFoundError(
        f"no skeleton for {path}; expected {path.stem.split('_')[0]}.asf beside it"
    )
