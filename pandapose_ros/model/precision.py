"""Where numbers need all their digits although the rest is computed in half of them."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context in which a device computes as it is told, without automatic casts.

    Metres and pixels need it: bfloat16 tells no two lengths near 1 m apart that differ by less
    than 4 mm. Where no casts are going on nothing is done, so that no exporter sees a context.

    Args:
        device: The device of the tensors.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
