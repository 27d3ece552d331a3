"""Furniture libraries of Sweet Home 3D (.sh3f): things as textured meshes, people left out."""

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CATALOGUE = "PluginFurnitureCatalog.properties"
MOST_FACES = 40_000  # of a thing: finer ones take most of the time and look no better

_PROPERTY = re.compile(r"^\s*(\w+)#(\d+)\s*[=:]\s*(.*?)\s*$", re.MULTILINE)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_PEOPLE_CATEGORY = "Characters"
# Of what is, or looks like, a person, at the beginning of the name; some are in other categories.
_PEOPLE = re.compile(
    r"(female|male|mannequin|doll|snowman|holding|sitting|lying|boy|girl)", re.IGNORECASE
)
_CENTIMETRES = 100.0
_LARGEST_TEXTURE_PX = 512
_UNPAINTED = (180, 180, 180)  # where no material is told


@dataclass(frozen=True)
class Thing:
    """Hold one thing; z is up, the middle of its bounding box is over the origin.

    Attributes:
        name: As in the catalogue.
        vertices: [V, 3] float32 metres, the lowest at z = 0.
        faces: [F, 3] int64 triangles.
        uv: [V, 2] float32, of the texture: (0, 0) is its lower left corner, (1, 1) the upper
            right one, beyond which it repeats; 0 where there is none.
        material: [F] int64, index of the texture.
        textures: Each [H, W, 3] uint8 RGB; a plain colour is one pixel.
        elevation: Metres above the floor at which it stands or hangs.
    """

    name: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    uv: NDArray[np.float32]
    material: NDArray[np.int64]
    textures: tuple[NDArray[np.uint8], ...]
    elevation: float

    @property
    def radius(self) -> float:
        """Return half the diagonal of its footprint, metres."""
        return float(np.hypot(*np.ptp(self.vertices[:, :2], axis=0)) / 2)


@dataclass(frozen=True)
class Library:
    """Hold what was read from one library.

    Attributes:
        things: In the catalogue's order.
        people: Number of people and their likenesses that were left out.
        too_fine: Number of things with more than `MOST_FACES` faces that were left out.
    """

    things: tuple[Thing, ...]
    people: int
    too_fine: int


@dataclass(frozen=True)
class _Entry:
    """Hold one piece of a catalogue.

    Attributes:
        name: To be read.
        model: Path of the .obj file in the archive.
        size: [3] metres: width, depth, height.
        rotation: [3, 3] of the model, y up, before it is scaled to its size.
        elevation: Metres.
        is_person: A person, or the likeness of one.
    """

    name: str
    model: str
    size: NDArray[np.float64]
    rotation: NDArray[np.float64]
    elevation: float
    is_person: bool


def read_library(path: Path) -> Library:
    """Read all things of a library but people.

    Args:
        path: A .sh3f file: a zip archive with a catalogue and .obj files.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such library, or a package is missing.
    """
    trimesh = _trimesh()
    things, people, too_fine = [], 0, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in _read_catalogue(archive):
                if entry.is_person:
                    people += 1
                    continue
                parts = _read_parts(archive, entry, trimesh)
                if sum(len(part.faces) for part in parts) > MOST_FACES:
                    too_fine += 1
                else:
                    things.append(_assemble(entry, parts))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"{path}: {error}; expected a furniture library of Sweet Home 3D (.sh3f)"
        ) from error
    return Library(tuple(things), people, too_fine)


def _trimesh() -> Any:
    """Import what reads the models; raise ValueError if it is missing."""
    try:
        # Only furnishing needs them. Without Pillow, trimesh would leave out textures silently.
        import trimesh  # pyright: ignore[reportMissingImports]
        from PIL import Image  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"furnishing needs trimesh and Pillow ({error}): pip install -r requirements-train.txt"
        ) from error
    return trimesh


def _read_catalogue(archive: zipfile.ZipFile) -> list[_Entry]:
    """Read the pieces that the catalogue lists, in its order."""
    try:
        # As Java writes properties: ISO 8859-1, and everything else escaped.
        text = archive.read(CATALOGUE).decode("iso-8859-1")
    except KeyError as error:
        raise ValueError(f"no {CATALOGUE} in it") from error
    pieces: dict[int, dict[str, str]] = {}
    for key, number, value in _PROPERTY.findall(text):
        readable = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value)
        pieces.setdefault(int(number), {})[key] = readable
    if not pieces:
        raise ValueError(f"no furniture in its {CATALOGUE}")
    return [_parse_entry(number, piece) for number, piece in pieces.items()]


def _parse_entry(number: int, piece: dict[str, str]) -> _Entry:
    """Parse the properties of one piece."""
    try:
        name = piece["name"]
        rotation = [
            float(word) for word in piece.get("modelRotation", "1 0 0 0 1 0 0 0 1").split()
        ]
        return _Entry(
            name=name,
            model=piece["model"].lstrip("/"),
            size=np.array([float(piece[key]) for key in ("width", "depth", "height")])
            / _CENTIMETRES,
            rotation=np.array(rotation).reshape(3, 3),
            elevation=float(piece.get("elevation", 0)) / _CENTIMETRES,
            is_person=piece.get("category") == _PEOPLE_CATEGORY or bool(_PEOPLE.match(name)),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"expected name, model, width, depth and height of piece {number} in its {CATALOGUE}, "
            f"and nine numbers as modelRotation if any, got {piece}"
        ) from error


def _read_parts(archive: zipfile.ZipFile, entry: _Entry, trimesh: Any) -> list[Any]:
    """Read the meshes of a model, one per material."""
    folder = PurePosixPath(entry.model).parent
    beside = {
        str(PurePosixPath(name).relative_to(folder)): io.BytesIO(archive.read(name))
        for name in archive.namelist()
        if not name.endswith("/") and PurePosixPath(name).is_relative_to(folder)
    }
    model = beside.get(PurePosixPath(entry.model).name)
    if model is None:
        raise ValueError(f"no {entry.model} in it, the model of {entry.name!r}")
    scene = trimesh.load_scene(
        model, file_type="obj", resolver=trimesh.resolvers.ZipResolver(beside), process=False
    )
    parts = [part for part in scene.geometry.values() if len(getattr(part, "faces", ()))]
    if not parts:
        raise ValueError(f"no faces in its {entry.model}, the model of {entry.name!r}")
    return parts


def _assemble(entry: _Entry, parts: list[Any]) -> Thing:
    """Join the meshes of a model and bring them to the size that the catalogue tells."""
    textures = [_read_texture(part) for part in parts]
    uv = [
        np.zeros((len(part.vertices), 2)) if texture is None else part.visual.uv
        for part, texture in zip(parts, textures, strict=True)
    ]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    y_up = np.concatenate([part.vertices for part in parts]) @ entry.rotation.T
    vertices = np.stack((y_up[:, 0], -y_up[:, 2], y_up[:, 1]), axis=1)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - (low + high) / 2) / np.maximum(high - low, 1e-6) * entry.size
    vertices[:, 2] -= vertices[:, 2].min()
    return Thing(
        name=entry.name,
        vertices=vertices.astype(np.float32),
        faces=np.concatenate(faces).astype(np.int64),
        uv=np.concatenate(uv).astype(np.float32),
        material=np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        textures=tuple(
            _plain(part) if texture is None else texture
            for part, texture in zip(parts, textures, strict=True)
        ),
        elevation=entry.elevation,
    )


def _read_texture(part: Any) -> NDArray[np.uint8] | None:
    """Return a mesh's texture [H, W, 3], RGB, not larger than needed, or None."""
    image = getattr(getattr(part.visual, "material", None), "image", None)
    if image is None or getattr(part.visual, "uv", None) is None:
        return None
    texture = np.asarray(image.convert("RGB"))
    scale = _LARGEST_TEXTURE_PX / max(texture.shape[:2])
    if scale < 1:
        texture = cv2.resize(texture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(texture, np.uint8)


def _plain(part: Any) -> NDArray[np.uint8]:
    """Return a mesh's colour as a texture of one pixel [1, 1, 3]."""
    diffuse = getattr(getattr(part.visual, "material", None), "diffuse", None)
    return np.full((1, 1, 3), _UNPAINTED if diffuse is None else diffuse[:3], np.uint8)
