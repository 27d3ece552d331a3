import math
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch._subclasses import FakeTensorMode

from pandapose_ros.checkpoint import load_weights
from pandapose_ros.config import LossConfig, ModelConfig, TrainConfig
from pandapose_ros.model.ensemble import ensemble_joints
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.training.anchor_growth import grow_anchors, quarter_anchors
from pandapose_ros.training.gradients import clip_gradients
from pandapose_ros.training.loop import (
    WEIGHTS_FILE,
    Batch,
    Trainer,
    learning_rate,
    silence_image_branches,
)
from pandapose_ros.training.state import STATE_FILE, optimizer_tensors, restore_optimizer

MODEL = replace(
    ModelConfig(), width=32, heads=2, layers=1, local_anchors=4, feedforward=32, dropout=0.1
)
CONFIG = TrainConfig(steps=10, warm_up=2, learning_rate=1e-3)
pytestmark = pytest.mark.usefixtures("one_thread")


def network(config=MODEL, seed=0):
    torch.manual_seed(seed)
    return PandaPose(config, nn.Identity())


def draw(step):
    generator = torch.Generator().manual_seed(step)
    keypoints = torch.rand(2, 17, 2, generator=generator) * 256
    joints = torch.rand(2, 17, 3, generator=generator) - 0.5
    if step % 2:
        return Batch(keypoints, joints, None)
    features = [torch.randn(2, 48, side, side, generator=generator) for side in (64, 32, 16)]
    return Batch(keypoints, joints, features)


def test_resumed_equals_uninterrupted(tmp_path):
    straight = Trainer(network(), CONFIG, draw)
    results = [straight.advance() for _ in range(4)]
    first = Trainer(network(), CONFIG, draw)
    for _ in range(2):
        first.advance()
    first.save(tmp_path, {})
    second = Trainer(network(seed=1), CONFIG, draw)
    second.resume(tmp_path)
    assert second.step == 2
    assert [second.advance() for _ in range(2)] == results[2:]
    for key, tensor in straight.net.lifter_state_dict().items():
        assert torch.equal(tensor, second.net.lifter_state_dict()[key]), key
    with straight.averaged() as a:
        averaged = {key: tensor.clone() for key, tensor in a.lifter_state_dict().items()}
    with second.averaged() as b:
        for key, tensor in b.lifter_state_dict().items():
            assert torch.equal(tensor, averaged[key]), key


def test_a_run_goes_on_with_the_data_that_it_began_with(tmp_path):
    begun = Trainer(network(), CONFIG, draw, data={"bodies": True})
    begun.advance()
    begun.save(tmp_path, {})
    with pytest.raises(ValueError, match="another data configuration: bodies: expected False"):
        Trainer(network(), CONFIG, draw, data={"bodies": False}).resume(tmp_path)
    path = tmp_path / STATE_FILE
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    del told["data"]  # as older versions wrote it
    path.write_bytes(save(load_file(path), told))
    again = Trainer(network(), CONFIG, draw, data={"bodies": False})
    again.resume(tmp_path)
    assert again.step == 1


# A fused kernel reads the count of steps on the GPU; elsewhere it would have to wait for it.
@pytest.mark.parametrize(("is_fused", "counts_on"), [(True, "cuda"), (False, "cpu")])
def test_an_optimiser_remembers_where_it_looks_for_it(is_fused, counts_on):
    with FakeTensorMode():  # its GPU computes nothing, but can tell what would be there
        parameters = [nn.Parameter(torch.ones(size, device="cuda:0")) for size in (3, 2)]
        optimizers = [
            torch.optim.AdamW([{"params": [p]} for p in order], fused=is_fused)
            for order in (parameters, parameters[::-1])
        ]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizers[0].step()
        saved = optimizer_tensors(optimizers[0], parameters)
        saved = {key: torch.zeros(tensor.shape) for key, tensor in saved.items()}  # as a file's
        restore_optimizer(optimizers[1], parameters, saved)
        for parameter in parameters:
            devices, shapes = (
                {name: get(tensor) for name, tensor in optimizers[1].state[parameter].items()}
                for get in (lambda tensor: tensor.device.type, lambda tensor: tensor.shape)
            )
            assert devices == {"step": counts_on, "exp_avg": "cuda", "exp_avg_sq": "cuda"}
            assert shapes["exp_avg"] == parameter.shape


@pytest.mark.parametrize(("limit", "length"), [(0.0, 5.0), (math.inf, 5.0), (1.0, 1.0)])
def test_gradients_are_shortened_to_a_limit_if_there_is_one(limit, length):
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor((3.0, 4.0))
    clip_gradients([weight], limit, 0)
    assert weight.grad.norm().item() == pytest.approx(length)


def test_saving_does_not_disturb_training_and_stores_the_average(tmp_path):
    trainer = Trainer(network(), CONFIG, draw)
    trainer.advance()
    before = {k: v.clone() for k, v in trainer.net.lifter_state_dict().items()}
    trainer.save(tmp_path, {"name": "test"})
    assert trainer.net.training
    for key, tensor in trainer.net.lifter_state_dict().items():
        assert torch.equal(tensor, before[key])
    stored = network(seed=2)
    assert load_weights(tmp_path / WEIGHTS_FILE, stored)["name"] == "test"
    with trainer.averaged() as net:
        for key, tensor in net.lifter_state_dict().items():
            assert torch.equal(tensor, stored.lifter_state_dict()[key]), key


def test_resuming_another_run_is_refused(tmp_path):
    Trainer(network(), CONFIG, draw).save(tmp_path, {})
    with pytest.raises(ValueError, match="steps: expected 11, got 10"):
        Trainer(network(), replace(CONFIG, steps=11), draw).resume(tmp_path)
    with pytest.raises(ValueError, match="layers: expected 2, got 1"):
        Trainer(network(replace(MODEL, layers=2)), CONFIG, draw).resume(tmp_path)
    with pytest.raises(ValueError, match="depth_loss: expected one_hot, got ordinal"):
        Trainer(network(), CONFIG, draw, LossConfig(depth_loss="one_hot")).resume(tmp_path)
    other = network()
    other.skeleton = replace(H36M_17, name="coco_17")
    with pytest.raises(ValueError, match=r"skeleton .* expected coco_17, got h36m_17"):
        Trainer(other, CONFIG, draw).resume(tmp_path)
    with pytest.raises(FileNotFoundError, match="without --resume"):
        Trainer(network(), CONFIG, draw).resume(tmp_path / "none")


def test_weights_that_are_not_finite_stop_a_step_with_images():
    trainer = Trainer(network(), CONFIG, lambda _: draw(0))
    with torch.no_grad():  # as a step that is too long leaves them
        for parameter in trainer.net.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        trainer.advance()


def test_a_loss_that_is_not_finite_stops_and_shows_its_parts():
    def bad(step):
        batch = draw(step)
        joints = batch.joints.clone()
        joints[0, 3, 1] = math.nan
        return batch._replace(joints=joints)

    trainer = Trainer(network(), CONFIG, bad)
    before = {k: v.clone() for k, v in trainer.net.lifter_state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"step 0: .*'pose': nan, 'depth': [0-9.]+"):
        trainer.advance()
    for name, parameter in trainer.net.named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_spoilt(value):
    trainer = Trainer(network(), CONFIG, draw)
    trainer.advance()
    before = {k: v.clone() for k, v in trainer.net.lifter_state_dict().items()}
    spoilt = next(trainer.net.heads.parameters()).register_hook(lambda gradient: gradient * value)
    with pytest.raises(FloatingPointError, match="gradient is not finite at step 1: "):
        trainer.advance()
    assert trainer.step == 1
    for name, parameter in trainer.net.named_parameters():
        assert torch.equal(parameter, before[name]), name
    spoilt.remove()
    assert math.isfinite(trainer.advance().loss)


def test_training_learns_one_batch():
    config = replace(CONFIG, steps=30, warm_up=5, learning_rate=5e-3)
    trainer = Trainer(network(replace(MODEL, dropout=0.0)), config, lambda _: draw(1))
    losses = [trainer.advance().loss for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_learning_rate_falls_by_epochs():
    config = TrainConfig(
        steps=9,
        warm_up=2,
        learning_rate=1.0,
        schedule="exponential",
        epoch_steps=4,
        epoch_decay=0.5,
    )
    assert [learning_rate(step, config) for step in range(9)] == [0.5, *[1] * 3, *[0.5] * 4, 0.25]


def test_layers_that_move_sampling_points_may_learn_more_slowly():
    moved = []
    for rate in (1.0, 0.0):
        config = replace(CONFIG, offset_rate=rate, weight_decay=0.0)
        trainer = Trainer(network(), config, lambda _: draw(0))
        before = {name: p.clone() for name, p in trainer.net.named_parameters()}
        trainer.advance()
        trainer.advance()
        after = dict(trainer.net.named_parameters())
        moved.append({name for name in before if not torch.equal(before[name], after[name])})
    assert moved[0] - moved[1] == {n for n in moved[0] if "sampling_offsets" in n} != set()


def test_lengths_are_exact_where_the_rest_is_not():
    torch.manual_seed(0)
    net = network(replace(MODEL, dropout=0.0)).eval()
    for head in net.heads:
        nn.init.normal_(head.offsets[-1].weight)
    batch, codes = draw(0), []
    net.position_code.register_forward_hook(lambda *call: codes.append(call[2]))
    with torch.inference_mode():
        exact = net.lift(batch.features, batch.keypoints)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net.lift(batch.features, batch.keypoints)
    assert torch.equal(*codes)
    assert torch.equal(rough.anchors, exact.anchors)
    assert rough.joints.dtype == rough.weights.dtype == torch.float32
    assert not torch.equal(rough.joints, exact.joints)
    votes = ensemble_joints(rough.anchors, rough.offsets, rough.weights)
    assert torch.allclose(rough.joints, votes, atol=1e-6)


def test_learning_rate_rises_and_falls():
    config = TrainConfig(steps=100, warm_up=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.1)


def test_silent_image_branches_leave_the_pose_alone():
    net = network().eval()
    batch = draw(0)
    with torch.inference_mode():
        blind, loud = (net.lift(f, batch.keypoints).joints for f in (None, batch.features))
        silence_image_branches(net)
        silent = net.lift(batch.features, batch.keypoints).joints
    for head in net.heads:  # fresh heads say the mean anchor, whatever the queries
        nn.init.normal_(head.offsets[-1].weight)
    with torch.inference_mode():
        changed = net.lift(None, batch.keypoints).joints
        assert torch.allclose(net.lift(batch.features, batch.keypoints).joints, changed, atol=1e-5)
    assert torch.allclose(silent, blind)
    assert not torch.allclose(changed, loud)


def test_grown_anchors_say_what_the_few_said():
    small = network(replace(quarter_anchors(MODEL), dropout=0.0))
    trainer = Trainer(small, replace(CONFIG, steps=8, learning_rate=3e-3), draw)
    for _ in range(8):
        trainer.advance()
    large = network(seed=1)
    grow_anchors(small, large)
    batch = draw(0)
    with torch.inference_mode():
        few = small.eval().lift(batch.features, batch.keypoints)
        many = large.eval().lift(batch.features, batch.keypoints)
    assert many.anchors.shape[1] == 4 * few.anchors.shape[1]
    assert (many.joints - few.joints).norm(dim=-1).mean() < 0.03
    with pytest.raises(ValueError, match="quarter of the anchors"):
        grow_anchors(network(), large)
    with pytest.raises(ValueError, match="divisible by 4"):
        quarter_anchors(replace(MODEL, local_anchors=6))
