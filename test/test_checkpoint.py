import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pandapose_ros.checkpoint import load_weights, read_config, read_metadata, save_weights
from pandapose_ros.config import ModelConfig
from pandapose_ros.model.pandapose import PandaPose

CONFIG = ModelConfig(width=32, layers=1, feedforward=64, depth_feedforward=64, depth_bins=8)


def build(config=CONFIG):
    return PandaPose(config, nn.Conv2d(1, 1, 1))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    net, path = build(), tmp_path / "net.safetensors"
    save_weights(path, net, {"name": "small", "version": "1"})
    return net, path


def rewrite(path, state=None, **metadata):
    save_file(
        load_file(path) if state is None else state, path, {**read_metadata(path), **metadata}
    )


def test_round_trip(saved):
    net, path = saved
    other = build()
    metadata = load_weights(path, other)
    assert metadata["name"] == "small"
    assert metadata["version"] == "1"
    assert metadata["skeleton"] == "h36m_17"
    assert read_config(path) == CONFIG
    for key, value in net.lifter_state_dict().items():
        assert torch.equal(other.lifter_state_dict()[key], value), key


def test_holds_the_lifter_only(saved):
    net, path = saved
    assert load_file(path).keys() == net.lifter_state_dict().keys()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_replaces_an_older_file(saved):
    net, path = saved
    with torch.no_grad():
        net.queries.weight.add_(1)
    save_weights(path, net, {"version": "2"})
    other = build()
    assert load_weights(path, other)["version"] == "2"
    assert torch.equal(other.queries.weight, net.queries.weight)


def test_names_the_keys_that_differ(saved):
    net, path = saved
    state = load_file(path)
    state["query.weight"] = state.pop("queries.weight")
    state["anchors.local_offsets.bias"] = torch.zeros(3)
    rewrite(path, state)
    before = net.anchors.local_offsets.bias.clone()
    with pytest.raises(ValueError, match=r"missing \['queries.weight'\]") as caught:
        load_weights(path, net)
    assert "unexpected ['query.weight']" in str(caught.value)
    assert "anchors.local_offsets.bias: expected [204], got [3]" in str(caught.value)
    assert torch.equal(net.anchors.local_offsets.bias, before)


def test_names_another_skeleton(saved):
    net, path = saved
    rewrite(path, skeleton="coco_17")
    with pytest.raises(ValueError, match="expected the skeleton h36m_17, got coco_17"):
        load_weights(path, net)


def test_names_another_configuration(saved):
    _, path = saved
    with pytest.raises(ValueError, match="another configuration: layers: expected 2, got 1"):
        load_weights(path, build(replace(CONFIG, layers=2)))
    # Of the same shapes, but of another meaning.
    with pytest.raises(ValueError, match=r"metric_scale: expected \(2.0, 2.0, 1.0\)"):
        load_weights(path, build(replace(CONFIG, metric_scale=(2.0, 2.0, 1.0))))


def test_dropout_may_differ(saved):
    _, path = saved
    load_weights(path, build(replace(CONFIG, dropout=0.0)))


@pytest.mark.parametrize("later", ["anchors", "joint_places", "lifting", "depth_head", "sampling"])
def test_files_from_before_an_option_have_its_default(saved, later):
    net, path = saved
    stored = json.loads(read_metadata(path)["config"])
    del stored[later]
    rewrite(path, config=json.dumps(stored))
    load_weights(path, net)
    assert getattr(read_config(path), later) == getattr(ModelConfig(), later)


def test_names_a_configuration_of_another_version(saved):
    net, path = saved
    stored = json.loads(read_metadata(path)["config"])
    stored["depth_cells"] = stored.pop("depth_bins")
    rewrite(path, config=json.dumps(stored))
    with pytest.raises(
        ValueError, match=r"lacks \['depth_bins'\] and has unknown \['depth_cells'\]"
    ):
        load_weights(path, net)


def test_refuses_other_files(saved):
    net, path = saved
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load_weights(path.with_name("none.safetensors"), net)
    save_file(net.lifter_state_dict(), path)
    with pytest.raises(ValueError, match=r"lacks the metadata \['config', 'skeleton'\]"):
        load_weights(path, net)
    path.write_bytes(b"not a file of weights")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_weights(path, net)


def test_metadata_cannot_replace_the_configuration(saved):
    net, path = saved
    with pytest.raises(ValueError, match=r"without the keys \['config'\]"):
        save_weights(path, net, {"config": "{}"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(saved, value):
    _, path = saved
    state = load_file(path)
    state["queries.weight"][2, 3] = value
    rewrite(path, state)
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged: .*\['queries\.weight'\]"):
        load_weights(path, build())


@pytest.mark.parametrize("config", ["no JSON", "3", json.dumps(vars(CONFIG) | {"width": "32"})])
def test_a_damaged_configuration_is_named(saved, config):
    _, path = saved
    rewrite(path, config=config)
    with pytest.raises(ValueError, match=r"net\.safetensors: its configuration is damaged"):
        read_config(path)
