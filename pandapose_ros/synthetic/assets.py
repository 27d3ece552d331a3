"""MakeHuman garments: read .mhclo and .obj files, fit them to a body of the hm08 mesh."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Garments are written in MakeHuman's frame: decimetres, y up, facing +z.
_DECIMETRES = 10.0


@dataclass(frozen=True)
class Garment:
    """Describe a garment relative to the base mesh.

    Attributes:
        name: Of its folder.
        references: [V, 3] base-mesh vertices that each garment vertex hangs on.
        weights: [V, 3] how they are mixed.
        offsets: [V, 3] decimetres at the scale of the mesh the garment was made on.
        scales: Per axis (x, y, z) two base vertices and their distance on that mesh in
            decimetres, or None.
        hidden: Base-mesh vertices that the garment covers.
        faces: [F, 3] triangles.
    """

    name: str
    references: NDArray[np.int64]
    weights: Array
    offsets: Array
    scales: tuple[tuple[int, int, float] | None, ...]
    hidden: NDArray[np.int64]
    faces: NDArray[np.int64]


@dataclass
class _Clothing:
    """Collect what a .mhclo file says while it is read."""

    mesh_file: str = ""
    scales: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    rows: list[list[float]] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)


def read_garment(folder: Path) -> Garment:
    """Read a garment from its folder.

    Args:
        folder: Holds a .mhclo file (the first by name is taken) and the .obj file it names.

    Raises:
        FileNotFoundError: If there is no .mhclo file.
        ValueError: If its vertices do not match the mesh.
    """
    found = sorted(folder.glob("*.mhclo"))
    if not found:
        raise FileNotFoundError(f"no .mhclo file in {folder}; expected a MakeHuman garment")
    clothing = _read_clothing(found[0])
    faces = read_triangles(folder / clothing.mesh_file)
    rows = np.array(clothing.rows)
    if faces.max() >= len(rows):
        raise ValueError(
            f"{found[0]} places {len(rows)} vertices, its mesh uses {faces.max() + 1}; "
            "expected a .mhclo and .obj that belong together"
        )
    return Garment(
        name=folder.name,
        references=rows[:, :3].astype(np.int64),
        weights=rows[:, 3:6],
        offsets=rows[:, 6:9],
        scales=tuple(clothing.scales.get(axis) for axis in "xyz"),
        hidden=np.array(sorted(clothing.hidden), np.int64),
        faces=faces,
    )


def _read_clothing(path: Path) -> _Clothing:
    """Parse a .mhclo file."""
    clothing, section = _Clothing(), ""
    for line in path.read_text(errors="replace").splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif words[0] == "obj_file":
            clothing.mesh_file = words[1]
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            clothing.scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif not words[0].isdigit():
            continue  # some files name their material between `verts` and the vertices
        elif section == "verts":
            clothing.rows.append(_placement(words))
        elif section == "delete_verts":
            clothing.hidden.update(_ranges(words))
    return clothing


def _placement(words: list[str]) -> list[float]:
    """Return [reference x 3, weight x 3, offset x 3] of one line under `verts`."""
    numbers = [float(word) for word in words]
    if len(numbers) == 1:
        return [numbers[0]] * 3 + [1.0, 0.0, 0.0] + [0.0, 0.0, 0.0]
    return (numbers + [0.0] * 3)[:9]


def _ranges(words: list[str]) -> set[int]:
    """Expand a line such as "3 5 - 7 9" to {3, 5, 6, 7, 9}."""
    vertices: set[int] = set()
    for i, word in enumerate(words):
        if word == "-":
            vertices.update(range(int(words[i - 1]), int(words[i + 1]) + 1))
        else:
            vertices.add(int(word))
    return vertices


def read_triangles(path: Path) -> NDArray[np.int64]:
    """Read the faces of a Wavefront .obj file, each polygon split into a fan.

    Args:
        path: The file; vertex numbers in it are positive.

    Returns:
        [F, 3], vertex indices from 0.
    """
    triangles = []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
            triangles += [[corners[0], *corners[k : k + 2]] for k in range(1, len(corners) - 1)]
    return np.array(triangles, np.int64)


def fit_garment(garment: Garment, base: Array) -> Array:
    """Place a garment's vertices on a body.

    Args:
        garment: As read.
        base: [19158, 3] rest vertices of the whole hm08 mesh, metres, z up, facing -y.

    Returns:
        [V, 3], metres, the body's frame.
    """
    decimetres = np.stack((base[:, 0], base[:, 2], -base[:, 1]), axis=1) * _DECIMETRES
    scale = np.ones(3)
    for axis, measure in enumerate(garment.scales):
        if measure:
            first, second, length = measure
            scale[axis] = abs(decimetres[first, axis] - decimetres[second, axis]) / length
    corners = decimetres[garment.references] * garment.weights[..., None]
    fitted = (corners.sum(axis=1) + garment.offsets * scale) / _DECIMETRES
    return np.stack((fitted[:, 0], -fitted[:, 2], fitted[:, 1]), axis=1)
