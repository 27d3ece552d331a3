import pytest
import torch

from pandapose_ros.model.hrnet import HRNet, load_coco_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return HRNet().eval()


def save_coco_file(path, net, **extra):
    heat_maps = {
        "final_layer.weight": torch.zeros(17, 32, 1, 1),
        "final_layer.bias": torch.zeros(17),
    }
    torch.save({**net.state_dict(), **heat_maps, **extra}, path)


def test_has_the_size_of_the_papers_backbone(net):
    assert sum(p.numel() for p in net.parameters()) == 28_535_552


def test_gives_four_levels(net):
    with torch.inference_mode():
        features = net(torch.rand(1, 3, 256, 192)).features
    assert [tuple(level.shape) for level in features] == [
        (1, 32, 64, 48),
        (1, 64, 32, 24),
        (1, 128, 16, 12),
        (1, 256, 8, 6),
    ]


def test_coarse_levels_are_the_inputs_of_stage_4(net):
    seen = []
    hook = net.stage4.register_forward_pre_hook(lambda _, args: seen.extend(args[0]))
    with torch.inference_mode():
        features = net(torch.rand(1, 3, 64, 64)).features
    hook.remove()
    for level, entering in zip(features[1:], seen[1:], strict=True):
        assert torch.equal(level, entering)
    assert features[0].shape == seen[0].shape
    assert not torch.equal(features[0], seen[0])


def test_keys_are_those_of_the_coco_file(net):
    state = net.state_dict()
    assert len(state) == 1752
    top = "conv1 bn1 conv2 bn2 layer1 transition1 stage2 transition2 stage3 transition3 stage4"
    assert {key.split(".")[0] for key in state} == set(top.split())
    shapes = {
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.3.conv1.weight": (64, 256, 1, 1),
        "transition1.0.0.weight": (32, 256, 3, 3),
        "transition1.1.0.0.weight": (64, 256, 3, 3),
        "transition2.2.0.0.weight": (128, 64, 3, 3),
        "transition3.3.0.0.weight": (256, 128, 3, 3),
        "stage2.0.branches.0.0.conv1.weight": (32, 32, 3, 3),
        "stage2.0.fuse_layers.0.1.0.weight": (32, 64, 1, 1),
        "stage2.0.fuse_layers.1.0.0.0.weight": (64, 32, 3, 3),
        "stage3.3.fuse_layers.2.0.0.0.weight": (32, 32, 3, 3),
        "stage3.3.fuse_layers.2.0.1.0.weight": (128, 32, 3, 3),
        "stage4.1.fuse_layers.3.2.0.0.weight": (256, 128, 3, 3),
        "stage4.2.fuse_layers.0.3.0.weight": (32, 256, 1, 1),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert not any(key.startswith("stage4.2.fuse_layers.1") for key in state)


def test_normalises_like_imagenet(net):
    grey = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    seen = []
    hook = net.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        net(grey)
        net(grey + torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))
    hook.remove()
    assert seen[0].abs().max() < 1e-6
    assert torch.allclose(seen[1], torch.ones(()), atol=1e-5)


def test_loads_coco_weights(net, tmp_path):
    path = tmp_path / "pose_hrnet_w32_256x192.pth"
    save_coco_file(path, net)
    other = HRNet().eval()
    load_coco_weights(other, path)
    loaded = other.state_dict()
    for key, value in net.state_dict().items():
        assert torch.equal(loaded[key], value), key


def test_names_what_does_not_fit(net, tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match=r"weights\.pth"):
        load_coco_weights(net, path)
    save_coco_file(path, net, head=torch.zeros(1))
    with pytest.raises(ValueError, match="head"):
        load_coco_weights(net, path)
    torch.save({"conv1.weight": net.conv1.weight}, path)
    with pytest.raises(ValueError, match=r"bn1\.weight"):
        load_coco_weights(net, path)
    torch.save(HRNet(16).state_dict(), path)
    with pytest.raises(ValueError, match=r"shape torch\.Size\(\[16") as raised:
        load_coco_weights(net, path)
    assert len(str(raised.value)) < 600
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="not a plain file of weights"):
        load_coco_weights(net, path)


def test_refuses_a_file_that_holds_code(net, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": tmp_path}, path)  # a path is not a tensor
    with pytest.raises(ValueError, match="not a plain file of weights"):
        load_coco_weights(net, path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3, "state_dict": {}}])
def test_refuses_a_file_of_other_plain_things(net, tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"weights\.pth is not a plain file of weights: expected"):
        load_coco_weights(net, path)


@pytest.mark.parametrize("left", [5000, 0])
def test_names_a_file_that_was_cut_off(net, tmp_path, left):
    path = tmp_path / "weights.pth"
    save_coco_file(path, net)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"weights\.pth is not a plain file of weights, or damag"):
        load_coco_weights(net, path)
