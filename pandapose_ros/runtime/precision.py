"""Networks in half precision: which numbers keep all their digits, and how much is lost."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)


def casts(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return a context in which a network of `reduced` computes.

    Args:
        device: Of the network.
        dtype: As for `reduced`; with float32 nothing is cast.
    """
    if dtype == torch.float32:
        return nullcontext()
    # Weights are stored in half already; a cache of them could not be part of a CUDA graph.
    return torch.autocast(device.type, dtype, cache_enabled=False)


def reduced(network: Network, dtype: torch.dtype, run: Callable[[Network], object]) -> Network:
    """Copy a network for estimating only, with weights of another type where that may be.

    Batch normalisation becomes part of the convolution before it. Layers that are called within
    `model.precision.full_precision` keep float32, and so do all norms.

    Args:
        network: In evaluation mode.
        dtype: float32, float16 or bfloat16.
        run: Calls the network that it is given once, as it will be used.

    Returns:
        The copy; to be run within `casts`.
    """
    network = copy.deepcopy(network).requires_grad_(False)
    device = next(network.parameters()).device
    fold_batch_norms(network)
    if dtype == torch.float32:
        return network
    is_cast: dict[nn.Module, bool] = {}

    def note(module: nn.Module, _: object) -> None:
        is_cast[module] = is_cast.get(module, True) and torch.is_autocast_enabled(device.type)

    layers = [module for module in network.modules() if isinstance(module, _LAYERS)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.inference_mode(), casts(device, dtype):
        run(network)
    for hook in hooks:
        hook.remove()
    for layer, may_be_cast in is_cast.items():
        if may_be_cast:
            layer.to(dtype)
    return network


def fold_batch_norms(network: nn.Module) -> None:
    """Make every batch normalisation part of the convolution before it.

    Args:
        network: In evaluation mode; its modules are registered in the order in which they are
            called, as they are everywhere in this package.
    """
    for parent in network.modules():
        for (name, layer), (norm_name, norm) in pairwise(list(parent.named_children())):
            if type(layer) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                setattr(parent, name, fuse_conv_bn_eval(layer, norm))
                setattr(parent, norm_name, nn.Identity())


def joint_error(joints: Tensor, reference: Tensor) -> float:
    """Return the mean distance of root-relative joints [B, J, 3], metres; NaN if one is NaN."""
    apart = (joints - joints[:, :1]) - (reference - reference[:, :1])
    return float(apart.double().norm(dim=-1).mean())
