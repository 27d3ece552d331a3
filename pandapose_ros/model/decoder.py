"""Decoder layer: anchors attend to depth, to each other, and to the lifted image features."""

from typing import NamedTuple

from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.deformable_attention import DeformableAttention3D
from pandapose_ros.model.feedforward import FeedForward
from pandapose_ros.model.tokens import ImageTokens


class ImageMemory(NamedTuple):
    """Hold what the decoder reads of an image.

    Attributes:
        depth_embedding: [B, N_depth, C]; None if features are not lifted.
        tokens: The sampled pixels with their depth.
    """

    depth_embedding: Tensor | None
    tokens: ImageTokens


class DecoderLayer(nn.Module):
    """Refine the anchors' queries once.

    With queries Q, their position codes P and their reference points R:

    Q = norm(Q + attention(Q + P, depth embedding))
    Q = norm(Q + self-attention(Q, P))
    Q = norm(Q + deformable attention(Q + P, R, lifted features))
    Q = norm(Q + feed-forward(Q))

    Without an image, the first and the third add nothing; if features are not lifted, there is no
    attention to depth.

    Source:
        PandaPose, section 3.5: depth cross-attention, inter-anchor self-attention, 3D deformable
        cross-attention. Our choice: normalisation after the sum, a feed-forward block at the
        end, and separate projections of content and position in self-attention (as in MonoDETR,
        arXiv 2203.13310); with them the paper's parameter count is met.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        self.depth_attention = None
        if config.lifting != "none":
            self.depth_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.depth_norm = nn.LayerNorm(width)
        self.anchor_attention = AnchorAttention(width, heads, dropout)
        self.anchor_norm = nn.LayerNorm(width)
        self.image_attention = DeformableAttention3D(config)
        self.image_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, config.feedforward, dropout)
        self.feedforward_norm = nn.LayerNorm(width)

    def forward(
        self, queries: Tensor, positions: Tensor, reference: Tensor, memory: ImageMemory | None
    ) -> Tensor:
        """Refine the queries.

        Args:
            queries: [B, A, C].
            positions: Code of each anchor's position [B, A, C].
            reference: The anchors [B, A, 3], grid units.
            memory: What is known of the image; None without one.

        Returns:
            [B, A, C].
        """
        if memory is not None and self.depth_attention is not None:
            depth = memory.depth_embedding
            seen, _ = self.depth_attention(queries + positions, depth, depth, need_weights=False)
            queries = queries + seen
        queries = self.depth_norm(queries)
        queries = self.anchor_norm(queries + self.anchor_attention(queries, positions))
        if memory is not None:
            queries = queries + self.image_attention(queries + positions, reference, memory.tokens)
        queries = self.image_norm(queries)
        return self.feedforward_norm(queries + self.feedforward(queries))


class AnchorAttention(nn.Module):
    """Let the anchors attend to each other, by content and by position.

    query = W_qc Q + W_qp P, key = W_kc Q + W_kp P, value = Q, then multi-head attention
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query_content = nn.Linear(width, width)
        self.query_position = nn.Linear(width, width)
        self.key_content = nn.Linear(width, width)
        self.key_position = nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)

    def forward(self, queries: Tensor, positions: Tensor) -> Tensor:
        """Return the attended contents [B, A, C] of queries and position codes [B, A, C]."""
        query = self.query_content(queries) + self.query_position(positions)
        key = self.key_content(queries) + self.key_position(positions)
        return self.attention(query, key, queries, need_weights=False)[0]
