import pytest
import torch

from pandapose_ros.model.refiner import KeypointRefiner

SIDES = (64, 32, 16)


@pytest.fixture
def refiner():
    torch.manual_seed(0)
    return KeypointRefiner(17, 8, 256, SIDES).eval()


def maps(batch, channels=8):
    return [torch.randn(batch, channels, side, side) for side in SIDES]


def say(refiner, weight):
    """Let the heat of every joint be that of the first fine channel alone."""
    with torch.no_grad():
        refiner.heat.weight.zero_()
        refiner.heat.bias.zero_()
        refiner.heat.weight[:, 0] = weight
        refiner.coarse.weight.zero_()
        refiner.coarse.bias.zero_()
        refiner.fine.weight.zero_()
        refiner.fine.bias.zero_()
        refiner.fine.weight[0, 0] = 1.0


@torch.inference_mode()
def test_maps_that_say_nothing_move_nothing(refiner):
    say(refiner, 0.0)
    keypoints = torch.rand(3, 17, 2) * 150 + 50
    torch.testing.assert_close(refiner(maps(3), keypoints), keypoints, atol=1e-2, rtol=0)


@torch.inference_mode()
def test_keypoints_move_to_what_is_near_them(refiner):
    say(refiner, 20.0)
    features = [torch.zeros(1, 8, side, side) for side in SIDES]
    features[0][0, 0, 30, 20] = 1.0  # row, column: its centre is at u = 81.5, v = 121.5
    features[0][0, 0, 60, 60] = 1.0  # somebody else's
    keypoints = torch.tensor([75.0, 130.0]).expand(1, 17, 2)
    moved = refiner(features, keypoints)
    torch.testing.assert_close(
        moved, torch.tensor([81.5, 121.5]).expand(1, 17, 2), atol=0.5, rtol=0
    )


@torch.inference_mode()
def test_what_lies_outside_the_crop_stays_there(refiner):
    keypoints = torch.rand(2, 17, 2) * 200 + 20
    keypoints[0, 3], keypoints[1, 5] = torch.tensor([-30.0, 90.0]), torch.tensor([90.0, 1e6])
    moved = refiner(maps(2), keypoints)
    assert torch.isfinite(moved).all()
    stays = (moved == keypoints).all(dim=-1)
    assert stays.nonzero().tolist() == [[0, 3], [1, 5]]


@torch.inference_mode()
def test_people_of_a_batch_are_refined_each_by_themselves(refiner):
    features, keypoints = maps(3), torch.rand(3, 17, 2) * 256
    together = refiner(features, keypoints)
    for i in range(3):
        alone = refiner([level[i : i + 1] for level in features], keypoints[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-3, rtol=0)
    assert refiner([level[:0] for level in features], keypoints[:0]).shape == (0, 17, 2)
