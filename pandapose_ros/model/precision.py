"""Where numbers need all their digits although the rest is computed in half of them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context in which a device computes as it is told, without automatic casts.

    Metres and pixels need it: bfloat16 tells no two lengths near 1 m apart that differ by less
    than 4 mm. Where no casts are going on nothing is done, so that no exporter sees a context.

    Args:
        device: The device of the tensors.
    """
    return torch.autocast(device.type, enabled=False) if _casts(device) else nullcontext()


def finite_place(places: Tensor, *, training: bool = False) -> Tensor:
    """Return places with 0 for NaN and infinity, where there may be such.

    That is where automatic casts go on, as fp16 may overflow, and in training, as that may
    diverge. They become indices out of range, and after one of those a GPU serves the process no
    more.

    Args:
        places: Of any shape and unit.
        training: Whether a network in training asks.
    """
    return places.nan_to_num(0.0, 0.0, 0.0) if training or _casts(places.device) else places


def _casts(device: torch.device) -> bool:
    """Tell whether automatic casts go on."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
