"""Motion capture in ASF/AMC files, as the CMU data base has it: skeleton and motion apart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.captured_joints import JointTable, make_clip
from pandapose_ros.data.rotations import turns

Array = NDArray[np.floating]

_INCH = 0.0254
_TURNS = ("rx", "ry", "rz")
_MOVES = ("tx", "ty", "tz")
# A bone's joint is its far end.
_TABLE: JointTable = {
    f"{side}_{joint}": side[0] + bone
    for side in ("left", "right")
    for joint, bone in {
        "hip": "hipjoint",
        "knee": "femur",
        "ankle": "tibia",
        "shoulder": "clavicle",
        "elbow": "humerus",
        "wrist": "radius",
    }.items()
} | {"spine": "lowerback", "thorax": "thorax", "nose": "upperneck", "head": "head"}


@dataclass
class _Bone:
    """Hold a bone as it is read: its vector [3], its axes [3, 3], what its motion gives."""

    direction: tuple[float, ...] = (0.0, 0.0, 0.0)
    length: float = 0.0
    axes: Array = field(default_factory=lambda: np.eye(3))
    freedoms: tuple[str, ...] = ()
    parent: str = ""


@dataclass
class _Skeleton:
    """Hold an ASF file: bones by name, parents before children; "root" is the first."""

    metres_per_unit: float
    radians_per_unit: float
    bones: dict[str, _Bone]


def read_asf_amc(asf_path: Path, amc_path: Path, *, rate_hz: float) -> Array:
    """Read a clip of motion capture.

    Args:
        asf_path: The skeleton.
        amc_path: The motion, y up.
        rate_hz: The format has none: 120 for most of the CMU data base.

    Returns:
        [T, 17, 3], as `captured_joints.make_clip`.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If one is not of its format, the motion lacks a bone, or the skeleton is
            unknown; names what was expected.

    Source:
        Acclaim's format as the CMU data base documents it: a unit is an inch over the "length"
        of the file; a bone's motion is given in its own axes C, so that it turns by C M C^-1.
    """
    for path in (asf_path, amc_path):
        if not path.is_file():
            raise FileNotFoundError(f"no motion file {path}; expected an ASF and an AMC file")
    try:
        skeleton = _read_skeleton(_lines(asf_path))
    except (ValueError, KeyError, IndexError, StopIteration, ZeroDivisionError) as error:
        raise ValueError(f"{asf_path} is not an ASF file: {error!r}") from error
    try:
        motion = _read_motion(_lines(amc_path), skeleton)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{amc_path} is not a motion of {asf_path}: {error}") from error
    return make_clip(_positions(skeleton, motion), (_TABLE,), rate_hz, str(asf_path))


def _lines(path: Path) -> Iterator[list[str]]:
    """Return the words of each line that is neither empty nor a comment."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split("#")[0].split()
        if words:
            yield words


def _axes(angles: list[str], order: str, radians_per_unit: float) -> Array:
    """Return the rotation [3, 3] that turns about the axes of `order`, the first one first."""
    axes = np.eye(3)
    for angle, axis in zip(angles, order.lower(), strict=True):
        radians = np.array([float(angle) * radians_per_unit])
        axes = turns("xyz".index(axis), radians, np.float64)[0] @ axes
    return axes


def _read_skeleton(lines: Iterator[list[str]]) -> _Skeleton:
    """Read an ASF file."""
    skeleton = _Skeleton(_INCH, np.pi / 180, {"root": _Bone()})
    section, name, root = "", "", {"axis": ["XYZ"], "orientation": ["0", "0", "0"]}
    for words in lines:
        key, values = words[0].lower(), words[1:]
        if key.startswith(":"):
            section = key
        elif section == ":units" and key == "length":
            skeleton.metres_per_unit = _INCH / float(values[0])
        elif section == ":units" and key == "angle":
            skeleton.radians_per_unit = 1.0 if values[0].lower().startswith("rad") else np.pi / 180
        elif section == ":root":
            root[key] = values
        elif section == ":bonedata" and key == "name":
            name = values[0]
            skeleton.bones[name] = _Bone()
        elif section == ":bonedata" and name:
            _read_bone_line(skeleton.bones[name], key, values, skeleton.radians_per_unit)
        elif section == ":hierarchy" and key not in ("begin", "end"):
            for child in values:
                skeleton.bones[child].parent = words[0]
    first = skeleton.bones["root"]
    first.axes = _axes(root["orientation"], root["axis"][0], skeleton.radians_per_unit)
    first.freedoms = tuple(freedom.lower() for freedom in root["order"])
    _check_freedoms("root", first.freedoms, (*_MOVES, *_TURNS))
    skeleton.bones = _sort(skeleton.bones)
    return skeleton


def _read_bone_line(bone: _Bone, key: str, values: list[str], radians_per_unit: float) -> None:
    """Take one line of a bone's data."""
    if key == "direction":
        bone.direction = tuple(float(value) for value in values)
    elif key == "length":
        bone.length = float(values[0])
    elif key == "axis":
        bone.axes = _axes(values[:3], values[3], radians_per_unit)
    elif key == "dof":
        bone.freedoms = tuple(value.lower() for value in values)
        _check_freedoms("a bone", bone.freedoms, _TURNS)


def _check_freedoms(name: str, freedoms: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise if something moves in a way that is not known."""
    if unknown := set(freedoms) - set(known):
        raise ValueError(f"expected {name} to move by {known}, got {sorted(unknown)}")


def _sort(bones: dict[str, _Bone]) -> dict[str, _Bone]:
    """Return the bones that hang from the root, parents first."""
    ordered = {"root": bones["root"]}
    for parent in iter(waiting := ["root"]):
        children = {name: bone for name, bone in bones.items() if bone.parent == parent}
        if set(children) & set(ordered):
            raise ValueError(f"the bones {sorted(children)} hang from themselves")
        ordered |= children
        waiting += children
    return ordered


def _read_motion(lines: Iterator[list[str]], skeleton: _Skeleton) -> dict[str, Array]:
    """Return the values [T, freedoms] of each bone that moves, angles in radians."""
    wanted = {name: len(bone.freedoms) for name, bone in skeleton.bones.items() if bone.freedoms}
    frames: list[dict[str, list[float]]] = []
    radians_per_unit = np.pi / 180
    for words in lines:
        if words[0].startswith(":"):
            if words[0].lower() == ":radians":
                radians_per_unit = 1.0
        elif len(words) == 1 and words[0].isdigit():
            frames.append({})
        else:
            frames[-1][words[0]] = [float(word) for word in words[1:]]
    if not frames:
        raise ValueError("it has no frames")
    motion = {}
    for name, count in wanted.items():
        for number, frame in enumerate(frames, 1):
            if len(frame.get(name, ())) != count:
                raise ValueError(
                    f"expected {count} numbers for '{name}' in frame {number}, "
                    f"got {len(frame.get(name, ()))}"
                )
        is_turn = [freedom in _TURNS for freedom in skeleton.bones[name].freedoms]
        values = np.array([frame[name] for frame in frames])
        motion[name] = np.where(is_turn, values * radians_per_unit, values)
    return motion


def _positions(skeleton: _Skeleton, motion: dict[str, Array]) -> dict[str, Array]:
    """Return the far end [T, 3] of every bone by name, metres."""
    count = len(next(iter(motion.values())))
    turned: dict[str, Array] = {}
    placed: dict[str, Array] = {}
    for name, bone in skeleton.bones.items():
        turn, move = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
        for column, freedom in enumerate(bone.freedoms):
            values = motion[name][:, column]
            if freedom in _TURNS:
                turn = turns(_TURNS.index(freedom), values, np.float64) @ turn
            else:
                move[:, _MOVES.index(freedom)] = values
        turn = bone.axes @ turn @ bone.axes.T
        if bone.parent:
            turn = turned[bone.parent] @ turn
            move = placed[bone.parent] + turn @ (np.array(bone.direction) * bone.length)
        turned[name], placed[name] = turn, move
    return {name: track * skeleton.metres_per_unit for name, track in placed.items()}
