"""3D anchors: local ones around every keypoint, and a fixed global grid on the root's plane.

Anchors are in the grid of the crop: (u, v) in [-1, 1] from edge to edge, and depth relative to
the root in units of the depth range, so that the depth bins cover [-1, 1].
"""

from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pandapose_ros.config import ModelConfig

INITIAL_SPREAD = 0.2  # of local anchors around their keypoint, grid units
INITIAL_WEIGHT_DEVIATION = 1e-3


class AnchorKind(IntEnum):
    """Say how an anchor was placed."""

    LOCAL = 0
    GLOBAL = 1


class Anchors(nn.Module):
    """Place the anchors of a 2D pose: local ones first (joint by joint), then the global grid.

    local anchor_jk = (u_j, v_j, 0) + (W keypoints + b)_jk, with all J keypoints in one vector
    global anchor_rc = (u_c, v_r, 0), the centre of a cell

    Attributes:
        kinds: AnchorKind of every anchor [A], int64.
        owners: Joint to which a local anchor belongs [A], int64; -1 for a global anchor.
        count: A.

    Source:
        PandaPose, section 3.2: local anchor = (keypoint, 0) + a linear function of the whole 2D
        pose; global anchors at equal strides on the root's plane. Our choice: the number of local
        anchors per joint, their initial spread, and cell centres for the global grid.
    """

    grid: Tensor
    scale: Tensor
    shift: Tensor
    kinds: Tensor
    owners: Tensor

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__()
        if (config.metric_scale[2], config.metric_shift[2]) != (config.depth_range, 0.0):
            raise ValueError(
                "expected metric_scale[2] = depth_range and metric_shift[2] = 0, as the anchors' "
                f"depth axis is that of the bins; got {config.metric_scale[2]}, "
                f"{config.metric_shift[2]} and depth_range = {config.depth_range}"
            )
        self.local_offsets = None
        owners = torch.empty(0, dtype=torch.int64)
        if config.anchors in ("both", "local"):
            self.local_offsets = nn.Linear(2 * joints, joints * config.local_anchors * 3)
            nn.init.normal_(self.local_offsets.weight, std=INITIAL_WEIGHT_DEVIATION)
            nn.init.uniform_(self.local_offsets.bias, -INITIAL_SPREAD, INITIAL_SPREAD)
            owners = torch.arange(joints).repeat_interleave(config.local_anchors)
        grid = torch.empty(0, 3)
        if config.anchors in ("both", "global"):
            grid = global_grid(config.global_anchor_rows, config.global_anchor_columns)
        owners = F.pad(owners, (0, len(grid)), value=-1)
        self.count = len(owners)
        kinds = torch.where(owners < 0, AnchorKind.GLOBAL, AnchorKind.LOCAL)
        self.register_buffer("grid", grid, persistent=False)
        self.register_buffer("scale", torch.tensor(config.metric_scale), persistent=False)
        self.register_buffer("shift", torch.tensor(config.metric_shift), persistent=False)
        self.register_buffer("kinds", kinds, persistent=False)
        self.register_buffer("owners", owners, persistent=False)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Place the anchors.

        Args:
            keypoints: [B, J, 2], grid units.

        Returns:
            Anchors [B, A, 3], grid units.
        """
        B, J, _ = keypoints.shape
        grid = self.grid.expand(B, -1, -1)
        if self.local_offsets is None:
            return grid
        offsets = self.local_offsets(keypoints.flatten(1)).unflatten(1, (J, -1, 3))
        local = on_root_plane(keypoints)[:, :, None] + offsets  # [B, J, local, 3]
        return torch.cat((local.flatten(1, 2), grid), dim=1)

    def to_metres(self, anchors: Tensor) -> Tensor:
        """Convert anchors [B, A, 3] from grid units to metres, root-relative, crop-camera axes."""
        return anchors * self.scale + self.shift


def on_root_plane(keypoints: Tensor) -> Tensor:
    """Return keypoints [B, J, 2] at the root's depth: [B, J, 3], grid units."""
    return F.pad(keypoints, (0, 1))


def global_grid(rows: int, columns: int) -> Tensor:
    """Return the cell centres of a rows x columns grid over the crop at depth 0.

    Args:
        rows: Cells from top to bottom.
        columns: Cells from left to right.

    Returns:
        [rows * columns, 3], grid units, row by row.
    """
    v = (torch.arange(rows) + 0.5) / rows * 2 - 1
    u = (torch.arange(columns) + 0.5) / columns * 2 - 1
    v, u = torch.meshgrid(v, u, indexing="ij")
    return torch.stack((u, v, torch.zeros_like(u)), dim=-1).flatten(0, 1)
