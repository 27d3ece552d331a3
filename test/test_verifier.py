import pytest
import torch

from pandapose_ros.model.verifier import PresenceVerifier

SIDES = (64, 32, 16)


@pytest.fixture
def verifier():
    torch.manual_seed(0)
    return PresenceVerifier(17, 3 * 8, 256).eval()


def maps(batch):
    return [torch.randn(batch, 8, side, side) for side in SIDES]


@torch.inference_mode()
def test_each_person_of_a_batch_is_judged_alone(verifier):
    features, keypoints = maps(3), torch.rand(3, 17, 2) * 255
    together = verifier(features, keypoints)
    assert together.shape == (3,)
    assert ((together > 0) & (together < 1)).all()
    assert len(set(together.tolist())) == 3
    for i in range(3):
        alone = verifier([level[i : i + 1] for level in features], keypoints[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1])
    assert verifier([level[:0] for level in features], keypoints[:0]).shape == (0,)


@torch.inference_mode()
def test_only_what_is_at_the_keypoints_counts(verifier):
    features = maps(1)
    keypoints = torch.full((1, 17, 2), 60.0)
    before = verifier(features, keypoints)
    for level in features:
        level[..., level.shape[-1] // 2 :] = 5.0  # right of all keypoints
    torch.testing.assert_close(verifier(features, keypoints), before)
    for level in features:
        level[..., : level.shape[-1] // 2] *= -1.0
    assert not torch.allclose(verifier(features, keypoints), before)


@torch.inference_mode()
def test_outside_the_crop_its_edge_is_looked_at(verifier):
    features = maps(1)
    inside = torch.rand(1, 17, 2) * 255
    inside[0, 3] = torch.tensor([-0.5, 100.0])
    outside = inside.clone()
    outside[0, 3, 0] = -400.0
    torch.testing.assert_close(verifier(features, outside), verifier(features, inside))
