"""Multi-layer perceptrons: the feed-forward block of attention layers, and small heads."""

from itertools import pairwise

from torch import nn


class FeedForward(nn.Sequential):
    """Map each token [..., C] through one hidden layer, to the same shape."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )


class Perceptron(nn.Sequential):
    """Map each token [..., inputs] to [..., outputs] by linear layers with ReLUs between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        sizes = [inputs, *[hidden] * (layers - 1), outputs]
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*parts[:-1])
