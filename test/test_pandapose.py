from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.hrnet import HRNet, HRNetOutput
from pandapose_ros.model.pandapose import PandaPose

pytestmark = pytest.mark.usefixtures("one_thread")
J = 17
SMALL = ModelConfig(
    backbone="hrnet_w32",
    crop_height=64,
    crop_width=48,
    level_channels=(6, 8, 10),
    width=32,
    heads=2,
    feedforward=64,
    depth_feedforward=64,
    dropout=0.0,
    local_anchors=2,
    global_anchor_rows=4,
    global_anchor_columns=4,
    window_fraction=1 / 8,
    sampling_points=2,
    depth_level=1,
    depth_dilations=(1, 2),
    depth_bins=16,
)


class SmallBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, channels, stride, stride), nn.BatchNorm2d(channels))
            for channels, stride in zip(SMALL.level_channels, SMALL.level_strides, strict=True)
        )

    def forward(self, crops):
        return HRNetOutput([level(crops) for level in self.levels])


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = PandaPose(SMALL, SmallBackbone()).eval()
    for head in net.heads:  # heads at zero would hide what comes before them
        for part in (head.offsets, head.weight_logits):
            nn.init.normal_(part[-1].weight, std=0.1)
    return net


@pytest.fixture
def people():
    torch.manual_seed(1)
    return torch.rand(3, 3, 64, 48), torch.rand(3, J, 2) * 70 - 10  # some outside the crop


def tensors(output):
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("config", "millions"), [(ModelConfig.paper(), 15.229), (ModelConfig.paper(layers=2), 12.711)]
)
def test_lifter_has_the_papers_size(config, millions):
    assert round(count(PandaPose(config, nn.Identity())) / 1e6, 3) == millions


def test_paper_configuration_builds_its_backbone():
    net = PandaPose(ModelConfig.paper(layers=2))
    assert isinstance(net.backbone, HRNet)
    assert round(count(net.backbone) / 1e6, 3) == 28.536


def test_default_lifter_is_small():
    assert round(count(PandaPose(ModelConfig(), nn.Identity())) / 1e6, 3) == 0.64


@pytest.mark.parametrize("config", [ModelConfig.paper(), ModelConfig()])
def test_shapes(config):
    net = PandaPose(config, nn.Identity()).eval()
    height, width = config.crop_height, config.crop_width
    levels = zip(config.level_channels, config.level_strides, strict=True)
    features = [torch.randn(1, c, height // stride, width // stride) for c, stride in levels]
    with torch.inference_mode():
        output = net.lift(features, torch.rand(1, J, 2) * width)
    A = J * config.local_anchors + config.global_anchor_rows * config.global_anchor_columns
    stride = config.level_strides[config.depth_level]
    depth = (1, J, config.depth_bins, height // stride, width // stride)
    assert {name: tuple(value.shape) for name, value in tensors(output).items()} == {
        "joints": (1, J, 3),
        "anchors": (1, A, 3),
        "anchor_kinds": (A,),
        "anchor_joints": (A,),
        "offsets": (1, A, J, 3),
        "weights": (1, A, J),
        "depth_probabilities": depth,
        "depth_logits": depth,
    }
    assert [tuple(joints.shape) for joints in output.layer_joints] == [(1, J, 3)]


def test_weights_sum_to_one_over_the_anchors(net, people):
    weights = net(*people).weights
    assert torch.allclose(weights.sum(dim=1), torch.ones(3, J), atol=1e-5)
    assert weights.std(dim=1).min() > 1e-4


def test_batched_equals_single(net, people):
    together = tensors(net(*people))
    for index in range(3):
        alone = tensors(net(*(part[index : index + 1] for part in people)))
        for name, value in alone.items():
            expected = together[name][index : index + 1] if "anchor_" not in name else value
            assert torch.allclose(value, expected, atol=1e-5), name


def test_twice_the_same_and_inputs_unchanged(net, people):
    copies = [part.clone() for part in people]
    first, second = tensors(net(*people)), tensors(net(*people))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    for part, copy in zip(people, copies, strict=True):
        assert torch.equal(part, copy)


def test_empty_batch(net, people):
    for output in (net(*(part[:0] for part in people)), net.lift(None, people[1][:0])):
        assert output.joints.shape == (0, J, 3)
        assert output.weights.shape == (0, 2 * J + 16, J)


def test_without_an_image(net, people):
    output = net.lift(None, people[1])
    assert output.depth_probabilities is None
    assert output.depth_logits is None
    assert output.joints.isfinite().all()
    assert not torch.allclose(output.joints, net(*people).joints, atol=1e-3)


def test_image_changes_the_joints(net, people):
    crops, keypoints = people
    assert not torch.allclose(net(crops, keypoints).joints, net(1 - crops, keypoints).joints)


def test_pixels_far_from_keypoints_and_coarse_levels_do_not_matter(net, people):
    # Only windows of the two finest levels are read: a change elsewhere, which leaves the
    # group statistics as they are, must change nothing.
    keypoints = torch.full((1, J, 2), 10.0)
    features = net.backbone(people[0][:1]).features
    changed = [features[0].flip(3), *features[1:]]
    swapped = features[0].clone()
    swapped[..., 10:, 8:] = swapped[..., 10:, 8:].flip(2)
    same = net.lift([swapped, *features[1:]], keypoints).joints
    other = net.lift(changed, keypoints).joints
    here = net.lift(features, keypoints).joints
    assert torch.allclose(same, here, atol=1e-5)
    assert not torch.allclose(other, here, atol=1e-5)


def test_default_network_sees_its_own_keypoints():
    net = PandaPose(ModelConfig()).eval()
    crops = torch.rand(2, 3, 256, 256)
    seen = net.backbone(crops)
    own, given = net(crops), net(crops, seen.keypoints_px)
    assert own.anchors.shape == (2, 84, 3)
    assert torch.allclose(own.anchors, given.anchors, atol=1e-5)
    assert torch.allclose(own.depth_logits, given.depth_logits)


def test_every_layer_answers_in_training(net, people):
    output = net.train()(*people)
    assert len(output.layer_joints) == SMALL.layers
    assert output.layer_joints[-1] is output.joints
    assert len(net.eval()(*people).layer_joints) == 1


def test_gradients_reach_every_parameter_of_the_lifter(net, people):
    output = net.train()(*people)
    loss = sum(joints.square().mean() for joints in output.layer_joints)
    (loss + F.softplus(output.depth_logits).mean()).backward()
    for name, parameter in net.named_parameters():
        if name.startswith("backbone."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_backbone_stays_frozen_in_training(net, people):
    before = {key: value.clone() for key, value in net.backbone.state_dict().items()}
    net.train()(*people)
    assert net.training
    assert not any(module.training for module in net.backbone.modules())
    assert not any(parameter.requires_grad for parameter in net.backbone.parameters())
    for key, value in net.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_overfits_one_batch(people):
    torch.manual_seed(0)
    net = PandaPose(SMALL, SmallBackbone()).train()
    crops, keypoints = people
    features = net.backbone(crops).features
    truth = torch.randn(3, J, 3) * 0.3
    optimiser = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, 120)
    for _ in range(120):
        optimiser.zero_grad()
        error = (net.lift(features, keypoints).joints - truth).norm(dim=-1).mean()
        error.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    assert error.item() < 0.005


def test_lifter_state_leaves_out_the_backbone(net):
    state = net.lifter_state_dict()
    assert not any(key.startswith("backbone.") for key in state)
    assert len(state) == len(net.state_dict()) - len(net.backbone.state_dict())
    other = PandaPose(SMALL, SmallBackbone())
    other.load_lifter_state_dict(state)
    for key, value in other.lifter_state_dict().items():
        assert torch.equal(value, state[key]), key


def test_names_weights_of_another_shape(net):
    state = {**net.lifter_state_dict(), "queries.weight": torch.zeros(3, 32)}
    with pytest.raises(ValueError, match=r"queries.weight: expected \[50, 32\], got \[3, 32\]"):
        net.load_lifter_state_dict(state)


def test_names_what_is_wrong_with_the_input(net, people):
    crops, keypoints = people
    with pytest.raises(ValueError, match=r"expected keypoints \[B, 17, 2\], got \[3, 16, 2\]"):
        net(crops, keypoints[:, :16])
    with pytest.raises(ValueError, match="expected feature levels"):
        net(crops[:2], keypoints)
    with pytest.raises(ValueError, match="expected feature levels"):
        net.lift(net.backbone(crops).features[:2], keypoints)
    with pytest.raises(ValueError, match="sees no keypoints; pass keypoints"):
        net(crops)
