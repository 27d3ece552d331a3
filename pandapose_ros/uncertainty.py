"""Uncertainty of estimates: covariances from the anchors' votes, fitted to known errors."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import CovarianceConfig
from pandapose_ros.pose import RootSource

Array = NDArray[np.floating]

COVARIANCE_KEY = "covariance"
# Shares within 1 and 2 standard deviations: of one axis, and of a vector in 3D.
NORMAL_AXIS, NORMAL_3D = (0.6827, 0.9545), (0.1987, 0.7385)
# Squared lengths that 95.45 % of the normal errors stay within: of 1 axis, and of 2.
_TWO_SIGMA_1, _TWO_SIGMA_2 = 4.0, 6.18
_FIT_STEPS = 400


@dataclass(frozen=True, eq=False)
class ErrorSamples:
    """Hold estimates of people whose joints are known; all in the camera's axes.

    Attributes:
        errors: [N, 17, 3], of root-relative joints, metres.
        scatters: [N, 17, 3, 3], of the anchors' votes, m^2.
        rays: [N, 17, 3], unit vectors from the camera to the joints.
        scores: [N, 17], [0, 1].
        root_errors: [N, 3], metres.
        roots: [N, 3], estimated, metres.
    """

    errors: Array
    scatters: Array
    rays: Array
    scores: Array
    root_errors: Array
    roots: Array


def vote_scatter(anchors: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Return the scatter of the anchors' votes for each joint: their weighted covariance.

    Args:
        anchors: [P, A, 3], metres.
        offsets: [P, A, J, 3], metres.
        weights: [P, A, J], a column sums to 1; without any anchor the scatter is 0.

    Returns:
        [P, J, 3, 3], m^2, the anchors' axes.
    """
    votes = anchors[:, :, None] + offsets
    mean = (weights[..., None] * votes).sum(1, keepdim=True)
    apart = votes - mean
    # Not as a matrix product, for which PyTorch starts threads: they would slow the networks down.
    return (weights[..., None, None] * apart[..., None] * apart[..., None, :]).sum(1)


def joint_covariances(
    scatters: Array, rays: Array, scores: Array, config: CovarianceConfig
) -> Array:
    """Return the covariances of root-relative joints.

    covariance = widen (floor + gain scatter gain) widen; floor, gain and widen each have one value
    along the ray and another across it.

    Args:
        scatters: [..., 17, 3, 3], of the votes, camera axes, m^2.
        rays: [..., 17, 3], unit vectors from the camera to the joints.
        scores: [..., 17], [0, 1].
        config: The fitted constants.

    Returns:
        [..., 17, 3, 3], m^2, camera axes; zero for the pelvis, which is the origin.

    Source:
        Our choice: the paper gives no uncertainty. The votes' scatter times a gain, plus a floor,
        each across and along the ray, and more for hidden joints.
    """
    along = rays[..., :, None] * rays[..., None, :]
    across = np.eye(3) - along

    def both(lateral: Array, ray: Array) -> Array:
        return lateral[..., None, None] * across + ray[..., None, None] * along

    gain = both(np.sqrt(config.gain_lateral), np.sqrt(config.gain_ray))
    floor = both(np.square(config.floor_lateral), np.square(config.floor_ray))
    hidden = np.clip(1 - scores, 0, 1) / 2
    widen = both(np.exp(config.hidden_lateral * hidden), np.exp(config.hidden_ray * hidden))
    return widen @ (floor + gain @ scatters @ gain) @ widen


def root_covariance(root: Array, source: RootSource, config: CovarianceConfig) -> Array:
    """Return the covariance of a root that follows from the size of the body.

    Args:
        root: [3], camera frame, metres.
        source: INTRINSICS, or ASSUMED_FIELD_OF_VIEW, which adds an error.
        config: The fitted constants.

    Returns:
        [3, 3], m^2, camera axes.
    """
    distance = np.linalg.norm(root)
    ray = root / distance
    along = np.outer(ray, ray)
    lateral = config.root_lateral**2 * (np.eye(3) - along)
    covariance = (config.root_relative * distance) ** 2 * along + lateral
    if source is RootSource.ASSUMED_FIELD_OF_VIEW:
        # With a wrong focal length the joints still fit the keypoints, only at another z.
        covariance[2, 2] += (config.root_assumed * root[2]) ** 2
    return covariance


def fit(samples: ErrorSamples, start: CovarianceConfig) -> CovarianceConfig:
    """Fit the constants to errors: by maximum likelihood, then scaled to two sigmas.

    Errors have longer tails than a normal distribution. Of the errors across and along the ray,
    95.45 % of the samples are within two sigmas after the scaling.

    Args:
        samples: At least a hundred or so.
        start: Gives `root_assumed`, which the samples do not determine.
    """
    errors, scatters = _across_and_along(samples)
    hidden = torch.from_numpy(1 - samples.scores[..., None]).double()
    joints = errors.shape[1]
    floors, gains, widen = (
        torch.full(shape, value, dtype=torch.float64, requires_grad=True)
        for shape, value in (((joints, 2), -5.0), ((joints, 2), -6.0), ((2,), 0.0))
    )
    counts = torch.tensor([2.0, 1.0], dtype=torch.float64)  # axes across, and along
    optimizer = torch.optim.Adam([floors, gains, widen], lr=0.05)
    seen = slice(1, None)  # the pelvis has no error
    for _ in range(_FIT_STEPS):
        variances = (floors.exp() + gains.exp() * scatters) * (widen * hidden).exp()
        terms = errors / variances + counts * variances.log()
        loss = terms[:, seen].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        variances = (floors.exp() + gains.exp() * scatters) * (widen * hidden).exp()
        ratios = (errors / variances)[:, seen].reshape(-1, 2)
        lateral = torch.quantile(ratios[:, 0], NORMAL_AXIS[1]) / _TWO_SIGMA_2
        ray = torch.quantile(ratios[:, 1], NORMAL_AXIS[1]) / _TWO_SIGMA_1
        scale = torch.stack((lateral, ray))
        floor, gain = (floors.exp() * scale).sqrt().numpy(), (gains.exp() * scale).numpy()
        floor[0] = gain[0] = 0.0
    return replace(
        _fit_root(samples, start),
        floor_lateral=_rounded(floor[:, 0]),
        floor_ray=_rounded(floor[:, 1]),
        gain_lateral=_rounded(gain[:, 0]),
        gain_ray=_rounded(gain[:, 1]),
        hidden_lateral=round(widen[0].item(), 3),
        hidden_ray=round(widen[1].item(), 3),
    )


def _fit_root(samples: ErrorSamples, start: CovarianceConfig) -> CovarianceConfig:
    """Fit the root's errors so that 95.45 % of them are within two sigmas."""
    distance = np.linalg.norm(samples.roots, axis=1)
    along = (samples.root_errors * samples.roots).sum(1) / distance
    across = (samples.root_errors**2).sum(1) - along**2
    relative = np.quantile((along / distance) ** 2, NORMAL_AXIS[1]) / _TWO_SIGMA_1
    lateral = np.quantile(across, NORMAL_AXIS[1]) / _TWO_SIGMA_2
    return replace(
        start,
        root_relative=round(float(np.sqrt(relative)), 4),
        root_lateral=round(float(np.sqrt(max(lateral, 0.0))), 4),
    )


def _across_and_along(samples: ErrorSamples) -> tuple[Tensor, Tensor]:
    """Return squared errors [N, 17, 2] and scatters [N, 17, 2] across (per axis) and along."""
    ray_errors = (samples.errors * samples.rays).sum(-1) ** 2
    errors = np.stack(((samples.errors**2).sum(-1) - ray_errors, ray_errors), axis=-1)
    along = np.einsum("nja,njab,njb->nj", samples.rays, samples.scatters, samples.rays)
    traces = np.trace(samples.scatters, axis1=-2, axis2=-1)
    scatters = np.stack(((traces - along) / 2, along), axis=-1)
    return torch.from_numpy(errors).double(), torch.from_numpy(scatters).double()


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def coverage(samples: ErrorSamples, config: CovarianceConfig) -> dict[str, tuple[float, float]]:
    """Return which shares of the errors are within 1 and 2 sigma.

    Args:
        samples: Not those that the constants were fitted to.
        config: The constants.

    Returns:
        Of the joints without the pelvis along the camera's axes (joints_x, joints_y, joints_z)
        and in 3D (joints_3d, Mahalanobis); of the roots likewise (root_...). A normal
        distribution has `NORMAL_AXIS` and `NORMAL_3D`.
    """
    joints = joint_covariances(samples.scatters, samples.rays, samples.scores, config)[:, 1:]
    roots = np.stack(
        [root_covariance(root, RootSource.INTRINSICS, config) for root in samples.roots]
    )
    return _shares("joints", samples.errors[:, 1:], joints) | _shares(
        "root", samples.root_errors, roots
    )


def _shares(name: str, errors: Array, covariances: Array) -> dict[str, tuple[float, float]]:
    """Return the shares within 1 and 2 sigma, per axis and in 3D."""
    sigmas = np.sqrt(np.einsum("...ii->...i", covariances))
    squares = np.einsum("...i,...ij,...j->...", errors, np.linalg.inv(covariances), errors)
    axes = {f"{name}_{axis}": np.abs(errors / sigmas)[..., i] for i, axis in enumerate("xyz")}
    return {
        key: (round(float((values < 1).mean()), 3), round(float((values < 2).mean()), 3))
        for key, values in (axes | {f"{name}_3d": np.sqrt(squares)}).items()
    }


def to_metadata(config: CovarianceConfig) -> dict[str, str]:
    """Return the constants as metadata of a file of weights."""
    return {COVARIANCE_KEY: json.dumps(asdict(config))}


def from_metadata(metadata: dict[str, str]) -> CovarianceConfig:
    """Return the constants that a file of weights carries, else the defaults.

    Raises:
        ValueError: If they are damaged, or not those of this version.
    """
    text = metadata.get(COVARIANCE_KEY)
    if text is None:
        return CovarianceConfig()
    remedy = "run `pandapose calibrate --store` on the weights"
    try:
        stored = dict(json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"covariance constants are damaged ({error}): {remedy}") from error
    known = {item.name for item in fields(CovarianceConfig)}
    if stored.keys() != known:
        raise ValueError(
            f"covariance constants of another version: expected {sorted(known)}, got "
            f"{sorted(stored)}; {remedy}"
        )
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return CovarianceConfig(**values)
