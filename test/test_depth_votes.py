import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pandapose_ros.config import ModelConfig
from pandapose_ros.depth_votes import depth_profiles, place_depth
from pandapose_ros.geometry import intrinsics_from_field_of_view, pixel_rays, project
from pandapose_ros.model.pandapose import PandaPoseOutput

K = intrinsics_from_field_of_view(1.0, 640, 480)


def output(volume):
    none = torch.zeros(0)
    return PandaPoseOutput(none, none, none, none, none, none, volume, None, None, [])


def test_a_profile_is_read_at_the_keypoints_pixel():
    # A map of 16 x 16 over a crop of 256 x 256: pixel (v, u) covers 16 x 16 of the crop.
    volume = torch.rand(2, 17, 8, 16, 16)
    keypoints = torch.full((2, 17, 2), 128.0)
    keypoints[1, 4] = torch.tensor([40.0, 250.0])
    keypoints[1, 5] = torch.tensor([-100.0, 300.0])  # outside: the corner counts
    keypoints[1, 6] = torch.tensor([300.0, -100.0])
    profiles = depth_profiles(output(volume), keypoints, ModelConfig())
    assert profiles.shape == (2, 17, 8)
    np.testing.assert_array_equal(profiles[1, 4], volume[1, 4, :, 15, 2])
    np.testing.assert_array_equal(profiles[1, 5], volume[1, 5, :, 15, 0])
    np.testing.assert_array_equal(profiles[1, 6], volume[1, 6, :, 0, 15])
    np.testing.assert_array_equal(profiles[0, 3], volume[0, 3, :, 8, 8])
    narrow = depth_profiles(output(volume[..., :8]), keypoints, ModelConfig(crop_width=128))
    np.testing.assert_array_equal(narrow[1, 4], volume[1, 4, :, 15, 2])
    assert depth_profiles(output(None), keypoints, ModelConfig()) is None


def test_depths_lie_on_the_rays_and_a_sure_joint_where_it_is():
    random = np.random.default_rng(0)
    axis = Rotation.from_euler("xy", [0.2, -0.3]).as_matrix()[:, 2]
    root = np.array([0.4, -0.1, 3.0])
    joints = root + random.uniform(-0.5, 0.5, (17, 3))
    pixels = project(joints, K)
    pelvis_depth, depth_range, bins = 0.05, 1.0, 2000
    # Every joint is sure to be in the bin of its own depth along the axis.
    depths = (joints - root) @ axis + pelvis_depth
    index = ((depths + depth_range) / (2 * depth_range) * bins).astype(int)
    profile = np.eye(bins)[index]
    votes = place_depth(profile, pelvis_depth, depth_range, axis, pixel_rays(pixels, K), root)
    assert votes.positions.shape == (17, bins, 3)
    found = votes.positions[np.arange(17), votes.probabilities.argmax(1)] + root
    np.testing.assert_allclose(found, joints, atol=1.2e-3)  # half a bin of 1 mm, along the ray
    for bin_ in (0, 700, 1999):
        np.testing.assert_allclose(project(votes.positions[:, bin_] + root, K), pixels, atol=1e-6)
    along = (votes.positions @ axis)[0]
    assert along[0] == pytest.approx(-1 + 0.5e-3 - pelvis_depth)  # the middle of the first bin
    assert np.diff(along) == pytest.approx(1e-3)
