"""Rotations between directions and frames, batched, in torch."""

import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors [..., 3] to length 1."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def rotate(R: Tensor, vectors: Tensor) -> Tensor:
    """Apply rotations [..., 3, 3] to vectors [..., 3]."""
    return (R @ vectors[..., None])[..., 0]


def frame(first: Tensor, second: Tensor) -> Tensor:
    """Build right-handed frames.

    Args:
        first: [..., 3], the direction of x.
        second: [..., 3], z is its part at right angles to x.

    Returns:
        [..., 3, 3], columns x, y, z.
    """
    x = unit(first)
    z = unit(second - (second * x).sum(-1, keepdim=True) * x)
    return torch.stack((x, torch.linalg.cross(z, x), z), dim=-1)


def about(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotate by angles about axes.

    Args:
        axis: [..., 3], any length but 0.
        angle: [...], radians.

    Returns:
        [..., 3, 3].
    """
    x, y, z = unit(axis).unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    cross = rows.reshape(*x.shape, 3, 3)
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return torch.eye(3, device=axis.device) + sine * cross + (1 - cosine) * (cross @ cross)


def swing(source: Tensor, target: Tensor) -> Tensor:
    """Return the smallest rotations [..., 3, 3] that turn source into target [..., 3]."""
    source, target = unit(source), unit(target)
    axis = torch.linalg.cross(source, target)
    # Opposite directions leave the axis open: take one at right angles to the source.
    aside = torch.where(
        source[..., :1].abs() < 0.9, source.new_tensor([1.0, 0, 0]), source.new_tensor([0, 1.0, 0])
    )
    axis = torch.where(
        axis.norm(dim=-1, keepdim=True) > 1e-6, axis, torch.linalg.cross(source, aside)
    )
    angle = torch.atan2(torch.linalg.cross(source, target).norm(dim=-1), (source * target).sum(-1))
    return about(axis, angle)


def between(start: Tensor, end: Tensor, fraction: float) -> Tensor:
    """Go a fraction of the shortest way from rotations `start` to `end` [..., 3, 3]."""
    R = end @ start.mT
    axis = torch.stack(
        (R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]),
        dim=-1,
    )
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)
    angle = torch.atan2(axis.norm(dim=-1), trace - 1)
    return about(axis, angle * fraction) @ start
