import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pandapose_ros.checkpoint import load_weights, save_weights
from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.candidates import load_candidates
from pandapose_ros.landmark_weights import (
    backbone_sha256,
    has_backbone,
    load_backbone,
    open_landmark_net,
    save_backbone,
)
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.landmark_graph import graph_from_text, graph_to_text
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.tools import main


@pytest.fixture
def tuned(tmp_path):
    """A landmark net that differs a little from MediaPipe's, and the file it is in."""
    net = open_landmark_net()
    net.steps[-7][0].bias.data[0] += 3.0  # of the landmarks' head: the nose, to the right
    save_backbone(tmp_path / "tuned.safetensors", net, {})
    load_backbone(tmp_path / "tuned.safetensors", net)
    return net, tmp_path / "tuned.safetensors"


def test_weights_carry_the_landmark_net_they_were_trained_on(tuned, tmp_path):
    net, _ = tuned
    lifter = PandaPose(ModelConfig(), nn.Identity())
    load_weights(find_weights("default"), lifter)
    lifter.backbone = net
    path = tmp_path / "weights.safetensors"
    save_weights(path, lifter, {"name": "tuned"})
    assert has_backbone(path)
    estimator = PoseEstimator(EstimatorConfig(weights=str(path), device="cpu"))
    found = estimator.network.backbone.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in net.state_dict().items())
    crop = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        ran = estimator.networks.landmark_net(crop).landmarks_px
        assert (ran - net(crop).landmarks_px).abs().max() < 0.05
        assert ran[0, 0, 0] - open_landmark_net()(crop).landmarks_px[0, 0, 0] == pytest.approx(
            3.0, abs=0.05
        )


def test_a_net_from_before_turns_were_known_calls_everybody_upright(tuned, tmp_path):
    net, path = tuned
    rows = slice(35 * 5 + 3, None, 5)  # visibilities of the palms, never read before
    with torch.no_grad():
        net.landmark_head().bias[rows] = torch.tensor([-9.0, 9.0, 9.0, 9.0])
    save_backbone(path, net, {})
    old = tmp_path / "old.safetensors"
    save_file(load_file(path), old)  # without metadata
    crop = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        kept = open_landmark_net(path)(crop).visibilities[0, 35:]
        upright = open_landmark_net(old)(crop).visibilities[0, 35:]
    torch.testing.assert_close(kept, torch.tensor([0.0, 1.0, 1.0, 1.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(upright, torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=1e-3, rtol=0)


def test_what_refines_keypoints_goes_with_the_landmark_net(tuned, tmp_path):
    net, path = tuned
    crop = torch.rand(1, 3, 256, 256)
    net.add_refiner()
    save_backbone(tmp_path / "refined.safetensors", net, {})
    refined = open_landmark_net(tmp_path / "refined.safetensors")
    with torch.inference_mode():
        expected, plain = net(crop), open_landmark_net(path)(crop)
        assert torch.equal(refined(crop).keypoints_px, expected.keypoints_px)
        assert not torch.equal(plain.keypoints_px, expected.keypoints_px)
    assert not any(parameter.requires_grad for parameter in refined.parameters())
    load_backbone(path, refined)  # which has none
    assert refined.refiner is None


def test_what_verifies_presences_goes_with_the_landmark_net(tuned, tmp_path):
    net, path = tuned
    crop = torch.rand(1, 3, 256, 256)
    net.add_verifier()
    save_backbone(tmp_path / "verified.safetensors", net, {})
    verified = open_landmark_net(tmp_path / "verified.safetensors")
    with torch.inference_mode():
        expected, plain = net(crop), open_landmark_net(path)(crop)
        assert torch.equal(verified(crop).verifications, expected.verifications)
        assert torch.equal(plain.presences, expected.presences)
        assert (expected.verifications < plain.verifications).all()
    load_backbone(path, verified)  # which has none
    assert verified.verifier is None


def test_weights_tell_the_graph_of_their_landmark_net(tuned):
    net, path = tuned
    graph = graph_from_text(net.graph_text)
    assert graph_to_text(graph) == net.graph_text
    built = BlazePose(graph)
    load_backbone(path, built)
    crop = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        assert torch.equal(built(crop).landmarks_px, net(crop).landmarks_px)
    for text in ("", "[]", "{}", net.graph_text.replace('"kind"', '"sort"')):
        with pytest.raises(ValueError, match="expected the graph of a landmark net"):
            graph_from_text(text)


def test_half_precision_is_handed_on_with_the_landmark_net(tuned, tmp_path):
    net, _ = tuned
    lifter = PandaPose(ModelConfig(), nn.Identity())
    load_weights(find_weights("default"), lifter)
    lifter.backbone = net
    save_weights(tmp_path / "weights.safetensors", lifter, {"name": "tuned"})
    target = tmp_path / "half.safetensors"
    told = ["--name", "n", "--version", "1", "--half"]
    assert main.main(["export-weights", str(tmp_path), "--out", str(target), *told]) == 0
    half, full = load_file(target), load_file(tmp_path / "weights.safetensors")
    assert half.keys() == full.keys()
    assert {value.dtype for value in half.values() if value.is_floating_point()} == {torch.half}
    key = "backbone.steps.40.0.weight"
    assert torch.allclose(half[key].float(), full[key], rtol=1e-3, atol=1e-6)


def test_visibilities_and_presence_taught_later_can_be_handed_on(tuned, tmp_path, capsys):
    net, path = tuned
    lifter = PandaPose(ModelConfig(), nn.Identity())
    load_weights(find_weights("default"), lifter)
    lifter.backbone = net
    save_weights(tmp_path / "weights.safetensors", lifter, {"name": "tuned"})
    net.landmark_head().bias.data[3] += 1.0
    net.presence_head().bias.data += 1.0
    save_backbone(path, net, {})
    target = tmp_path / "on.safetensors"
    options = ["export-weights", str(tmp_path), "--name", "n", "--version", "1"]
    options += ["--out", str(target), "--landmarks", str(path)]
    assert main.main(options) == 0
    assert backbone_sha256(target) == backbone_sha256(path)
    net.steps[30][0].bias.data += 1.0
    save_backbone(path, net, {})
    assert main.main(options) == 1
    assert "other features or keypoints than the lifter was trained on" in capsys.readouterr().err


def test_another_landmark_net_is_refused(tuned, tmp_path):
    _, path = tuned
    state = load_file(path)
    state["backbone.steps.0.0.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"1 differ, first steps\.0\.0\.bias"):
        open_landmark_net(tmp_path / "other.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_landmark_net_that_is_not_finite_is_refused(value, tuned, tmp_path):
    _, path = tuned
    state = load_file(path)
    state["backbone.steps.0.0.bias"][0] = value
    save_file(state, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=r"broken\.safetensors is damaged: .*steps\.0\.0\.bias"):
        open_landmark_net(tmp_path / "broken.safetensors")


def test_networks_on_different_landmark_nets_are_not_compared(tuned, tmp_path):
    net, path = tuned
    lifter = PandaPose(ModelConfig(), nn.Identity())
    load_weights(find_weights("default"), lifter)
    plain, own = tmp_path / "plain.safetensors", tmp_path / "own.safetensors"
    save_weights(plain, lifter, {})
    lifter.backbone = net
    save_weights(own, lifter, {})
    assert backbone_sha256(own) == backbone_sha256(path) != backbone_sha256(plain) == ""
    with pytest.raises(ValueError, match="2 different weights of the backbone"):
        load_candidates([("a", plain), ("b", own)], torch.device("cpu"))
