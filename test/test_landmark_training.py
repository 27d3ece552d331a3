import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_images import write_clip_images

from pandapose_ros.config import (
    LandmarkTrainConfig,
    SkeletonSampleConfig,
)
from pandapose_ros.data.landmark_crops import LandmarkCropSource
from pandapose_ros.evaluation.landmark_scores import score_landmarks, share_of_wrong_turns
from pandapose_ros.people.region import region_from_points
from pandapose_ros.skeleton import H36M_17_FROM_BLAZEPOSE
from pandapose_ros.training.landmark_losses import landmark_loss
from pandapose_ros.training.landmarks import LandmarkTrainer

SMALL = LandmarkTrainConfig(steps=6, batch=4, warm_up=2, learning_rate=1e-4, save_every=2)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_clip_images(tmp_path_factory.mktemp("images"))


def source(images, **changes):
    return LandmarkCropSource(images, replace(SMALL, **changes), SkeletonSampleConfig())


def trainer_of(net, batch, **changes):
    config = replace(SMALL, **changes)
    return LandmarkTrainer(net, net, config, lambda _: batch, torch.device("cpu"))


def test_truth_lies_on_what_the_crops_show(images, landmark_net):
    batch = source(images, batch=12, background=0.0, misplaced=0.0).batch(0)
    assert batch.crops.shape == (12, 3, 256, 256)
    assert 0 <= batch.crops.min() < batch.crops.max() <= 1
    assert (batch.shows_person == 1).all()
    with torch.inference_mode():
        seen = landmark_net(batch.crops)
    keypoints = torch.from_numpy(H36M_17_FROM_BLAZEPOSE) @ seen.landmarks_px[:, :33]
    # A mirrored person with sides not exchanged would be tens of pixels off.
    assert (keypoints - batch.keypoints).norm(dim=-1).mean() < 12
    world = torch.from_numpy(H36M_17_FROM_BLAZEPOSE) @ seen.world_landmarks[:, :33]
    assert (world - batch.joints).norm(dim=-1).mean() < 0.13
    assert (batch.joints[:, 0] == 0).all()


def test_region_is_where_a_tracker_would_look_next(images, landmark_net):
    batch = source(images, batch=6, background=0.0, misplaced=0.0).batch(0)
    with torch.inference_mode():
        seen = landmark_net(batch.crops).landmarks_px[:, 33:35]
    for said, true in zip(seen.numpy(), batch.region.numpy(), strict=True):
        expected, region = region_from_points(*said), region_from_points(*true)
        assert np.hypot(*np.subtract(expected.centre, region.centre)) < 0.1 * expected.size
        assert 0.75 < region.size / expected.size < 1.35
        assert abs(np.angle(np.exp(1j * (region.angle - expected.angle)))) < 0.3


def turns(batch):
    """How far the regions of the next image are turned against the crops [rad]."""
    return np.array([region_from_points(*points).angle for points in batch.region.numpy()])


def test_misplaced_crops_are_of_any_turn_and_size(images):
    batch = source(images, batch=40, background=0.0, misplaced=1.0).batch(0)
    assert (batch.is_placed == 0).all()
    assert 8 <= (np.abs(turns(batch)) > np.pi / 2).sum() <= 32
    sizes = [region_from_points(*points).size / 256 for points in batch.region.numpy()]
    assert min(sizes) < 0.9
    assert max(sizes) > 1.5
    some = source(images, batch=40, background=0.0, misplaced=0.3).batch(0)
    placed = some.is_placed.numpy() > 0
    assert 20 <= placed.sum() <= 36
    assert np.abs(turns(some))[placed].max() < 0.4
    rounded = np.round(turns(batch) / (np.pi / 2)) % 4
    assert np.array_equal(batch.quarter_turns.numpy(), rounded)
    assert set(rounded) == {0, 1, 2, 3}


def test_of_misplaced_crops_only_the_turn_is_asked_for(images, landmark_net):
    batch = source(images, batch=4, background=0.0, misplaced=0.0).batch(0)
    assert (batch.quarter_turns == 0).all()
    misplaced = batch._replace(is_placed=torch.tensor([0.0, 1.0, 1.0, 1.0]))
    names = ("keypoints", "joints", "region")
    wrong = {name: getattr(batch, name).clone() for name in names}
    for part in wrong.values():
        part[0] += 5.0
    with torch.inference_mode():
        seen = landmark_net(batch.crops)
        before = landmark_net(batch.crops[::4])

    def loss(of):
        return landmark_loss(seen, before, of, 0.25).total.item()

    for name, part in wrong.items():
        assert loss(batch._replace(**{name: part})) > loss(batch) + 0.01
        assert loss(misplaced._replace(**{name: part})) == loss(misplaced)
    turned = misplaced._replace(quarter_turns=torch.tensor([2.0, 0.0, 0.0, 0.0]))
    assert loss(turned) > loss(misplaced) + 1  # MediaPipe's net calls everybody upright


def test_crops_of_nobody_show_nobody(images):
    batch = source(images, batch=12, background=1.0).batch(0)
    alone = batch.shows_person == 0
    assert alone.sum() >= 8  # the others are of people who leave no room
    inside = ((batch.keypoints > 0) & (batch.keypoints < 255)).all(dim=-1)
    assert not inside[alone].any()


def is_filter(net, key):
    """Tell whether a tensor is of a depthwise convolution."""
    return net.get_submodule(key.rpartition(".")[0]).groups > 1


# A step in bfloat16 takes a CPU twenty times as long as one in float32.
@pytest.mark.parametrize(("bfloat16", "people", "steps"), [(False, 4, 6), (True, 2, 3)])
def test_net_and_refiner_are_taught_together_and_filters_can_stay(
    images, landmark_net, bfloat16, people, steps
):
    batch = source(images, background=0.0, misplaced=0.0, batch=people).batch(0)
    options = {"refined": True, "fixed_filters": True, "learning_rate": 3e-4}
    trainer = trainer_of(landmark_net, batch, bfloat16=bfloat16, **options)
    losses = [trainer.advance().keypoints_px.item() for _ in range(steps)]
    assert losses[-1] < 0.9 * losses[0]
    before, averaged = landmark_net.state_dict(), trainer.averaged()
    assert averaged.refiner is not None
    for key, value in averaged.state_dict().items():
        if key.startswith("steps."):
            is_early = int(key.split(".")[1]) < averaged.early_steps
            assert torch.equal(value, before[key]) == (is_early or is_filter(averaged, key)), key
    with torch.inference_mode():
        seen = averaged(batch.crops)
    assert all(level.dtype == torch.float32 for level in seen.features)
    sums = torch.from_numpy(H36M_17_FROM_BLAZEPOSE) @ seen.landmarks_px[:, :33]
    assert not torch.allclose(sums, seen.keypoints_px, atol=0.1)


def test_a_refined_net_is_taught_its_sums_too(images, landmark_net):
    batch = source(images, background=0.0, misplaced=0.0).batch(0)
    with torch.inference_mode():
        seen, before = landmark_net(batch.crops), landmark_net(batch.crops[::4])
    refined = replace(seen, keypoints_px=batch.keypoints)
    loss = landmark_loss(refined, before, batch, 0.25, is_refined=True)
    assert loss.keypoints_px == 0
    worse = replace(refined, landmarks_px=seen.landmarks_px + 30.0)
    without = landmark_loss(worse, before, batch, 0.0, is_refined=True).total
    assert without > landmark_loss(refined, before, batch, 0.0, is_refined=True).total + 0.5


def test_a_batch_hangs_on_its_number_alone(images):
    first, again, other = source(images).batch(3), source(images).batch(3), source(images).batch(4)
    assert torch.equal(first.crops, again.crops)
    assert not torch.equal(first.crops, other.crops)


def test_loss_falls_on_one_batch_and_the_first_steps_stay(images, landmark_net):
    batch = source(images, background=0.3).batch(0)
    trainer = LandmarkTrainer(
        landmark_net, landmark_net, SMALL, lambda _: batch, torch.device("cpu")
    )
    before = {key: value.clone() for key, value in landmark_net.state_dict().items()}
    losses = [trainer.advance().total.item() for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
    for key, value in landmark_net.state_dict().items():
        assert torch.equal(value, before[key])
    for key, value in trainer.averaged().state_dict().items():
        is_frozen = int(key.split(".")[1]) < 19  # down to stride 8
        assert torch.equal(value, before[key]) == is_frozen, key


@pytest.mark.parametrize("part", ["net", "_probes"])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_spoilt(
    images, landmark_net, part
):
    trainer = trainer_of(landmark_net, source(images, background=0.0).batch(0))
    own = [p for p in getattr(trainer, part).parameters() if p.requires_grad]
    before = [p.detach().clone() for p in own]
    own[0].register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(FloatingPointError, match="gradient is not finite at step 0"):
        trainer.advance()
    for value, parameter in zip(before, own, strict=True):
        assert torch.equal(value, parameter)


def test_visibilities_alone_can_be_taught(images, landmark_net):
    batch = source(images, background=0.0, covered=1.0).batch(0)
    trainer = trainer_of(landmark_net, batch, visibilities_only=True, learning_rate=1e-2)
    for _ in range(3):
        trainer.advance()
    with torch.inference_mode():
        before, after = landmark_net(batch.crops), trainer.averaged()(batch.crops)
    for old, new in zip(before.features, after.features, strict=True):
        assert torch.equal(old, new)
    assert torch.equal(before.landmarks_px, after.landmarks_px)
    assert not torch.equal(before.visibilities, after.visibilities)


def test_refining_keypoints_alone_can_be_taught(images, landmark_net):
    batch = source(images, background=0.0, misplaced=0.0).batch(0)
    trainer = trainer_of(landmark_net, batch, keypoints_only=True, learning_rate=3e-3)
    losses = [trainer.advance().keypoints_px.item() for _ in range(6)]
    assert losses[-1] < 0.95 * losses[0]
    with torch.inference_mode():
        before, after = landmark_net(batch.crops), trainer.averaged()(batch.crops)
    for old, new in zip(before.features, after.features, strict=True):
        assert torch.equal(old, new)
    assert torch.equal(before.landmarks_px, after.landmarks_px)
    assert torch.equal(before.visibilities, after.visibilities)
    assert not torch.equal(before.keypoints_px, after.keypoints_px)
    # Other landmarks and features would not fit what refines them.
    assert trainer_of(trainer.averaged(), batch).averaged().refiner is None
    assert trainer_of(trainer.averaged(), batch, visibilities_only=True).averaged().refiner
    with pytest.raises(ValueError, match="at most"):
        trainer_of(landmark_net, batch, keypoints_only=True, visibilities_only=True)


def test_keypoints_are_not_refined_to_be_believed(images, landmark_net):
    net = copy.deepcopy(landmark_net)
    net.add_verifier()
    net.add_refiner().requires_grad_(True)
    seen = net(source(images).batch(0).crops)
    assert seen.keypoints_px.requires_grad
    assert not seen.verifications.requires_grad


def test_who_is_nobody_alone_can_be_taught(images, landmark_net):
    batch = source(images, background=0.5, misplaced=0.0, batch=8).batch(0)
    net = copy.deepcopy(landmark_net)
    net.presence_head().bias.data += 30.0  # everybody is somebody
    options = {"presence_only": True, "learning_rate": 3e-3, "average": 0.5, "steps": 16}
    trainer = trainer_of(net, batch, **options)
    for _ in range(12):
        trainer.advance()
    after = trainer.averaged()
    with torch.inference_mode():
        old, new = net(batch.crops), after(batch.crops)
    for name in ("landmarks_px", "visibilities", "world_landmarks", "keypoints_px"):
        assert torch.equal(getattr(old, name), getattr(new, name))
    for level, other in zip(old.features, new.features, strict=True):
        assert torch.equal(level, other)
    is_person = batch.shows_person > 0
    verified = after.verifier(new.features, new.keypoints_px)
    assert 0 < is_person.sum() < len(is_person)
    assert verified[~is_person].max() < 0.5 < verified[is_person].min()
    torch.testing.assert_close(new.verifications, verified)
    assert torch.equal(new.presences, old.presences)
    assert (old.verifications == 1).all()
    # Other features would not fit it.
    assert trainer_of(after, batch).averaged().verifier is None
    assert trainer_of(after, batch, visibilities_only=True).averaged().verifier


def test_a_loss_that_is_not_finite_ends_it(images, landmark_net):
    broken = source(images).batch(0)._replace(joints=torch.full((4, 17, 3), torch.nan))
    trainer = LandmarkTrainer(
        landmark_net, landmark_net, SMALL, lambda _: broken, torch.device("cpu")
    )
    with pytest.raises(FloatingPointError, match=r"not finite at step 0: .*joints_m.: nan"):
        trainer.advance()


def test_scores_are_those_of_joints_in_crops_of_people(images, landmark_net):
    batch = source(images, background=0.0, misplaced=0.0).batch(0)
    with torch.inference_mode():
        seen = landmark_net(batch.crops)
    matrix = torch.from_numpy(H36M_17_FROM_BLAZEPOSE)
    true = batch._replace(
        keypoints=seen.keypoints_px + torch.tensor([3.0, 4.0]),
        joints=matrix @ seen.world_landmarks[:, :33] + torch.tensor([0.0, 0.0, 0.02]),
    )
    true.keypoints[0, 3] = 1000.0  # outside of the crop
    true.shows_person[1] = 0
    true.keypoints[1], true.joints[1] = 0.0, 9.0
    scores = score_landmarks(landmark_net, [true])
    assert scores == pytest.approx({"keypoints_px": 5.0, "joints_mm": 20.0}, abs=0.02)


def test_turns_are_wrong_if_they_are_not_those_of_the_crop(images, landmark_net):
    batch = source(images, background=0.0, misplaced=0.0).batch(0)
    assert share_of_wrong_turns(landmark_net, [batch]) == 0
    turned = batch._replace(quarter_turns=torch.tensor([0.0, 2.0, 0.0, 0.0]))
    assert share_of_wrong_turns(landmark_net, [turned]) == 0.25
    nobody = turned._replace(shows_person=torch.tensor([1.0, 0.0, 1.0, 1.0]))
    assert share_of_wrong_turns(landmark_net, [nobody]) == 0
