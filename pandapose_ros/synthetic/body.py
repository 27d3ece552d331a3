"""Dressed bodies at rest: what one holds, and the one file that many are baked into."""

import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pandapose_ros.whole_files import replace_file

FORMAT = "pandapose_bodies_2"


class Part(IntEnum):
    """What a vertex belongs to; decides how it is coloured."""

    SKIN = 0
    SUIT = 1
    SHOES = 2
    HAIR = 3
    EYE = 4
    IRIS = 5
    LIPS = 6
    BROW = 7


@dataclass(frozen=True)
class Rig:
    """Name the bones that every body of a file shares.

    Attributes:
        names: One unique name per bone.
        parents: Index of each bone's parent, always less than its own; -1 for the root.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]

    def index(self, name: str) -> int:
        """Return the index of the bone called `name`."""
        return self.names.index(name)


@dataclass(frozen=True)
class Body:
    """Hold one dressed person in rest pose: z up, facing -y, x to the person's left, metres.

    Attributes:
        vertices: [V, 3] float32.
        faces: [F, 3] int64, three vertices each.
        parts: [V] uint8, see `Part`.
        rise: [V] float32, height above the waist in metres; arms count as far above. It tells
            where a suit's upper part ends.
        bone_heads: [N, 3] float32, where each bone starts.
        weights: [V, 8] float32, sum 1: how much a vertex follows each of its bones.
        weight_bones: [V, 8] int64, these bones.
        nose: Vertex at the tip of the nose.
        crown: Vertex at the top of the head.
        description: Human-readable, for example "female1 casualsuit01 shoes03 bob02".
        held_out: Whether the body is to test on; no body to train on wears its garments.
    """

    vertices: Tensor
    faces: Tensor
    parts: Tensor
    rise: Tensor
    bone_heads: Tensor
    weights: Tensor
    weight_bones: Tensor
    nose: int
    crown: int
    description: str
    held_out: bool


_STORED_AS = {
    "vertices": torch.float32,
    "faces": torch.int32,
    "parts": torch.uint8,
    "rise": torch.float16,
    "bone_heads": torch.float32,
    "weights": torch.float16,
    "weight_bones": torch.uint8,
}


_TOLD = ("nose", "crown", "description", "held_out")  # in the file's metadata


def save_bodies(path: Path, rig: Rig, bodies: list[Body]) -> None:
    """Write bodies to one safetensors file, whole or not at all.

    Args:
        path: Where to; its folder exists.
        rig: At most 256 bones.
        bodies: All on the CPU.
    """
    tensors = {
        f"{b:03d}.{field}": getattr(body, field).to(kind).clone().contiguous()
        for b, body in enumerate(bodies)
        for field, kind in _STORED_AS.items()
    }
    about = [{name: getattr(body, name) for name in _TOLD} for body in bodies]
    metadata = {
        "format": FORMAT,
        "bone_names": json.dumps(rig.names),
        "bone_parents": json.dumps(rig.parents),
        "bodies": json.dumps(about),
    }
    replace_file(path, save(tensors, metadata))  # save_file's can be read by their owner only


def load_bodies(path: Path) -> tuple[Rig, list[Body]]:
    """Read what `save_bodies` wrote.

    Args:
        path: A file made by `pandapose bake`.

    Returns:
        The rig, and the bodies in the order they were baked in, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; make one with `pandapose bake`")
    try:
        file = safe_open(str(path), framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{path} is no file of `pandapose bake`, or damaged: {error}") from error
    with file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"expected a file of format {FORMAT} as `pandapose bake` writes it, "
                f"got {metadata.get('format')} in {path}"
            )
        rig = Rig(
            tuple(json.loads(metadata["bone_names"])), tuple(json.loads(metadata["bone_parents"]))
        )
        bodies = [
            _body_from_tensors(
                {field: file.get_tensor(f"{b:03d}.{field}") for field in _STORED_AS}, about
            )
            for b, about in enumerate(json.loads(metadata["bodies"]))
        ]
    return rig, bodies


def _body_from_tensors(tensors: dict[str, Tensor], about: dict) -> Body:
    """Widen the stored types; make the rounded weights sum to 1 again."""
    weights = tensors["weights"].float()
    return Body(
        vertices=tensors["vertices"],
        faces=tensors["faces"].long(),
        parts=tensors["parts"],
        rise=tensors["rise"].float(),
        bone_heads=tensors["bone_heads"],
        weights=weights / weights.sum(1, keepdim=True),
        weight_bones=tensors["weight_bones"].long(),
        **{name: about[name] for name in _TOLD},
    )
