"""What a camera makes of light: exposure, gamma, a shaken hand, blur and noise."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_GAMMA = (0.9, 2.2)
_EXPOSURE = (0.6, 1.4)
_BLUR_PX = (0.45, 1.3)  # deviation of a Gaussian
_MOST_NOISE = 0.05  # deviation, of white
_SHAKEN, _SHAKE_PX = 0.15, (2.0, 8.0)  # share of images, length of the streak
_SHAKE_TAPS = 9


def photograph(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn linear light into pixels.

    Args:
        images: [B, H, W, 3], linear RGB.
        rng: Drives every choice.

    Returns:
        [B, H, W, 3] uint8.
    """
    count, device = len(images), images.device

    def drawn(low: float, high: float) -> Tensor:
        values = torch.as_tensor(rng.uniform(low, high, count), dtype=torch.float32)
        return values.to(device)[:, None, None, None]

    lit = _shake((images * drawn(*_EXPOSURE)).permute(0, 3, 1, 2), rng)
    exposed = lit.clamp(0, 1) ** (1 / drawn(*_GAMMA))
    exposed = _blur(exposed, drawn(*_BLUR_PX)).permute(0, 2, 3, 1)
    noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    grain = torch.randn(images.shape[:3], generator=noise, device=device)[..., None]
    noisy = exposed + grain * (_MOST_NOISE * drawn(0.0, 1.0) ** 2)
    return (noisy.clamp(0, 1) * 255).round().to(torch.uint8)


def _shake(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur some of [B, 3, H, W] along a line, as a moving camera does."""
    chosen = np.flatnonzero(rng.random(len(images)) < _SHAKEN)
    if not len(chosen):
        return images
    length, angle = rng.uniform(*_SHAKE_PX, len(chosen)), rng.uniform(0, np.pi, len(chosen))
    steps = np.linspace(-0.5, 0.5, 2 * _SHAKE_TAPS)[:, None] * length
    column, row = np.round((steps * np.cos(angle), steps * np.sin(angle))).astype(int)
    kernels = np.zeros((len(chosen), _SHAKE_TAPS, _SHAKE_TAPS), np.float32)
    middle = _SHAKE_TAPS // 2
    np.add.at(kernels, (np.arange(len(chosen)), row + middle, column + middle), 1 / len(steps))
    index = torch.as_tensor(chosen, device=images.device)
    some = _filter(images[index], torch.as_tensor(kernels, device=images.device))
    return images.index_copy(0, index, some)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur [B, 3, H, W] by a 5-tap Gaussian of width sigma [B, 1, 1, 1] pixels."""
    taps = torch.arange(-2, 3, device=images.device)
    kernel = torch.exp(-0.5 * (taps / sigma[:, 0, 0]) ** 2)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return _filter(_filter(images, kernel[:, :, None]), kernel[:, None])


def _filter(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter every channel of images [B, 3, H, W] with the image's kernel [B, R, S]."""
    rows, columns = kernels.shape[1] // 2, kernels.shape[2] // 2
    stacked = images.reshape(1, -1, *images.shape[2:])
    padded = functional.pad(stacked, (columns, columns, rows, rows), mode="replicate")
    each = kernels.repeat_interleave(images.shape[1], dim=0)[:, None]
    return functional.conv2d(padded, each, groups=len(each)).reshape(images.shape)
