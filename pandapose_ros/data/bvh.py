"""Motion capture in BVH files: read clips with the joints of Human3.6M."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.captured_joints import (
    JointTable,
    guess_metres_per_unit,
    make_clip,
)
from pandapose_ros.data.rotations import turns

Array = NDArray[np.floating]

_END = " end"  # the End Site of a joint is called after it
_CHANNELS = {
    f"{name}{kind}": (axis, kind)
    for axis, name in enumerate("XYZ")
    for kind in ("position", "rotation")
}


def _sided(
    left: str, right: str, limbs: tuple[str, ...], middle: tuple[str, str, str, str]
) -> JointTable:
    """Return a table from the names of one side's limbs, "*" standing for the side."""
    joints = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    table = {
        f"{side}_{joint}": name.replace("*", word)
        for side, word in (("left", left), ("right", right))
        for joint, name in zip(joints, limbs, strict=True)
    }
    return table | dict(zip(("spine", "thorax", "nose", "head"), middle, strict=True))


_LIMBS = ("*UpLeg", "*Leg", "*Foot", "*Arm", "*ForeArm", "*Hand")
_PREFIXED = tuple(f"mixamorig:{name}" for name in _LIMBS)
# Names as in LAFAN1 and in the CMU data base converted for MotionBuilder (which leaves out the
# thorax: trunks are 0.11 m short), as Mixamo has them, as in the conversion for 3ds Max, and as
# Daz and Poser have them.
_TABLES: tuple[JointTable, ...] = (
    _sided("Left", "Right", _LIMBS, ("Spine", "Neck", "Head", f"Head{_END}")),
    _sided("Left", "Right", _LIMBS, ("Spine1", "Neck", "Head", "HeadTop_End")),
    _sided(
        "Left",
        "Right",
        _PREFIXED,
        ("mixamorig:Spine1", "mixamorig:Neck", "mixamorig:Head", "mixamorig:HeadTop_End"),
    ),
    _sided(
        "Left",
        "Right",
        ("*Hip", "*Knee", "*Ankle", "*Shoulder", "*Elbow", "*Wrist"),
        ("Chest", "Neck", "Head", f"Head{_END}"),
    ),
    _sided(
        "l",
        "r",
        ("*Thigh", "*Shin", "*Foot", "*Shldr", "*ForeArm", "*Hand"),
        ("chest", "neck", "head", f"head{_END}"),
    ),
)


@dataclass(frozen=True)
class _Node:
    """Hold a joint: its name, its parent's place in the list, offset [3] and channels."""

    name: str
    parent: int
    offset: tuple[float, ...]
    channels: tuple[str, ...]


def read_bvh(path: Path, *, metres_per_unit: float | None = None) -> Array:
    """Read a clip of motion capture.

    Args:
        path: The file, y up.
        metres_per_unit: The format has no unit: 0.01 for centimetres, 0.0254 / 0.45 for the CMU
            data base; None tells it by the length of the legs.

    Returns:
        [T, 17, 3], as `captured_joints.make_clip`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no BVH file, or its skeleton is unknown; names what was expected.

    Source:
        Meredith and Maddock, Motion capture file formats explained (2001). Rotations are
        multiplied in the order of the channels; where a joint has position channels they stand
        in place of its offset, as most exporters have it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no motion file {path}; expected a BVH file")
    words = iter(path.read_text(encoding="utf-8", errors="replace").split())
    try:
        nodes = _read_hierarchy(words)
        frames, frame_time = _read_motion(words, sum(len(node.channels) for node in nodes))
    except StopIteration:
        raise ValueError(
            f"{path} ends early; expected HIERARCHY and MOTION of a BVH file"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is not a BVH file: {error}") from error
    positions = _positions(nodes, frames)
    if metres_per_unit is None:
        metres_per_unit = guess_metres_per_unit(positions, _TABLES, str(path))
    in_metres = {name: track * metres_per_unit for name, track in positions.items()}
    return make_clip(in_metres, _TABLES, 1 / frame_time, str(path))


def _expect(words: Iterator[str], *expected: str) -> None:
    """Take the words that must come next."""
    for word in expected:
        got = next(words)
        if got.lower() != word.lower():
            raise ValueError(f"expected '{word}', got '{got}'")


def _take(words: Iterator[str], count: int) -> tuple[str, ...]:
    """Take `count` words."""
    taken = tuple(islice(words, count))
    if len(taken) < count:
        raise ValueError("it ends early")
    return taken


def _read_hierarchy(words: Iterator[str]) -> list[_Node]:
    """Read the joints, parents before children; MOTION is taken too."""
    _expect(words, "HIERARCHY")
    nodes: list[_Node] = []
    open_nodes: list[int] = []
    while (word := next(words)).upper() != "MOTION":
        if word == "}":
            if not open_nodes:
                raise ValueError("a brace too many is closed")
            open_nodes.pop()
            continue
        kind, name = word.upper(), next(words)
        if kind not in ("ROOT", "JOINT", "END") or (kind == "ROOT") != (not open_nodes):
            raise ValueError(f"expected ROOT, JOINT or End Site in its place, got '{word} {name}'")
        parent = open_nodes[-1] if open_nodes else -1
        _expect(words, "{", "OFFSET")
        offset, channels = tuple(float(word) for word in _take(words, 3)), ()
        if kind == "END":
            name = nodes[parent].name + _END
        else:
            _expect(words, "CHANNELS")
            channels = _take(words, int(next(words)))
            if unknown := set(channels) - set(_CHANNELS):
                raise ValueError(f"expected channels {list(_CHANNELS)}, got {sorted(unknown)}")
        open_nodes.append(len(nodes))
        nodes.append(_Node(name, parent, offset, channels))
    if open_nodes or not nodes:
        raise ValueError(f"{len(open_nodes)} braces are open before MOTION")
    return nodes


def _read_motion(words: Iterator[str], channels: int) -> tuple[Array, float]:
    """Return the frames [T, channels] and the time from one to the next, seconds."""
    _expect(words, "Frames:")
    count = int(next(words))
    _expect(words, "Frame", "Time:")
    frame_time = float(next(words))
    values = np.array([float(word) for word in words])
    if count < 1 or frame_time <= 0 or len(values) != count * channels:
        raise ValueError(
            f"expected frames of {channels} numbers and a positive time, got {len(values)} "
            f"numbers in {count} frames of {frame_time} s"
        )
    return values.reshape(count, channels), frame_time


def _positions(nodes: list[_Node], frames: Array) -> dict[str, Array]:
    """Return the place [T, 3] of every joint by name, in the file's unit."""
    turned: list[Array] = []
    placed: list[Array] = []
    first = 0
    for node in nodes:
        local = np.tile(np.array(node.offset), (len(frames), 1))
        turn = np.tile(np.eye(3), (len(frames), 1, 1))
        for column, channel in enumerate(node.channels, first):
            axis, kind = _CHANNELS[channel]
            if kind == "position":
                local[:, axis] = frames[:, column]
            else:
                turn = turn @ turns(axis, np.deg2rad(frames[:, column]), np.float64)
        first += len(node.channels)
        if node.parent >= 0:
            local = placed[node.parent] + np.einsum("tij,tj->ti", turned[node.parent], local)
            turn = turned[node.parent] @ turn
        placed.append(local)
        turned.append(turn)
    return {node.name: track for node, track in zip(nodes, placed, strict=True)}
