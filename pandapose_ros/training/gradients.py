"""Gradients before a step: shortened, and refused if they would spoil the weights."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


def clip_gradients(parameters: Sequence[Tensor], limit: float, step: int) -> None:
    """Shorten the gradient of some parameters to a norm.

    Args:
        parameters: Their gradients are scaled in place.
        limit: Greatest norm of all of them together; 0 or infinite: they stay as they are.
        step: What the message calls the step.

    Raises:
        FloatingPointError: If the gradient is not finite, which a finite loss can have too.
    """
    norm = nn.utils.clip_grad_norm_(parameters, limit or math.inf).item()
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"gradient is not finite at step {step}: its norm is {norm}; "
            "lower the learning rate or look at the samples of this step"
        )
