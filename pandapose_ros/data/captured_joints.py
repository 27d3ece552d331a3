"""What the readers of motion capture share: naming joints, units, resampling.

Out: clips [T, 17, 3] as `motion.read_motion` gives them, metres, y up, 30 Hz.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]
# A joint of H36M-17 by the source's name for it.
JointTable = Mapping[str, str]

CLIP_RATE_HZ = 30.0
# Limb joints first; of the rest motion.py says what it wants: "spine" is the upper end of the
# lumbar bone, "thorax" the base of the neck, "nose" that of the skull, "head" the head's end.
TABLE_JOINTS = tuple(name for name in H36M_17.joint_names if name != "pelvis")
_UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)  # metres
_ADULT_LEG, _LEG_SPREAD = 0.83, 0.39  # thigh and shank, metres; logarithm of the widest factor
_LEG_LENGTH = (0.4, 1.4)  # thigh and shank of anybody, metres


def make_clip(
    positions: Mapping[str, Array], tables: Sequence[JointTable], rate_hz: float, place: str
) -> Array:
    """Pick the joints of a clip and resample them.

    Args:
        positions: [T, 3] of every joint of the source by name, metres, y up.
        tables: What known kinds of skeleton call the joints `TABLE_JOINTS`; the first one whose
            names are all there is taken.
        rate_hz: Of the source.
        place: The file, for messages.

    Returns:
        [S, 17, 3] float32 at `CLIP_RATE_HZ`. The pelvis is the middle of the hips. The other
        middle joints are as `motion.take_apart` wants them, which is not where the network's
        are: "spine" is the end of the lumbar bone, "thorax" the base of the neck, "nose" the
        base of the skull and "head" the end of the head's bone.

    Raises:
        ValueError: If no table fits (names the joints missing from the nearest), if the rate is
            not positive, a position is not finite, or the legs have no human's length.
    """
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"{place}: expected a positive frame rate, got {rate_hz} Hz")
    joints = _pick(positions, tables, place)
    if not _LEG_LENGTH[0] < (leg := _leg_length(joints)) < _LEG_LENGTH[1]:
        raise ValueError(
            f"{place}: expected legs of {_LEG_LENGTH[0]} to {_LEG_LENGTH[1]} m, got "
            f"{leg:.3g} m; check the unit of the file"
        )
    return _resample(joints, rate_hz)


def guess_metres_per_unit(
    positions: Mapping[str, Array], tables: Sequence[JointTable], place: str
) -> float:
    """Guess a clip's unit from the length of the legs.

    Args:
        positions: [T, 3] of every joint of the source by name, in its unit, y up.
        tables: As of `make_clip`.
        place: The file, for messages.

    Returns:
        Of metres, centimetres, millimetres, inches and the CMU data base's unit the one in which
        thigh and shank are nearest to an adult's.

    Raises:
        ValueError: If no table fits, or the legs are no adult's in any of these units.

    Source:
        Our choice: neighbours among the units differ by 2.2 and more, adults' legs by 1.6.
    """
    leg = _leg_length(_pick(positions, tables, place))
    unit = min(_UNITS, key=lambda unit: abs(np.log(max(leg * unit, 1e-9) / _ADULT_LEG)))
    if not abs(np.log(max(leg * unit, 1e-9) / _ADULT_LEG)) < _LEG_SPREAD:
        raise ValueError(f"{place}: legs of {leg:.3g} units are no adult's in any of {_UNITS} m")
    return unit


def _pick(positions: Mapping[str, Array], tables: Sequence[JointTable], place: str) -> Array:
    """Return the joints [T, 17, 3] by the first table whose names are all there."""
    missing = [sorted(set(table.values()) - set(positions)) for table in tables]
    nearest = min(missing, key=len)
    if nearest:
        raise ValueError(
            f"{place}: unknown skeleton; of the joints expected in the nearest known one it lacks "
            f"{nearest}, it has {sorted(positions)}"
        )
    table = tables[missing.index(nearest)]
    joints = np.stack([positions[table[name]] for name in TABLE_JOINTS], axis=1)
    hips = [TABLE_JOINTS.index(f"{side}_hip") for side in ("left", "right")]
    joints = np.concatenate((joints[:, hips].mean(axis=1, keepdims=True), joints), axis=1)
    if not np.isfinite(joints).all():
        raise ValueError(f"{place}: expected finite positions of all joints, got NaN or infinity")
    return joints


def _leg_length(joints: Array) -> float:
    """Return the median length of thigh and shank together, of joints [T, 17, 3]."""
    return float(np.median(np.linalg.norm(np.diff(joints[:, 1:4], axis=1), axis=2).sum(axis=1)))


def _resample(joints: Array, rate_hz: float) -> Array:
    """Take joints [T, 17, 3] at `CLIP_RATE_HZ`, linearly between frames."""
    last = len(joints) - 1
    # A hair is added so that rounding does not drop the last frame.
    count = int(last * CLIP_RATE_HZ / rate_hz + 1e-3) + 1
    times = np.minimum(np.arange(count) * rate_hz / CLIP_RATE_HZ, last)
    before = np.minimum(times.astype(int), max(last - 1, 0))
    after = np.minimum(before + 1, last)
    share = (times - before)[:, None, None]
    return ((1 - share) * joints[before] + share * joints[after]).astype(np.float32)
