import pytest
import torch

from pandapose_ros.config import ModelConfig
from pandapose_ros.geometry import grid_to_pixel, pixel_to_grid
from pandapose_ros.model.anchors import AnchorKind, Anchors

JOINTS = 17


def placed(config, keypoints_px):
    torch.manual_seed(0)
    anchors = Anchors(config, JOINTS)
    keypoints = pixel_to_grid(keypoints_px, config.crop_width, config.crop_height)
    return anchors, anchors(keypoints).detach()


def test_global_anchors_are_the_papers_grid():
    anchors, positions = placed(ModelConfig.paper(), torch.rand(1, JOINTS, 2) * 190)
    grid = positions[0, anchors.kinds == AnchorKind.GLOBAL]
    pixels = grid_to_pixel(grid[:, :2], 192, 256).reshape(16, 16, 2)
    steps = torch.arange(16.0)
    assert torch.allclose(pixels[..., 0], (5.5 + 12 * steps).expand(16, -1), atol=1e-4)
    assert torch.allclose(pixels[..., 1], (7.5 + 16 * steps)[:, None].expand(-1, 16), atol=1e-4)
    assert (grid[:, 2] == 0).all()


def test_kinds_and_owners():
    anchors, positions = placed(ModelConfig.paper(), torch.rand(1, JOINTS, 2) * 190)
    assert positions.shape == (1, 528, 3)
    local = anchors.kinds == AnchorKind.LOCAL
    assert local.sum() == 17 * 16
    assert (anchors.owners[~local] == -1).all()
    assert anchors.owners[local].bincount().tolist() == [16] * JOINTS


def test_local_anchors_surround_their_keypoint():
    config = ModelConfig()
    keypoints = torch.rand(3, JOINTS, 2) * 256
    anchors, positions = placed(config, keypoints)
    grid = pixel_to_grid(keypoints, 256, 256)
    for joint in range(JOINTS):
        own = positions[:, anchors.owners == joint]
        away = own - torch.nn.functional.pad(grid[:, joint : joint + 1], (0, 1))
        assert away.abs().max() < 0.25
        assert away.std(dim=1).min() > 0.01


def test_local_anchors_depend_on_the_whole_pose():
    config = ModelConfig()
    keypoints = torch.rand(1, JOINTS, 2) * 256
    anchors, before = placed(config, keypoints)
    moved = keypoints.clone()
    moved[0, 3] += 20
    _, after = placed(config, moved)
    others = (anchors.owners != 3) & (anchors.owners >= 0)
    assert not torch.equal(before[0, others], after[0, others])
    assert torch.equal(before[0, anchors.owners == -1], after[0, anchors.owners == -1])


def test_metres_in_the_papers_crop():
    # 95.5 px = 1 m at the root's depth; the crop's centre is 0.1 m below the root.
    anchors = Anchors(ModelConfig.paper(), JOINTS)
    points_px = torch.tensor([[95.5, 127.5], [191.0, 127.5], [95.5, 223.0]])
    grid = torch.nn.functional.pad(pixel_to_grid(points_px, 192, 256), (0, 1), value=0.5)
    expected = torch.tensor([[0.0, 0.1, 0.5], [1.0, 0.1, 0.5], [0.0, 1.1, 0.5]])
    assert torch.allclose(anchors.to_metres(grid), expected, atol=1e-5)


def test_depth_axis_must_be_that_of_the_bins():
    for wrong in ({"depth_range": 1.5}, {"metric_shift": (0.0, 0.0, 0.1)}):
        with pytest.raises(ValueError, match="depth_range"):
            Anchors(ModelConfig(**wrong), JOINTS)
