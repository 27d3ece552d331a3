"""Parts of real pictures for renders: behind people, on their clothes, on what covers them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_GAMMA = 2.2
_LEAST_PART = 0.25  # of the largest part of a picture that has the shape that is asked for
_BRIGHTNESS = (0.5, 1.3)


class Prints:
    """Cut parts out of pictures at random.

    Args:
        pictures: Each [H, W, 3], RGB, uint8, at least 8 pixels high and wide.

    Raises:
        ValueError: If there are none, or one is too small.

    Source:
        Our choice. Renders of people before photographs are customary since SURREAL (Varol et
        al., CVPR 2017); a net that knows photographs forgets less of them.
    """

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        if not pictures or min(min(picture.shape[:2]) for picture in pictures) < 8:
            raise ValueError("expected pictures of at least 8 x 8 pixels")
        self._pictures = [torch.from_numpy(picture) for picture in pictures]

    def cut(
        self, count: int, size: tuple[int, int], rng: np.random.Generator, device: torch.device
    ) -> Tensor:
        """Return parts of pictures [count, H, W, 3], linear RGB, [0, 1].

        Args:
            count: Of parts, each of a picture of its own choice.
            size: (width, height) in pixels.
            rng: Drives every choice.
            device: Where the result lives.
        """
        parts = [self._part(size, rng, device) for _ in range(count)]
        return torch.stack(parts) if parts else torch.zeros(0, *size[::-1], 3, device=device)

    def _part(
        self, size: tuple[int, int], rng: np.random.Generator, device: torch.device
    ) -> Tensor:
        """Return a part of one picture [H, W, 3], mirrored or not."""
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        height, width, _ = picture.shape
        pixel = min(width / size[0], height / size[1]) * rng.uniform(_LEAST_PART, 1.0)
        columns, rows = max(1, int(pixel * size[0])), max(1, int(pixel * size[1]))
        u = int(rng.integers(width - columns + 1))
        v = int(rng.integers(height - rows + 1))
        part = picture[v : v + rows, u : u + columns].to(device).permute(2, 0, 1)[None]
        scaled = functional.interpolate(
            part.float() / 255, size[::-1], mode="bilinear", antialias=columns > size[0]
        )
        if rng.random() < 0.5:
            scaled = scaled.flip(-1)
        lit = scaled.clamp(0, 1) ** _GAMMA * rng.uniform(*_BRIGHTNESS)
        return lit[0].permute(1, 2, 0).clamp(0, 1)
