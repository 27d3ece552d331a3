"""The challenging subset: samples whose detected keypoints are far from the true ones."""

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Reduction(Enum):
    """How the errors of a sample's keypoints become one."""

    MEAN = "mean"
    MAX = "max"


class ErrorUnit(Enum):
    """What errors of keypoints are given in: pixels, or per cent of the person's height."""

    CROP = "crop"
    IMAGE = "image"
    SHARE = "share"


@dataclass(frozen=True)
class ChallengingSubset:
    """Hold which samples of a data set are challenging, and by which rule.

    Attributes:
        dataset: Name, with its split.
        samples: How many the whole set has.
        threshold: The error above which a sample is challenging, in the unit; 5 in the paper.
        unit: Of errors.
        reduction: Of the errors of a sample's keypoints.
        indices: Of the challenging samples, ascending.
        unknown: In how many samples no keypoint was detected: they are hard, but no error says
            so, and they are not among the indices.
    """

    dataset: str
    samples: int
    threshold: float
    unit: ErrorUnit
    reduction: Reduction
    indices: tuple[int, ...]
    unknown: int

    def mask(self) -> NDArray[np.bool_]:
        """Return [N], true for challenging samples."""
        mask = np.zeros(self.samples, bool)
        mask[list(self.indices)] = True
        return mask


def keypoint_errors(detected: Array, true: Array, reduction: Reduction) -> Array:
    """Return how far the detected keypoints of each sample are from the true ones.

    Args:
        detected: [N, J, 2], any unit; NaN where unknown.
        true: [N, J, 2], the same unit.
        reduction: Mean or greatest over the keypoints known in both.

    Returns:
        [N], the same unit; NaN for samples without any keypoint known in both.

    Raises:
        ValueError: If the shapes differ.
    """
    if detected.shape != true.shape or detected.ndim != 3 or detected.shape[-1] != 2:
        raise ValueError(
            f"expected detected and true keypoints [N, J, 2], got {list(detected.shape)} and "
            f"{list(true.shape)}"
        )
    distances = np.linalg.norm(detected - true, axis=-1)
    known = np.isfinite(distances)
    if reduction is Reduction.MAX:
        errors = np.where(known, distances, 0).max(axis=1, initial=0)
    else:
        errors = np.where(known, distances, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known.any(axis=1), errors, np.nan)


def as_share(detected: Array, true: Array) -> tuple[Array, Array]:
    """Express keypoints in per cent of the person's height.

    Args:
        detected: [N, J, 2], pixels.
        true: [N, J, 2], the same pixels; the greater side of the box round them is the height.

    Returns:
        Both, [N, J, 2]; NaN for samples without a true keypoint.
    """
    known = np.isfinite(true)
    highest = np.where(known, true, -np.inf).max(axis=1)
    lowest = np.where(known, true, np.inf).min(axis=1)
    extent = np.where(known.any(axis=1), highest - lowest, np.nan).max(axis=1)
    scale = (100 / np.where(extent > 0, extent, np.nan))[:, None, None]
    return detected * scale, true * scale


def challenging_subset(
    dataset: str,
    keypoints: tuple[Array, Array],
    *,
    threshold: float,
    unit: ErrorUnit,
    reduction: Reduction,
) -> ChallengingSubset:
    """Find the challenging samples of a data set.

    Args:
        dataset: Name, with its split.
        keypoints: Detected and true, [N, J, 2] each, in `unit`.
        threshold: The error above which a sample is challenging.
        unit: What the keypoints are in.
        reduction: Of the errors of a sample's keypoints.

    Source:
        Section 4.1: "error > 5 between the predicted 2D pose and GT 2D pose". Our choice, as
        neither is said there: mean over joints in pixels of the crop (192 x 256 for Human3.6M,
        256 x 256 for BlazePose's); 27,377 of the 543,344 test samples of Human3.6M is the count
        to reproduce. Samples whose error is unknown are not challenging.
    """
    errors = keypoint_errors(*keypoints, reduction)
    indices = np.flatnonzero(errors > threshold)
    return ChallengingSubset(
        dataset,
        len(errors),
        threshold,
        unit,
        reduction,
        tuple(indices.tolist()),
        int(np.isnan(errors).sum()),
    )


def save_subset(path: Path, subset: ChallengingSubset) -> None:
    """Write a subset as JSON, so that the same samples are taken again."""
    values = asdict(subset) | {"unit": subset.unit.value, "reduction": subset.reduction.value}
    path.write_text(json.dumps(values) + "\n", encoding="utf-8")


def load_subset(path: Path, dataset: str, samples: int) -> ChallengingSubset:
    """Read a subset that `save_subset` wrote.

    Args:
        path: The file.
        dataset: The name that it must have been made for.
        samples: How many samples that data set has now.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or of another data set or number of samples.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no subset {path}; make it with `evaluate --challenging-out`")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        subset = ChallengingSubset(
            str(values["dataset"]),
            int(values["samples"]),
            float(values["threshold"]),
            ErrorUnit(values["unit"]),
            Reduction(values["reduction"]),
            tuple(int(index) for index in values["indices"]),
            int(values["unknown"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no challenging subset: {error!r}") from error
    if (subset.dataset, subset.samples) != (dataset, samples):
        raise ValueError(
            f"{path}: expected the subset of '{dataset}' with {samples} samples, got that of "
            f"'{subset.dataset}' with {subset.samples}"
        )
    if any(not 0 <= index < samples for index in subset.indices):
        raise ValueError(f"{path}: expected indices from 0 to {samples - 1}")
    return subset
