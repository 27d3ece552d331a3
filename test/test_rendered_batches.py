import copy

import cv2
import numpy as np
import pytest
import torch
from synthetic_people import RIG, made_up_body

from pandapose_ros.config import PoseConfig, RenderConfig, SkeletonSampleConfig
from pandapose_ros.data.image_samples import random_view
from pandapose_ros.data.rendered_images import RenderedImage, mirrored
from pandapose_ros.geometry import project
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.synthetic.compression import compress
from pandapose_ros.synthetic.poses import read_pool
from pandapose_ros.synthetic.rig import gather, rest_joints
from pandapose_ros.training.rendered_batches import RenderedBatches, crop_images

REST = rest_joints(RIG, gather([made_up_body()], torch.device("cpu")))[0].numpy()


def picture(size):
    smooth = np.random.default_rng(0).uniform(0, 255, (size // 8, size // 8, 3)).astype(np.uint8)
    return cv2.resize(smooth, (size, size), interpolation=cv2.INTER_CUBIC)


def test_compression_is_that_of_jpeg():
    image = picture(128)
    for quality in (30, 60, 92):
        _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        expected = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        got = compress(torch.from_numpy(image)[None], torch.tensor([quality]))[0].numpy()
        lost = np.sqrt(np.mean((expected - image) ** 2))
        assert np.sqrt(np.mean((expected - got) ** 2)) < 0.4 * lost, quality
    with pytest.raises(ValueError, match="multiples of 16"):
        compress(torch.zeros(1, 100, 96, 3, dtype=torch.uint8), torch.tensor([50]))


def test_crops_in_torch_are_those_of_opencv():
    image = picture(96)
    K = np.array([[100.0, 0, 47.5], [0, 100, 47.5], [0, 0, 1]])
    joints = (REST[:, [0, 2, 1]] * (1, -1, 1) + (0.1, 0.9, 2.5)).astype(np.float64)
    homography, _ = random_view(
        joints, K, SkeletonSampleConfig(), np.random.default_rng(1), is_tuned=False
    )
    expected = cv2.warpPerspective(image, homography, (256, 256)) / 255
    got = crop_images(torch.from_numpy(image)[None], [homography])[0].permute(1, 2, 0).numpy()
    inside = expected.min(-1) > 0
    assert inside.mean() > 0.2
    assert np.abs(got - expected)[inside].mean() < 0.01
    assert (got[:4] == 0).all() == (expected[:4] == 0).all()


def test_a_mirrored_image_shows_its_mirrored_joints():
    K = np.array([[100.0, 0, 40], [0, 100, 47.5], [0, 0, 1]])
    joints = REST[:, [0, 2, 1]] * (1, -1, 1) + (0.3, 0.9, 2.5)
    item = RenderedImage(picture(96), joints, K)
    other = mirrored(item)
    pixels, twin = project(joints, K), project(other.joints, other.K)
    np.testing.assert_allclose(twin[list(H36M_17.mirror), 0], 95 - pixels[:, 0], atol=1e-6)
    np.testing.assert_allclose(twin[list(H36M_17.mirror), 1], pixels[:, 1], atol=1e-6)
    np.testing.assert_array_equal(other.image[:, 0], item.image[:, 95])
    again = mirrored(other)
    np.testing.assert_allclose(again.joints, joints)
    np.testing.assert_allclose(again.K, K)


def source(folder, net, bodies):
    save_bodies(folder / "bodies.safetensors", RIG, bodies)
    y_up = np.stack((REST[:, 0], REST[:, 2], -REST[:, 1]), axis=-1)
    np.savez(folder / "motion.npz", rest=y_up[None].repeat(3, 0))
    pool = read_pool(folder / "motion.npz", 0.2, test=False)
    config = RenderConfig(
        size=128, at_once=2, bystanders=0.5, poses=PoseConfig(*[1.0], *[0.0] * 6)
    )
    return RenderedBatches(
        folder / "bodies.safetensors", pool, net, config, SkeletonSampleConfig()
    )


def test_batches_hang_on_seed_and_number_only(tmp_path, landmark_net):
    batches = source(tmp_path, landmark_net, [made_up_body(), made_up_body(held_out=True)])
    # Nothing is recognised as a person in boxes, so what is rendered is looked at instead.
    drawn = [batches.render(3, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0][0].shape == (3, 3, 256, 256)
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])
    assert drawn[0][0].std() > 0.05


def test_a_batch_has_as_many_samples_as_were_asked_for(tmp_path):
    # The packaged landmark net takes one of four figures of boxes for a person.
    batches = source(tmp_path, open_landmark_net(find_weights("default")), [made_up_body()])
    samples = batches.batch(0, 3, seed=0)
    assert samples.fine.shape == (3, 48, 64, 64)
    assert len({joints.sum().item() for joints in samples.joints}) == 3


def test_a_landmark_net_that_recognises_nobody_is_told_of(tmp_path, landmark_net):
    blind = copy.deepcopy(landmark_net)
    for parameter in blind.presence_head().parameters():
        parameter.data.fill_(-1.0)
    batches = source(tmp_path, blind, [made_up_body()])
    with pytest.raises(ValueError, match="recognised 0 of 10 rendered people, too few for a bat"):
        batches.batch(0, 1, seed=0)


def test_bodies_to_test_on_are_not_rendered_for_training(tmp_path, landmark_net):
    with pytest.raises(ValueError, match="all bodies"):
        source(tmp_path, landmark_net, [made_up_body(held_out=True)])
