"""Rotation matrices in numpy, many at once."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def rotations_about(vectors: Array) -> Array:
    """Return rotation matrices [..., 3, 3] float32 of rotation vectors [..., 3], radians."""
    angles = np.linalg.norm(vectors, axis=-1)
    x, y, z = np.moveaxis(vectors / np.maximum(angles, 1e-9)[..., None], -1, 0)
    cosine, sine = np.cos(angles), np.sin(angles)
    rest = 1 - cosine
    rows = (
        (cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine),
        (y * x * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine),
        (z * x * rest - y * sine, z * y * rest + x * sine, cosine + z * z * rest),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2).astype(np.float32)


def turns(axis: int, angles: Array, dtype: type[np.floating] = np.float32) -> Array:
    """Return rotation matrices [N, 3, 3] about a coordinate axis by angles [N], radians."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((len(angles), 3, 3), dtype)
    out[:, axis, axis] = 1
    out[:, a, a] = out[:, b, b] = np.cos(angles)
    out[:, b, a] = np.sin(angles)
    out[:, a, b] = -out[:, b, a]
    return out


def random_rotations(
    count: int, deviations: tuple[float, float, float], rng: np.random.Generator
) -> Array:
    """Return rotations [count, 3, 3] by normal rotation vectors (about x, y, z)."""
    return rotations_about(rng.normal(0, deviations, (count, 3)).astype(np.float32))
