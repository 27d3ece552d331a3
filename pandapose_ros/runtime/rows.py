"""What the host reads of the networks' results, in one tensor, so that one transfer brings it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.depth_votes import depth_profiles
from pandapose_ros.runtime.protocols import LiftedJoints
from pandapose_ros.uncertainty import vote_scatter

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class CropVotes:
    """Hold what a lifter says of one person, along the axes of the crop's camera.

    Attributes:
        joints: [17, 3], metres.
        anchors: [A, 3], metres.
        weights: [A, 17], each anchor's share in each joint; a column sums to 1.
        scatter: [17, 3, 3], of the votes for each joint, m^2.
        depth_profile: [17, D], the distribution of each joint over the depth bins; None if the
            network lifts no features.
        anchor_kinds: [A], 0 = local, 1 = global.
        anchor_joints: [A], joint that a local anchor belongs to; -1 for a global one.
    """

    joints: Array
    anchors: Array
    weights: Array
    scatter: Array
    depth_profile: Array | None
    anchor_kinds: NDArray[np.int64]
    anchor_joints: NDArray[np.int64]


def read_out(output: LiftedJoints, keypoints: Tensor, config: ModelConfig) -> list[Tensor]:
    """Compute what the host reads of a lifter's result, where that result is.

    Args:
        output: Of the lifter.
        keypoints: [B, J, 2], that were lifted, crop pixels, on the same device.
        config: Of the lifter.

    Returns:
        joints, anchors, weights, scatter and, if features are lifted, depth profiles, each with
        the people first; `as_votes` takes them in this order.
    """
    scatter = vote_scatter(output.anchors, output.offsets, output.weights)
    profiles = depth_profiles(output, keypoints, config)
    tensors = [output.joints, output.anchors, output.weights, scatter]
    return tensors if profiles is None else [*tensors, profiles]


def as_votes(
    arrays: Sequence[Array], kinds: NDArray[np.int64], owners: NDArray[np.int64]
) -> list[CropVotes]:
    """Hand out to each person what `read_out` has computed.

    Args:
        arrays: As there, on the host.
        kinds: Of the anchors [A].
        owners: Of the anchors [A].
    """
    joints, anchors, weights, scatter, *profiles = arrays
    return [
        CropVotes(
            joints[i],
            anchors[i],
            weights[i],
            scatter[i],
            profiles[0][i] if profiles else None,
            kinds,
            owners,
        )
        for i in range(len(joints))
    ]


def to_rows(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors [B, ...] to one row for each person [B, N], float32."""
    return torch.cat([tensor.reshape(len(tensor), -1).float() for tensor in tensors], dim=1)


def from_rows(rows: Tensor, shapes: Sequence[Sequence[int]]) -> list[Array]:
    """Bring rows to the host, waiting for their device, and take them apart again.

    Args:
        rows: [B, N], of `to_rows`.
        shapes: Of the tensors, without the people; () for one number each.

    Returns:
        One array [B, *shape] for each shape.
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(rows.cpu().numpy(), ends[:-1], axis=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
