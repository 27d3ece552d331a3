"""Up to which radius a lens model is valid: further out, its polynomial turns back."""

from functools import lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Share of the way to a pole of a rational model, where it goes to infinity.
_BEFORE_POLE = 0.99
_REAL = 1e-9  # greatest imaginary part of a root, against its size


def lens_reach(coefficients: Array, *, is_fisheye: bool) -> float:
    """Return the radius up to which points further from the axis are shown further out.

    Thin prisms, tilted sensors and tangential distortion, which are small, are left out.

    Args:
        coefficients: As of `Distortion`, float64.
        is_fisheye: Whether they are those of the fisheye model.

    Returns:
        The radius on the plane one metre ahead, (0, inf]: the tangent of the angle to the axis.
    """
    return _reach(coefficients.tobytes(), is_fisheye)


@lru_cache(maxsize=64)
def _reach(data: bytes, is_fisheye: bool) -> float:
    coefficients = np.frombuffer(data)
    # All in the square of the radius; of the angle for a fisheye.
    square = Polynomial([0.0, 1.0])
    if is_fisheye:
        shown = Polynomial([1.0, *coefficients])
        angle = _smallest_root(shown + 2 * square * shown.deriv()) ** 0.5
        return float(np.tan(angle)) if angle < np.pi / 2 else float("inf")
    k1, k2, _, _, *others = coefficients.tolist()
    k3, k4, k5, k6 = (others + [0.0] * 4)[:4]
    above, below = Polynomial([1.0, k1, k2, k3]), Polynomial([1.0, k4, k5, k6])
    slope = above * below + 2 * square * (above.deriv() * below - above * below.deriv())
    return min(_smallest_root(slope) ** 0.5, _BEFORE_POLE * _smallest_root(below) ** 0.5)


def _smallest_root(polynomial: Polynomial) -> float:
    """Return the smallest root above zero, or infinity."""
    roots = polynomial.trim().roots()
    is_real = np.abs(np.imag(roots)) <= _REAL * np.abs(roots)
    positive = np.real(roots)[is_real & (np.real(roots) > 0)]
    return float(positive.min()) if len(positive) else float("inf")
