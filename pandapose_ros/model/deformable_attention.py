"""3D deformable attention: every query looks at a few points of the lifted feature volume.

The volume (feature times depth distribution, per pixel) is never built: a trilinear sample of it
is the sum over four pixels of their features, each weighted by bilinear share, by the depth
distribution of that pixel at the sample's depth, and by attention.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.tokens import ImageTokens


class DeformableAttention3D(nn.Module):
    """Sum samples of the lifted feature volume round each anchor.

    Source:
        PandaPose, section 3.5, after DFA3D (arXiv 2307.12972) and Deformable DETR (arXiv
        2010.04159). Our choice: offsets in pixels of the level and depth bins; zero outside the
        volume; at the start each head looks along a direction of its own, with equal weights.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        heads, levels = config.heads, len(config.level_channels)
        self.shape = (heads, levels, config.sampling_points)
        samples = math.prod(self.shape)
        self.sampling_offsets = nn.Linear(config.width, samples * 3)
        self.attention_logits = nn.Linear(config.width, samples)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_logits.weight)
        nn.init.zeros_(self.attention_logits.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(_ring(*self.shape).flatten())

    def forward(self, queries: Tensor, reference: Tensor, tokens: ImageTokens) -> Tensor:
        """Attend to the volume.

        Args:
            queries: [B, A, C].
            reference: Point round which each query samples [B, A, 3]: u, v and depth in grid
                units, [-1, 1] inside the volume.
            tokens: The sampled pixels of all levels.

        Returns:
            [B, A, C].
        """
        heads, levels, points = self.shape
        offsets = self.sampling_offsets(queries).unflatten(2, (*self.shape, 3))
        weights = self.attention_logits(queries).unflatten(2, (heads, levels * points))
        weights = weights.softmax(dim=3).unflatten(3, (levels, points))  # [B, A, M, L, S]
        sizes = _volume_sizes(tokens).to(reference)  # [L, 3]
        centres = (reference[:, :, None, None, None] + 1) * (sizes[:, None] / 2) - 0.5
        values = self.value(tokens.features).unflatten(2, (heads, -1))  # [B, N, M, c]
        return self.output(sample_volume(values, tokens, centres + offsets, weights))


def sample_volume(
    values: Tensor, tokens: ImageTokens, locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum weighted trilinear samples of the volume values x depth, without building it.

    Args:
        values: One value per token and head [B, N, M, c].
        tokens: Their pixels and depth distributions; `tokens.features` is not used.
        locations: [B, A, M, L, S, 3]: (u, v, bin) in pixels of level L and in bins; the centre
            of the first pixel and bin is 0. The volume is zero outside.
        weights: [B, A, M, L, S].

    Returns:
        [B, A, M * c], heads one after another.

    Source:
        DFA3D (arXiv 2307.12972), section 3.3: depth is interpolated at each of the four pixels
        before these are. Equal to `grid_sample` on the outer product, with its gradients.
    """
    (B, A, M), (N, D) = locations.shape[:3], tokens.depth.shape[1:]
    neighbours, shares = _neighbours(locations, _volume_sizes(tokens).to(locations))
    u, v, bins = neighbours.unbind(dim=-2)  # each [B, A, M, L, S, 2]
    share_u, share_v, share_bin = shares.unbind(dim=-2)

    pixels = v[..., :, None] * _widths(tokens) + u[..., None, :] + _starts(tokens)
    batch = torch.arange(B, device=pixels.device)
    pixels = pixels + (batch * tokens.token_of_pixel.shape[1]).view(B, 1, 1, 1, 1, 1, 1)
    token = tokens.token_of_pixel + (batch * N)[:, None]  # token of a pixel in the whole batch
    token = token.flatten().index_select(0, pixels.flatten()).view_as(pixels)

    cells = token[..., None] * D + bins[..., None, None, :]  # [B, A, M, L, S, 2, 2, 2]
    depth = tokens.depth.flatten().index_select(0, cells.flatten()).view_as(cells)
    depth = (depth * share_bin[..., None, None, :]).sum(dim=-1)
    shares = depth * share_v[..., :, None] * share_u[..., None, :] * weights[..., None, None]

    rows = token * M + torch.arange(M, device=token.device).view(M, 1, 1, 1, 1)
    summed = F.embedding_bag(
        rows.flatten(0, 2).flatten(1),
        values.flatten(0, 2),
        per_sample_weights=shares.flatten(0, 2).flatten(1).to(values.dtype),
        mode="sum",
    )  # one bag per query and head: the weighted rows are never stored
    return summed.unflatten(0, (B, A, M)).flatten(2)


def _neighbours(locations: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two indices next to each coordinate and their linear shares [..., 3, 2]."""
    low = locations.detach().floor()
    fraction = locations - low
    indices = torch.stack((low, low + 1), dim=-1)
    last = (sizes - 1)[:, None, :, None]  # [L, 1, 3, 1]
    inside = (indices >= 0) & (indices <= last)
    shares = torch.stack((1 - fraction, fraction), dim=-1) * inside
    return torch.minimum(indices.clamp(min=0), last).long(), shares


def _volume_sizes(tokens: ImageTokens) -> Tensor:
    """Return (width, height, bins) of each level [L, 3]."""
    bins = tokens.depth.shape[2]
    return torch.tensor([(*size, bins) for size in tokens.sizes], device=tokens.depth.device)


def _widths(tokens: ImageTokens) -> Tensor:
    """Return the width of each level [L, 1, 1, 1]."""
    widths = [width for width, _ in tokens.sizes]
    return torch.tensor(widths, device=tokens.depth.device).view(-1, 1, 1, 1)


def _starts(tokens: ImageTokens) -> Tensor:
    """Return the number of pixels before each level [L, 1, 1, 1]."""
    areas = torch.tensor([width * height for width, height in tokens.sizes])
    return (areas.cumsum(0) - areas).to(tokens.depth.device).view(-1, 1, 1, 1)


def _ring(heads: int, levels: int, points: int) -> Tensor:
    """Return the first offsets [M, L, S, 3]: heads on a ring in u, v, by turns far and near."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    side = torch.where(torch.arange(heads) % 2 == 0, 1.0, -1.0)
    directions = torch.stack((angles.cos(), angles.sin(), side), dim=1)
    steps = torch.arange(1, points + 1).view(1, 1, points, 1)
    return directions.view(heads, 1, 1, 3) * steps.expand(1, levels, points, 1)
