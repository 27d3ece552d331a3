from dataclasses import replace

import pytest
import torch
from torch import nn

from pandapose_ros.checkpoint import load_weights, read_config, save_weights
from pandapose_ros.config import LossConfig, ModelConfig
from pandapose_ros.model.decoder import DecoderLayer
from pandapose_ros.model.depth import DepthNet
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.training.losses import depth_loss, regression_loss, training_loss

J = 17
SMALL = ModelConfig(
    crop_height=64,
    crop_width=64,
    width=32,
    heads=2,
    feedforward=64,
    depth_feedforward=64,
    depth_bins=16,
    local_anchors=2,
    global_anchor_rows=4,
    global_anchor_columns=4,
    dropout=0.0,
)
ARMS = {
    "anchors": ("both", "local", "global", "none"),
    "lifting": ("joint", "shared", "none"),
    "depth_head": ("bins", "regression"),
    "sampling": ("prior", "random", "all"),
    "layers": (2, 3),
    "depth_bins": (16, 64, 128),
}
# Of each option one value is that of `SMALL`, which is there once.
EVERY_ARM = [{}, {"anchors": "none", "joint_places": "learned"}]
EVERY_ARM += [
    {name: value}
    for name, values in ARMS.items()
    for value in values
    if value != getattr(SMALL, name)
]


def build(**changes):
    torch.manual_seed(0)
    net = PandaPose(replace(SMALL, **changes), nn.Identity())
    with torch.no_grad():
        for parameter in net.parameters():  # nothing may start at zero here
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net.eval()


@pytest.fixture
def people():
    torch.manual_seed(1)
    features = [torch.randn(3, 48, side, side) for side in (16, 8, 4)]
    return features, torch.rand(3, J, 2) * 64


@pytest.mark.parametrize("arm", EVERY_ARM, ids=str)
def test_every_arm_trains_every_parameter(arm, people):
    net = build(**arm).train()
    output = net.lift(*people)
    truth = torch.rand(3, J, 3) - 0.5
    deep = LossConfig(deep_supervision=True)
    training_loss(output, truth, people[1], net.config, deep).total.backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("arm", EVERY_ARM, ids=str)
def test_every_arm_is_the_same_twice_and_heeds_the_image(arm, people):
    net = build(**arm)
    features, keypoints = people
    with torch.inference_mode():
        first, second = net.lift(features, keypoints), net.lift(features, keypoints)
        other = net.lift([-level for level in features], keypoints)
        without = net.lift(None, keypoints)
    assert torch.equal(first.joints, second.joints)
    assert not torch.allclose(first.joints, other.joints, atol=1e-4)
    assert without.joints.isfinite().all()


def test_arms_have_the_anchors_they_say(people):
    counts = {arm: build(anchors=arm).lift(*people).anchors.shape[1] for arm in ARMS["anchors"]}
    assert counts == {"both": 2 * J + 16, "local": 2 * J, "global": 16, "none": 0}
    local, fixed = build(anchors="local").lift(*people), build(anchors="global").lift(*people)
    assert (local.anchor_joints >= 0).all()
    assert (fixed.anchor_joints == -1).all()
    assert torch.equal(fixed.anchors[0], fixed.anchors[1])
    none = build(anchors="none").lift(*people)
    assert none.weights.shape == (3, 0, J)
    assert none.offsets.shape == (3, 0, J, 3)
    assert none.anchor_kinds.shape == none.anchor_joints.shape == (0,)


def test_learned_places_of_joints_are_the_same_for_everybody(people):
    net = build(anchors="none", joint_places="learned")
    assert net.joint_places.shape == (J, 3)
    seen = []
    net.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    net.lift(*people)
    assert torch.equal(seen[0], net.joint_places.expand(3, -1, -1))
    assert build(anchors="none").joint_places is None
    assert build(joint_places="learned").joint_places is None  # anchors have their own


def test_one_depth_map_serves_all_joints(people):
    shared, joint = (build(lifting=arm).lift(*people) for arm in ("shared", "joint"))
    assert shared.depth_probabilities is not None
    assert joint.depth_probabilities is not None
    assert shared.depth_probabilities.shape == joint.depth_probabilities.shape
    assert torch.equal(shared.depth_probabilities[:, 0], shared.depth_probabilities[:, 5])
    assert not torch.allclose(joint.depth_probabilities[:, 0], joint.depth_probabilities[:, 5])


def test_without_lifting_depth_does_not_matter(people):
    net = build(lifting="none")
    assert net.depth_net is None
    output = net.lift(*people)
    assert output.depth_logits is None
    assert output.depth_probabilities is None
    memory = net._look(people[0], torch.rand(3, J, 2) * 2 - 1)[1]
    layer = net.layers[0]
    assert isinstance(layer, DecoderLayer)
    attention = layer.image_attention
    queries, reference = torch.randn(3, 5, 32), torch.rand(3, 5, 3) * 2 - 1
    moved = reference + torch.tensor([0.0, 0.0, 0.7])
    seen = attention(queries, reference, memory.tokens)
    assert torch.equal(attention(queries, moved, memory.tokens), seen)
    assert (memory.tokens.depth[:, 0] == 0).all()
    assert (memory.tokens.depth[:, 1:] == 1).all()


def test_regressed_depth_lies_between_its_two_nearest_bins():
    config = replace(SMALL, depth_head="regression", depth_bins=8)
    torch.manual_seed(0)
    depth = DepthNet(config, J).eval()(torch.randn(2, 48, 4, 4))
    assert depth.logits is None
    assert depth.values.shape == (2, J, 4, 4)
    centres = (torch.arange(8) + 0.5) / 8 * 2 - 1
    mean = (depth.probabilities * centres.view(-1, 1, 1)).sum(dim=2)
    assert torch.allclose(mean, depth.values.clamp(-0.875, 0.875), atol=1e-5)
    assert torch.allclose(depth.probabilities.sum(dim=2), torch.ones(()), atol=1e-5)
    assert (depth.probabilities > 0).sum(dim=2).max() <= 2


def test_random_tokens_are_as_many_and_not_round_the_keypoints(people):
    prior, random = (build(sampling=arm) for arm in ("prior", "random"))
    grid = torch.zeros(3, J, 2)
    near, far = (net._look(people[0], grid)[1].tokens for net in (prior, random))
    assert near.features.shape == far.features.shape
    fine = slice(0, 16 * 16)
    assert (near.token_of_pixel[0, fine] > 0).sum() == 1  # one pixel a window, all in one place
    assert (far.token_of_pixel[0, fine] > 0).sum() > 10
    whole = build(sampling="all")._look(people[0], grid)[1].tokens
    assert whole.features.shape[1] == 1 + 16 * 16 + 8 * 8 + 4 * 4
    random.train()
    first, second = (random._look(people[0], grid)[1].tokens for _ in range(2))
    assert not torch.equal(first.token_of_pixel, second.token_of_pixel)


def test_arms_are_kept_in_the_file_and_not_mixed_up(tmp_path):
    path = tmp_path / "net.safetensors"
    net = build(anchors="local", lifting="shared")
    save_weights(path, net, {})
    assert read_config(path) == net.config
    with pytest.raises(ValueError, match="another configuration: anchors: expected both, got loc"):
        load_weights(path, build(lifting="shared"))


def test_hrnet_w48_has_the_published_size():
    config = ModelConfig.paper(backbone="hrnet_w48")
    assert config.level_channels == (48, 96, 192, 384)
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in HRNet(width=48).parameters())
    assert count / 1e6 == pytest.approx(63.6, abs=0.1)  # HRNet's own table


@pytest.mark.parametrize("form", ["ordinal", "one_hot", "cross_entropy"])
def test_every_depth_loss_is_least_at_the_true_bin(form):
    config = replace(ModelConfig(), depth_bins=4)
    keypoints = torch.full((1, J, 2), 127.5)
    depths, loss = torch.full((1, J), 0.25), LossConfig(depth_loss=form)  # bin 2
    losses = []
    for k in range(4):
        logits = torch.zeros(1, J, 4, 16, 16)
        logits[:, :, k] = 4.0
        losses.append(depth_loss(logits, depths, keypoints, config, loss).item())
    assert min(losses) == losses[2]
    # Only the ordinal loss knows that bin 1 is nearer than bin 0.
    assert (losses[1] < losses[0] - 1e-3) == (form == "ordinal")


def test_regression_loss_is_the_mean_difference_inside_the_windows():
    values = torch.full((1, J, 16, 16), 9.0)
    values[..., 7:9, 7:9] = 0.1
    keypoints = torch.full((1, J, 2), 127.5)
    loss = regression_loss(values, torch.full((1, J), 0.3), keypoints, ModelConfig())
    assert loss.item() == pytest.approx(0.2)


def test_deep_supervision_averages_over_the_layers(people):
    net = build().train()
    output, truth = net.lift(*people), torch.zeros(3, J, 3)
    deep = LossConfig(deep_supervision=True, depth_weight=0.0)
    losses = training_loss(output, truth, people[1], net.config, deep)
    errors = [joints.norm(dim=-1).mean().item() for joints in output.layer_joints]
    assert len(errors) == 2
    assert losses.total.item() == pytest.approx(sum(errors))  # 2 x mean of two
    assert losses.pose.item() == pytest.approx(errors[-1])
