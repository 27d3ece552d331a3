"""What JPEG does to pictures, in torch: no file is made, so it runs where the pictures are."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
# Quantisation of quality 50, ITU-T T.81 annex K: brightness, colour.
_BRIGHTNESS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_COLOUR = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_YCC_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Return pictures as they are after JPEG with colours at half the resolution.

    Args:
        images: [B, H, W, 3] uint8 RGB; H and W are multiples of 16.
        quality: [B], 1 to 99, as of libjpeg.

    Returns:
        [B, H, W, 3] uint8 RGB.

    Raises:
        ValueError: If the size is no multiple of 16.
    """
    height, width = images.shape[1:3]
    if height % (2 * _BLOCK) or width % (2 * _BLOCK):
        raise ValueError(f"expected height and width in multiples of 16, got {height} x {width}")
    matrix = torch.tensor(_YCC_FROM_RGB, device=images.device)
    planes = torch.einsum("ck,bhwk->bchw", matrix, images.float())
    quality = quality.to(images.device, torch.float32)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None]
    brightness = _quantise(planes[:, :1] - 128, scale, _BRIGHTNESS) + 128
    colour = functional.avg_pool2d(planes[:, 1:], 2)
    colour = _quantise(colour, scale, _COLOUR)
    colour = functional.interpolate(colour, (height, width), mode="bilinear")
    planes = torch.cat((brightness, colour), dim=1)
    rgb = torch.einsum("kc,bchw->bhwk", torch.linalg.inv(matrix), planes)
    return rgb.round().clamp(0, 255).to(torch.uint8)


def _quantise(planes: Tensor, scale: Tensor, table: tuple[tuple[int, ...], ...]) -> Tensor:
    """Round the cosine transform of each block of planes [B, C, H, W], scale [B, 1, 1]."""
    count, channels, height, width = planes.shape
    step = (torch.tensor(table, device=planes.device) * scale + 0.5).floor().clamp(1, 255)
    step = step[:, None, None, None]
    index = np.arange(_BLOCK)
    basis = np.cos(np.pi / _BLOCK * index[:, None] * (index + 0.5)) / 2
    basis[0] /= np.sqrt(2)
    cosine = torch.as_tensor(basis, dtype=torch.float32, device=planes.device)
    blocks = planes.reshape(
        count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
    ).transpose(3, 4)
    waves = cosine @ blocks @ cosine.T
    blocks = cosine.T @ ((waves / step).round() * step) @ cosine
    return blocks.transpose(3, 4).reshape(planes.shape)
