"""Anchor-to-joint prediction: every anchor votes for every joint; the votes are averaged.

Without anchors, for comparison as in the paper's Table 4, joints are regressed directly.
"""

from typing import NamedTuple

from torch import Tensor, nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.feedforward import Perceptron

HEAD_LAYERS = 3


class Votes(NamedTuple):
    """Hold the anchors' votes, and the joints that they give.

    Attributes:
        joints: [B, J, 3], metres, root-relative, crop-camera axes.
        offsets: From each anchor to each joint [B, A, J, 3], metres.
        weights: [B, A, J] in [0, 1]; they sum to 1 over the anchors.
    """

    joints: Tensor
    offsets: Tensor
    weights: Tensor


class VoteHeads(nn.Module):
    """Predict offsets and weights from the anchor queries, and average the votes.

    offset_aj = (MLP(query_a))_j, weight_aj = softmax over a of (MLP'(query_a))_j

    The last layers start at zero: training starts from the mean anchor.

    Source:
        PandaPose, section 3.6. Our choice: perceptrons of three layers, as in A2J-Transformer
        (arXiv 2304.03635), and offsets in metres.
    """

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__()
        width = config.width
        self.offsets = Perceptron(width, width, joints * 3, HEAD_LAYERS)
        self.weight_logits = Perceptron(width, width, joints, HEAD_LAYERS)
        for head in (self.offsets, self.weight_logits):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, queries: Tensor, anchors: Tensor) -> Votes:
        """Let every anchor vote.

        Args:
            queries: [B, A, C].
            anchors: [B, A, 3], metres, root-relative, crop-camera axes.

        Returns:
            The votes and the joints.
        """
        offsets = self.offsets(queries).unflatten(2, (-1, 3))  # [B, A, J, 3]
        weights = self.weight_logits(queries).softmax(dim=1)
        return Votes(ensemble_joints(anchors, offsets, weights), offsets, weights)


class RegressionHeads(nn.Module):
    """Predict each joint from its own query, without anchors; starts at the pelvis.

    Source:
        PandaPose, Table 4, first row (direct regression from the decoder's output).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.joints = Perceptron(config.width, config.width, 3, HEAD_LAYERS)
        for parameter in self.joints[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, queries: Tensor, anchors: Tensor) -> Votes:
        """Regress the joints.

        Args:
            queries: One per joint [B, J, C].
            anchors: Empty [B, 0, 3].

        Returns:
            The joints, and no votes: offsets [B, 0, J, 3], weights [B, 0, J].
        """
        B, J, _ = queries.shape
        weights = anchors.new_zeros(B, 0, J)
        return Votes(self.joints(queries), weights[..., None].expand(-1, -1, -1, 3), weights)


def ensemble_joints(anchors: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Average the anchors' votes into one 3D position per joint.

    joint_j = sum_a weight[a, j] * (anchor_a + offset[a, j])

    Args:
        anchors: [B, A, 3], metres, any frame.
        offsets: [B, A, J, 3], metres, the same axes.
        weights: [B, A, J]; they sum to 1 over the anchors.

    Returns:
        Joints [B, J, 3], metres, the frame of the anchors.

    Source:
        PandaPose, section 3.6.
    """
    return weights.transpose(1, 2) @ anchors + (weights[..., None] * offsets).sum(dim=1)
