import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_images import clip_frames
from torch.utils._python_dispatch import TorchDispatchMode

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.speed import crowd
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people import landmarks
from pandapose_ros.people.crops import crops_on_device
from pandapose_ros.runtime import networks
from pandapose_ros.runtime.one_pass import OnePass, drawn_person, precision_error
from pandapose_ros.runtime.precision import casts, fold_batch_norms, reduced

CPU = torch.device("cpu")
MILLIMETRE = 1e-3
_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero")


class NothingForTheHost(TorchDispatchMode):
    """Refuse what a CUDA graph cannot record: waits for results, sizes and constants from them."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.calls += 1
        if name.startswith(_WAITS):
            raise AssertionError(f"{name} waits for the device")
        if name in ("lift_fresh", "lift_fresh_copy"):
            raise AssertionError("a tensor is made of numbers of the host")
        indices = args[1] if name == "index" else ()
        if any(each is not None and each.dtype == torch.bool for each in indices):
            raise AssertionError("an index by true and false has a size that depends on it")
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def reference():
    config = EstimatorConfig(
        device="cpu", runtime="torch", threads=1, detection_tiles=0, max_people=2
    )
    return PoseEstimator(config)


@pytest.fixture(scope="module")
def clip():
    return clip_frames(140)[4::15]


@pytest.fixture(scope="module")
def crops(reference, clip):
    """Crops of the clip's person, as the landmark net gets them when it follows somebody."""
    seen = []
    kept = reference.networks
    reference.networks = replace(kept, landmark_net=Noting(kept.landmark_net, seen))
    for image in clip:
        reference.reset()
        reference.estimate(image)
    reference.networks = kept
    return torch.cat(seen[1::2])  # the first look at each image is the detector's, rough


@pytest.fixture(scope="module")
def in_fp16(reference):
    """An estimator in fp16; to make one takes a CPU seconds."""
    return PoseEstimator(replace(reference.config, runtime="one_pass", precision="fp16"))


@pytest.fixture(scope="module")
def in_bf16(reference):
    """What auto opens where bf16 is asked for."""
    config = replace(reference.config, runtime="auto", precision="bf16")
    return networks.open_networks(config, reference.network, reference.network.backbone, "")


@pytest.fixture(scope="module")
def halves(reference, in_fp16, in_bf16):
    """The pass in each half precision, and the network that it was made of."""
    return {
        torch.float16: (in_fp16.networks.landmark_net, in_fp16.network),
        torch.bfloat16: (in_bf16.landmark_net, reference.network),
    }


class Noting:
    """A landmark net that keeps what it is shown."""

    def __init__(self, net, seen):
        self.net, self.seen, self.device = net, seen, net.device

    def __call__(self, crops):
        self.seen.append(crops)
        return self.net(crops)


@pytest.fixture(scope="module")
def paper():
    """The paper's network, for a twelfth of the pixels, as a CPU takes its time."""
    torch.manual_seed(0)
    config = replace(ModelConfig.paper(), crop_height=64, crop_width=64)
    net = PandaPose(config, HRNet(config.level_channels[0])).eval()
    for module in net.modules():  # as if trained: statistics that are not those of nothing
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def test_one_pass_gives_what_both_networks_give(reference, crops):
    one_pass = OnePass(reference.network, torch.float32)
    seen = one_pass(crops[:3])
    with torch.inference_mode():
        expected = reference.network(crops[:3])
        landmarks_px = reference.network.backbone(crops[:3]).landmarks_px
    torch.testing.assert_close(seen.landmarks_px, landmarks_px, atol=1e-3, rtol=0)
    for i, votes in enumerate(seen.votes):
        np.testing.assert_allclose(votes.joints, expected.joints[i], atol=1e-4)
        np.testing.assert_allclose(votes.anchors, expected.anchors[i], atol=1e-4)
        np.testing.assert_allclose(votes.weights, expected.weights[i], atol=1e-4)
        np.testing.assert_allclose(votes.depth_profile.sum(1), 1, atol=1e-4)
        assert np.array_equal(votes.anchor_joints, expected.anchor_joints)


# A bfloat16 has three bits less: what it is good for is a network that overflows in fp16.
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 0.5), ("bfloat16", 10.0)])
def test_half_precision_costs_little(reference, crops, halves, dtype, bound):
    one_pass, source = halves[getattr(torch, dtype)]
    error = precision_error(one_pass, reference.network, crops[::5])
    assert 0 < error < bound * MILLIMETRE
    print(f"{dtype}: {error / MILLIMETRE:.2f} mm over {len(crops[::5])} crops")
    layers = one_pass._network
    assert layers.level_projections.projections[-1][0].weight.dtype == getattr(torch, dtype)
    assert layers.layers[0].image_attention.sampling_offsets.weight.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in layers.heads.parameters())
    assert all(p.dtype == torch.float32 for p in source.parameters())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_estimator_in_one_pass_finds_the_same_people(
    reference, in_fp16, clip, precision, monkeypatch
):
    reference.reset()
    column = round(reference.estimate(clip[0])[0].keypoints[:, 0].mean())
    # The third who comes finds no place; in fp16 a CPU takes long for each.
    crowds = (2, 2, 3) if precision == "fp32" else (2, 2)
    images = [crowd(clip[0], people, 1280, 480, column) for people in crowds]
    reference.reset()
    expected = [reference.estimate(image) for image in images]
    # The whole way of a GPU, but for the graphs.
    monkeypatch.setattr(landmarks, "crops_on_host", crops_on_device)
    ours = in_fp16
    if precision == "fp32":
        ours = PoseEstimator(replace(reference.config, runtime="one_pass", precision=precision))
        ours.warm_up()  # in fp16 its crowds take a CPU long
    assert (ours.networks.runtime, ours.networks.precision) == ("one_pass", precision)
    errors = []
    for image, others in zip(images, expected, strict=True):
        poses = ours.estimate(image)
        assert [pose.state for pose in poses] == [other.state for other in others]
        for pose, other in zip(poses, others, strict=True):
            if pose.score > 0:
                assert np.abs(pose.keypoints - other.keypoints).mean() < 0.5
                assert np.abs(pose.joint_covariances - other.joint_covariances).max() < 1e-3
                assert np.abs(pose.root - other.root).max() < 0.05
                errors.append(np.linalg.norm(pose.joints - other.joints, axis=1).mean())
    print(f"{precision}: {np.mean(errors) / MILLIMETRE:.2f} mm over {len(errors)} people")
    assert len(errors) >= 4
    # The crops are rounded otherwise, too.
    assert 1e-4 * MILLIMETRE < np.mean(errors) < 3 * MILLIMETRE


def test_nothing_in_the_pass_waits_for_the_host(halves, crops, paper):
    one_pass, _ = halves[torch.bfloat16]
    orders = torch.arange(17)[None]
    # In inference mode `item` would go unnoticed.
    with torch.no_grad(), NothingForTheHost() as mode:
        one_pass._parts(crops[:1], orders)
    assert mode.calls > 300
    keypoints = torch.rand(1, 17, 2) * 64
    with torch.no_grad():
        paper(torch.rand(1, 3, 64, 64), keypoints)
        with NothingForTheHost():
            paper(torch.rand(1, 3, 64, 64), keypoints)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x + torch.tensor([1.0, 2.0]),
        lambda x: bool((x > 0).all()),
    ],
)
def test_waiting_would_be_noticed(wait):
    with pytest.raises(AssertionError), torch.no_grad(), NothingForTheHost():
        wait(torch.ones(2))


def test_every_tensor_of_the_pass_is_on_its_device(reference):
    # On the meta device nothing can be read, and a tensor of the CPU does not mix with its own.
    network = copy.deepcopy(reference.network).to("meta")
    crops = torch.zeros(2, 3, 256, 256, device="meta")
    with torch.inference_mode():
        output = network(crops)
    assert output.joints.device.type == "meta" and output.joints.shape == (2, 17, 3)


def test_folded_norms_change_nothing(paper):
    crops, keypoints = torch.rand(1, 3, 64, 64), torch.rand(1, 17, 2) * 64
    folded = copy.deepcopy(paper)
    fold_batch_norms(folded)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in folded.modules())
    with torch.inference_mode():
        ours, expected = (net.backbone(crops).features for net in (folded, paper))
        for level, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(level, other, atol=1e-3, rtol=1e-3)
        joints = folded(crops, keypoints).joints
    torch.testing.assert_close(joints, paper(crops, keypoints).joints, atol=1e-4, rtol=0)


def test_the_papers_network_runs_in_half_precision(paper):
    crops, keypoints = torch.rand(1, 3, 64, 64), torch.rand(1, 17, 2) * 64
    half = reduced(paper, torch.bfloat16, lambda net: net(crops, keypoints))
    assert half.backbone.conv1.weight.dtype == torch.bfloat16
    with torch.inference_mode(), casts(CPU, torch.bfloat16):
        joints = half(crops, keypoints).joints
    assert joints.dtype == torch.float32 and joints.isfinite().all()


def test_auto_takes_single_precision_where_half_does_not_serve(reference, monkeypatch):
    monkeypatch.setattr(networks, "_auto_precision", lambda device: "fp16")
    assert networks._in_one_pass("auto", reference.network).precision == "fp16"
    wild = copy.deepcopy(reference.network)
    with torch.no_grad():  # beyond what fp16 can hold
        wild.layers[0].feedforward[0].weight.mul_(1e6)
        wild.layers[0].feedforward[3].weight.mul_(1e-6)
    with pytest.warns(UserWarning, match="computing in fp32"):
        assert networks._in_one_pass("auto", wild).precision == "fp32"


def test_the_drawn_person_is_one(reference):
    with torch.inference_mode():
        seen = reference.network.backbone(drawn_person(CPU))
    assert seen.presences.item() > 0.5


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_half_precision_is_refused_where_it_cannot_be(reference, runtime):
    config = replace(reference.config, runtime=runtime, precision="fp16")
    with pytest.raises(ValueError, match="use runtime auto or one_pass"):
        networks.open_networks(config, reference.network, reference.network.backbone, "")
    config = replace(config, precision="fp8")
    with pytest.raises(ValueError, match="auto, fp32, fp16, bf16"):
        networks.open_networks(config, reference.network, reference.network.backbone, "")


def test_half_precision_on_a_cpu_is_one_pass(in_bf16):
    assert (in_bf16.runtime, in_bf16.precision) == ("one_pass", "bf16")
    assert in_bf16.warm_up_sizes(5) == [1, 2, 4, 8, 16]
    assert in_bf16.warm_up_sizes(2) == [1, 2, 4, 8]
    assert in_bf16.warm_up_sizes(1) == [1, 2, 4]
    assert in_bf16.warm_up_sizes(1, cameras=2) == [1, 2, 4, 8]
