"""Rasterise packed triangle meshes in plain torch: exact coverage, z-buffer, barycentrics.

The same code runs on CPU and CUDA. Faces of many images go through at once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 0.05  # metres; faces with a corner nearer than this are left out
_FACE_BITS = 24  # of the z-buffer's 63; the rest hold the depth
_DEPTH_STEP = 1e-5  # metres


@dataclass(frozen=True)
class Fragments:
    """Hold the visible surface of each covered pixel.

    Attributes:
        image: [P] index of the image.
        row: [P] pixels.
        column: [P] pixels.
        face: [P] index of the visible face.
        barycentric: [P, 3] weights of the face's corners, perspective-correct.
        depth: [P] metres.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    face: Tensor
    barycentric: Tensor
    depth: Tensor

    def interpolate(self, faces: Tensor, values: Tensor) -> Tensor:
        """Mix per-vertex values [V, C] of faces [F, 3] at every fragment: [P, C]."""
        return (values[faces[self.face]] * self.barycentric[..., None]).sum(1)


def rasterize(
    vertices: Tensor, faces: Tensor, image_of_face: Tensor, K: Tensor, size: tuple[int, int]
) -> Fragments:
    """Find the front-most face at every pixel centre; both sides of a face are visible.

    Args:
        vertices: [V, 3], camera frame, metres.
        faces: [F, 3], fewer than 2^24.
        image_of_face: [F], which image a face is drawn into.
        K: [B, 3, 3], intrinsics per image, pixels.
        size: (width, height) of every image in pixels.

    Returns:
        The covered pixels, in order of image, row, column.

    Raises:
        ValueError: If there are too many faces.
    """
    if len(faces) >= 1 << _FACE_BITS:
        raise ValueError(
            f"expected fewer than {1 << _FACE_BITS} faces, got {len(faces)}; use a smaller batch"
        )
    width, height = size
    corners = vertices[faces]
    depths = corners[..., 2]
    pixels = torch.einsum("fij,fcj->fci", K[image_of_face][:, :2], corners)
    pixels = pixels / depths[..., None].clamp_min(NEAR)
    face, column, row = _candidates(pixels, depths.amin(1) > NEAR, size)
    flat, inside = _areas(torch.stack((column, row), dim=-1), pixels[face])
    face, column, row, flat = (t[inside] for t in (face, column, row, flat))
    depth = 1 / (flat / depths[face]).sum(-1)
    key = ((depth / _DEPTH_STEP).long() << _FACE_BITS) | face
    cell = (image_of_face[face] * height + row) * width + column
    empty = torch.iinfo(torch.int64).max
    buffer = torch.full((len(K) * height * width,), empty, device=key.device)
    buffer.scatter_reduce_(0, cell, key, "amin")
    covered = (buffer < empty).nonzero()[:, 0]
    face = buffer[covered] & ((1 << _FACE_BITS) - 1)
    column, above = covered % width, torch.div(covered, width, rounding_mode="floor")
    row = above % height
    flat, _ = _areas(torch.stack((column, row), dim=-1), pixels[face])
    weights = flat / depths[face]
    depth = 1 / weights.sum(-1)
    return Fragments(image_of_face[face], row, column, face, weights * depth[:, None], depth)


def _candidates(
    pixels: Tensor, visible: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """List face, column and row [Q] of all pixel centres in the faces' bounding boxes."""
    limit = pixels.new_tensor([size[0] - 1, size[1] - 1])
    low = pixels.amin(1).ceil().clamp_min(0)
    extent = (pixels.amax(1).floor().minimum(limit) - low + 1).clamp_min(0).long()
    extent = torch.where(visible[:, None], extent, 0)
    count = extent.prod(-1)
    used = count.nonzero()[:, 0]
    count, extent, low = count[used], extent[used], low[used].long()
    owner = torch.repeat_interleave(torch.arange(len(used), device=pixels.device), count)
    within = torch.arange(len(owner), device=pixels.device) - (count.cumsum(0) - count)[owner]
    box_width = extent[owner, 0]
    column = low[owner, 0] + within % box_width
    row = low[owner, 1] + torch.div(within, box_width, rounding_mode="floor")
    return used[owner], column, row


def _areas(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights [Q, 3] of triangles [Q, 3, 2] at points [Q, 2], and who is inside [Q]."""
    a, b, c = (corners - points[:, None]).unbind(1)
    areas = torch.stack((_cross(b, c), _cross(c, a), _cross(a, b)), dim=-1)
    total = areas.sum(-1, keepdim=True)
    inside = ((areas * total) >= 0).all(-1) & (total[:, 0].abs() >= 1e-9)
    return areas / torch.where(total.abs() < 1e-9, 1e-9, total), inside


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross product's z of 2D vectors [Q, 2]."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Average the faces' normals at each vertex, weighted by area: [V, 3], unit."""
    corners = vertices[faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed.index_add_(0, faces[:, corner], normals)
    return summed / summed.norm(dim=-1, keepdim=True).clamp_min(1e-12)
