import torch

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.ensemble import VoteHeads, ensemble_joints

B, A, J = 2, 7, 5


def test_equals_a_loop_over_the_anchors():
    torch.manual_seed(0)
    anchors, offsets = torch.randn(B, A, 3), torch.randn(B, A, J, 3)
    weights = torch.randn(B, A, J).softmax(dim=1)
    joints = ensemble_joints(anchors, offsets, weights)
    for b in range(B):
        for j in range(J):
            expected = torch.zeros(3)
            for a in range(A):
                expected += weights[b, a, j] * (anchors[b, a] + offsets[b, a, j])
            assert torch.allclose(joints[b, j], expected, atol=1e-6)


def test_one_anchor_with_all_the_weight_decides():
    anchors, offsets = torch.randn(B, A, 3), torch.randn(B, A, J, 3)
    weights = torch.zeros(B, A, J)
    weights[:, 4] = 1
    joints = ensemble_joints(anchors, offsets, weights)
    assert torch.allclose(joints, anchors[:, 4, None] + offsets[:, 4], atol=1e-6)


def test_new_heads_return_the_mean_anchor():
    torch.manual_seed(0)
    anchors = torch.randn(B, A, 3)
    votes = VoteHeads(ModelConfig(width=16), J)(torch.randn(B, A, 16), anchors)
    assert torch.allclose(
        votes.joints, anchors.mean(dim=1, keepdim=True).expand(B, J, 3), atol=1e-6
    )
    assert (votes.offsets == 0).all()
    assert torch.allclose(votes.weights, torch.full((B, A, J), 1 / A))
