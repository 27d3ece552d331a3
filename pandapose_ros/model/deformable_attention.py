"""3D deformable attention: every query samples a few points of the lifted feature volume.

The volume (feature times depth distribution, per pixel) is never built: a trilinear sample of it
is the sum over four pixels of their features, each weighted by its bilinear share, by the pixel's
depth distribution at the sample's depth, and by attention.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.precision import finite_place, full_precision
from pandapose_ros.model.tokens import ImageTokens


class DeformableAttention3D(nn.Module):
    """Sum samples of the lifted feature volume around each anchor.

    With heads m, levels l and points s, each head's value V_m = W_m feature x depth distribution:

    output = W concat_m sum_ls weight_mls V_ml(reference + offset_mls)

    weight and offset are linear functions of the query; weights are a softmax over l and s.

    Source:
        PandaPose, section 3.5, after DFA3D (arXiv 2307.12972) and Deformable DETR (arXiv
        2010.04159). Our choice: offsets in pixels of the level and depth bins; zero outside the
        volume; initially each head samples along its own direction, with equal weights.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        heads, levels = config.heads, len(config.level_channels)
        self.shape = (heads, levels, config.sampling_points)
        self.axes = 2 if config.lifting == "none" else 3
        samples = math.prod(self.shape)
        self.sampling_offsets = nn.Linear(config.width, samples * self.axes)
        self.attention_logits = nn.Linear(config.width, samples)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_logits.weight)
        nn.init.zeros_(self.attention_logits.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(_ring(*self.shape)[..., : self.axes].flatten())

    def forward(self, queries: Tensor, reference: Tensor, tokens: ImageTokens) -> Tensor:
        """Attend to the volume.

        Args:
            queries: [B, A, C].
            reference: Point around which each query samples [B, A, 3]: u, v and depth in grid
                units, [-1, 1] inside the volume.
            tokens: The sampled pixels of all levels.

        Returns:
            [B, A, C].
        """
        heads, levels, points = self.shape
        with full_precision(queries.device):  # of places
            offsets = self.sampling_offsets(queries).unflatten(2, (*self.shape, self.axes))
        weights = self.attention_logits(queries).unflatten(2, (heads, levels * points))
        weights = weights.softmax(dim=3).unflatten(3, (levels, points))  # [B, A, M, L, S]
        sizes, _ = _tables(tokens)
        halves = sizes.to(reference).view(3, levels, 1).movedim(0, 2) / 2
        centres = (reference[:, :, None, None, None] + 1) * halves - 0.5
        places = finite_place(centres[..., : self.axes] + offsets, training=self.training)
        values = self.value(tokens.features).unflatten(2, (heads, -1))  # [B, N, M, c]
        inputs = (values, tokens, places, weights)
        if not (self.training and torch.is_grad_enabled()):
            return self.output(sample_volume(*inputs))
        # Sampled again in the backward pass: the indices and shares of all corners would take
        # more memory than the rest of the network.
        return self.output(checkpoint(sample_volume, *inputs, use_reentrant=False))


def sample_volume(
    values: Tensor, tokens: ImageTokens, locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum weighted trilinear samples of the volume values x depth, without building it.

    Args:
        values: One value per token and head [B, N, M, c].
        tokens: Their pixels and depth distributions; `tokens.features` is not used.
        locations: [B, A, M, L, S, 3]: (u, v, bin) in pixels of level L and in bins; the centre
            of the first pixel and bin is 0. The volume is zero outside. Or [B, A, M, L, S, 2]:
            (u, v), if the volume is flat (one bin, D = 1).
        weights: [B, A, M, L, S].

    Returns:
        [B, A, M * c], heads one after another.

    Source:
        DFA3D (arXiv 2307.12972), section 3.3: depth is interpolated at each of the four pixels
        before these are. Equal to `grid_sample` on the outer product, with its gradients.
    """
    (A, M), (B, N) = weights.shape[1:3], tokens.depth.shape[:2]
    # The long axes last: arithmetic on a last axis of two would take most of the time.
    coordinates = locations.permute(5, 3, 0, 1, 2, 4)  # [3, L, B, A, M, S]
    weights = weights.permute(3, 0, 1, 2, 4)  # [L, B, A, M, S]
    sizes, first_pixels = _tables(tokens)
    neighbours, shares = _neighbours(coordinates, sizes[: len(coordinates)])
    u, v = neighbours[:, 0], neighbours[:, 1]  # each [2, L, B, A, M, S]
    share_u, share_v = shares[:, 0], shares[:, 1]

    batch = torch.arange(B, device=values.device)
    first_pixels = first_pixels + batch.view(-1, 1, 1, 1) * tokens.token_of_pixel.shape[1]
    pixels = v * sizes[0] + first_pixels
    pixels = pixels[:, None] + u  # [2, 2, L, B, A, M, S]
    token = (tokens.token_of_pixel + (batch * N)[:, None]).flatten()  # token in the whole batch
    token = token.index_select(0, pixels.flatten()).view_as(pixels)

    depth = _depth_shares(tokens, token, neighbours[:, 2:], shares[:, 2:])
    shares = depth * share_v[:, None] * (share_u * weights)

    rows = token * M + torch.arange(M, device=token.device)[:, None]
    summed = _sum_rows(values.flatten(0, 2), _bags(rows), _bags(shares).to(values.dtype))
    return summed.unflatten(0, (-1, A, M)).flatten(2)


def _depth_shares(tokens: ImageTokens, token: Tensor, bins: Tensor, shares: Tensor) -> Tensor:
    """Return the depth distribution of each token [2, 2, L, B, A, M, S] at the sample's depth.

    `bins` and `shares` are [2, 1, L, B, A, M, S]; [2, 0, ...] for a flat volume.
    """
    if bins.shape[1] == 0:
        return tokens.depth.flatten().index_select(0, token.flatten()).view_as(token)
    cells = token * tokens.depth.shape[2] + bins[:, :, None]  # [2, 2, 2, L, B, A, M, S]
    depth = tokens.depth.flatten().index_select(0, cells.flatten()).view_as(cells)
    return (depth * shares[:, :, None]).sum(dim=0)


def _neighbours(coordinates: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two indices next to each coordinate and their linear shares [2, 3, L, ...]."""
    low = coordinates.detach().floor()
    fraction = coordinates - low
    indices = torch.stack((low, low + 1))
    kept = torch.minimum(indices.clamp(min=0), (sizes - 1).to(indices))
    shares = torch.stack((1 - fraction, fraction)) * (indices == kept)
    return kept.long(), shares


def _bags(corners: Tensor) -> Tensor:
    """Bring [2, 2, L, B, A, M, S] to [B * A * M, 4 * L * S]."""
    return corners.permute(3, 4, 5, 0, 1, 2, 6).flatten(0, 2).flatten(1)


def _sum_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of a table [R, c], n for each bag [bags, n], to [bags, c]."""
    if torch.onnx.is_in_onnx_export():  # ONNX has no bags
        return (weights[:, None] @ table[rows]).squeeze(1)
    # The weighted rows are never stored.
    return F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")


def _tables(tokens: ImageTokens) -> tuple[Tensor, Tensor]:
    """Return (width, height, bins) of each level [3, L, 1, 1, 1, 1], and its first pixel's number.

    The second is [L, 1, 1, 1, 1]: the number of pixels before each level.
    """
    return _tables_on(tokens.sizes, tokens.depth.shape[2], tokens.depth.device)


@functools.cache
def _tables_on(
    sizes: tuple[tuple[int, int], ...], bins: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Make the tables of `_tables`, once: a copy from the host cannot be part of a CUDA graph.

    They are kept for good, as graphs go on reading them.
    """
    areas = [width * height for width, height in sizes]
    starts = [sum(areas[:level]) for level in range(len(areas))]
    with torch.inference_mode(False):  # else no training could use them later
        volume = torch.tensor([(*size, bins) for size in sizes], device=device).T.contiguous()
        first = torch.tensor(starts, device=device)
    return volume.view(3, -1, 1, 1, 1, 1), first.view(-1, 1, 1, 1, 1)


def _ring(heads: int, levels: int, points: int) -> Tensor:
    """Return initial offsets [M, L, S, 3]: heads on a ring in u, v, alternately far and near."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    side = torch.where(torch.arange(heads) % 2 == 0, 1.0, -1.0)
    directions = torch.stack((angles.cos(), angles.sin(), side), dim=1)
    steps = torch.arange(1, points + 1).view(1, 1, points, 1)
    return directions.view(heads, 1, 1, 3) * steps.expand(1, levels, points, 1)
