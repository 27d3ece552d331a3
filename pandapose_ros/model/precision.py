"""What is computed in full precision although the rest of a network is not."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context in which nothing is cast automatically (autocast is off).

    Metres and pixels need it: in bfloat16, lengths near 1 m are multiples of 4 to 8 mm. Where
    autocast is off anyway, the context is a null one, so that exporters do not see it.

    Args:
        device: The device of the tensors.
    """
    return torch.autocast(device.type, enabled=False) if _casts(device) else nullcontext()


def finite_place(places: Tensor, *, training: bool = False) -> Tensor:
    """Return positions with NaN and infinity replaced by 0, where these may occur.

    They may under autocast, as fp16 can overflow, and in training, which can diverge. Indices made
    from them would be out of range, after which the process could not use the GPU any more.

    Args:
        places: Of any shape and unit.
        training: Whether the calling network is in training.
    """
    return places.nan_to_num(0.0, 0.0, 0.0) if training or _casts(places.device) else places


def _casts(device: torch.device) -> bool:
    """Return whether autocast is on."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
