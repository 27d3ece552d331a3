"""Joint-wise depth: one distribution over depth bins per joint and pixel, and a depth embedding.

In: one feature level. Out: for each pixel a distribution over the depth of each joint, and a
token to which the anchors attend.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.feedforward import FeedForward
from pandapose_ros.model.precision import full_precision

LONGEST_PERIOD = 10_000.0


class DepthOutput(NamedTuple):
    """Hold the result of the depth net; h x w is the size of its feature level.

    Attributes:
        logits: [B, J, D, h, w]; None if depth is regressed.
        values: Depth [B, J, h, w], metres, root-relative, if it is regressed; else None.
        probabilities: [B, J, D, h, w]: softmax of the logits over the bins D, or the value shared
            between the two bins whose centres are next to it.
        embedding: [B, h * w, C].
    """

    logits: Tensor | None
    values: Tensor | None
    probabilities: Tensor
    embedding: Tensor


class DepthNet(nn.Module):
    """Estimate a depth distribution per joint and pixel, and embed the pixels' depth.

    deep = ASPP(residual blocks(conv3x3(level)))
    probabilities_j = softmax over bins of (conv1x1(deep))_j, per pixel
    embedding = encoder(deep + position code), per pixel

    Source:
        PandaPose, section 3.3 and appendix A.2: feature projection, convolutions, ASPP, a 1x1
        convolution to J x D maps, one Transformer encoder layer for the embedding. Our choice:
        residual blocks, batch normalisation, and a sine position code for the encoder.
    """

    position: Tensor

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__()
        width, stride = config.width, config.level_strides[config.depth_level]
        self.joints, self.bins, self.range = joints, config.depth_bins, config.depth_range
        self.is_regressed = config.depth_head == "regression"
        maps = 1 if config.lifting == "shared" else joints
        self.trunk = nn.Sequential(
            ConvolutionBlock(config.level_channels[config.depth_level], width, side=3),
            *(ResidualBlock(width) for _ in range(config.depth_blocks)),
            PyramidPooling(width, config.depth_dilations),
        )
        self.classifier = nn.Conv2d(width, maps if self.is_regressed else maps * self.bins, 1)
        self.encoder = EncoderLayer(width, config.heads, config.depth_feedforward, config.dropout)
        position = sine_position(config.crop_height // stride, config.crop_width // stride, width)
        self.register_buffer("position", position, persistent=False)

    def forward(self, level: Tensor) -> DepthOutput:
        """Estimate depth.

        Args:
            level: One feature level of the backbone [B, C_l, h, w].
        """
        deep = self.trunk(level)  # [B, C, h, w]
        tokens = deep.flatten(2).transpose(1, 2) + self.position
        embedding = self.encoder(tokens)
        if self.is_regressed:
            with full_precision(level.device):
                values = self.classifier(deep.float()).tanh() * self.range
                values = values.expand(-1, self.joints, -1, -1)
                return DepthOutput(None, values, self._share(values), embedding)
        logits = self.classifier(deep).unflatten(1, (-1, self.bins))
        logits = logits.expand(-1, self.joints, -1, -1, -1)  # one map serves all joints
        return DepthOutput(logits, None, _softmax_over_bins(logits), embedding)

    def _share(self, values: Tensor) -> Tensor:
        """Share depths [B, J, h, w] linearly between the two nearest bins: [B, J, D, h, w]."""
        place = (values / self.range + 1) / 2 * self.bins - 0.5
        place = place.clamp(0, self.bins - 1)[:, :, None]
        centres = torch.arange(self.bins, device=values.device).view(-1, 1, 1)
        return (1 - (place - centres).abs()).clamp(min=0)


class ConvolutionBlock(nn.Sequential):
    """Convolve at stride 1, normalise over the batch, rectify."""

    def __init__(
        self, channels: int, width: int, side: int = 1, dilation: int = 1, bias: bool = True
    ) -> None:
        padding = dilation * (side // 2)
        super().__init__(
            nn.Conv2d(channels, width, side, padding=padding, dilation=dilation, bias=bias),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions of the input to it, [B, C, h, w] to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ConvolutionBlock(width, width, side=3, bias=False),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, level: Tensor) -> Tensor:
        """Return the sum, rectified."""
        return F.relu(level + self.residual(level))


class PyramidPooling(nn.Module):
    """Combine surroundings of several sizes at every pixel (ASPP), [B, C, h, w] to the same.

    Source:
        DeepLab v3 (arXiv 1706.05587), as PandaPose's appendix A.2 asks.
    """

    def __init__(self, width: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvolutionBlock(width, width, bias=False),
                *(ConvolutionBlock(width, width, 3, rate, bias=False) for rate in dilations),
            ]
        )
        self.whole = ConvolutionBlock(width, width, bias=False)
        self.merge = ConvolutionBlock((len(dilations) + 2) * width, width, bias=False)

    def forward(self, level: Tensor) -> Tensor:
        """Return the branches and the mean of the whole map, merged."""
        whole = self.whole(level.mean(dim=(2, 3), keepdim=True)).expand_as(level)
        return self.merge(torch.cat([*(b(level) for b in self.branches), whole], dim=1))


class EncoderLayer(nn.Module):
    """Let tokens [B, N, C] attend to each other: one Transformer encoder layer, post-norm."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout)
        self.feedforward_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the encoded tokens [B, N, C]."""
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.attention_norm(tokens + attended)
        return self.feedforward_norm(tokens + self.feedforward(tokens))


def _softmax_over_bins(logits: Tensor) -> Tensor:
    """Return the softmax of [B, J, D, h, w] over D."""
    if torch.onnx.is_in_onnx_export():
        # For a softmax over an axis in the middle, ONNX Runtime transposes: a tenth of the lifter.
        shares = (logits - logits.amax(dim=2, keepdim=True)).exp()
        return shares / shares.sum(dim=2, keepdim=True)
    return logits.softmax(dim=2)


def sine_position(height: int, width: int, channels: int) -> Tensor:
    """Encode the pixels of a map by sines and cosines of v and u.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        channels: Length of a code, a multiple of 4.

    Returns:
        [height * width, channels], in [-1, 1], row by row.

    Source:
        Vaswani et al. (arXiv 1706.03762), in two dimensions as in DETR (arXiv 2005.12872).
    """
    steps = channels // 4
    rates = 2 * math.pi / LONGEST_PERIOD ** (torch.arange(steps) / steps)
    v, u = (((torch.arange(size) + 0.5) / size)[:, None] * rates for size in (height, width))
    v = torch.cat((v.sin(), v.cos()), dim=1)[:, None].expand(-1, width, -1)
    u = torch.cat((u.sin(), u.cos()), dim=1)[None].expand(height, -1, -1)
    return torch.cat((v, u), dim=2).flatten(0, 1)
