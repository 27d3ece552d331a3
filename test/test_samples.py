import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from clip_images import walkers

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.data.image_samples import (
    ImageSamples,
    ImageSampleSet,
    batch_indices,
    jitter_region,
    make_image_samples,
    random_view,
    save_image_samples,
)
from pandapose_ros.data.motion import take_apart
from pandapose_ros.data.rendered_images import chunk_files, read_chunk, region_round_person
from pandapose_ros.data.skeleton_samples import SkeletonSampler, crop_cameras
from pandapose_ros.geometry import perspective_crop, project, transform_pixels
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.people.region import Region
from pandapose_ros.skeleton import H36M_17

LEFT, RIGHT = ([i for i in range(17) if H36M_17.side(i) == side] for side in ("left", "right"))


def person():
    """A person who faces +z with y up, in metres, as a motion file has it."""
    x = [0, -0.1, -0.1, -0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0.2, 0.3, 0.3, -0.2, -0.3, -0.3]
    y = [0.95, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 1.1, 1.35, 1.5, 1.6, 1.4, 1.15, 1.0, 1.4, 1.15, 1.0]
    return np.stack((x, y, np.zeros(17)), axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def bank():
    noise = np.random.default_rng(0).normal(0, 0.05, (64, 17, 3))
    return take_apart((person() + noise).astype(np.float32))


@pytest.fixture(scope="module")
def samples(bank):
    return SkeletonSampler(bank, SkeletonSampleConfig()).sample(500, np.random.default_rng(3))


def test_the_truth_projects_onto_the_clean_keypoints(samples):
    absolute = samples.joints + samples.roots[:, None]
    u, v = np.moveaxis(absolute[..., :2] / absolute[..., 2:], -1, 0)
    pixels = np.stack((u, v), axis=-1) * samples.focals_px[:, None, None] + 127.5
    # The midpoints are those of the picture, not of the body: a pixel or two off when near.
    sides = LEFT + RIGHT
    np.testing.assert_allclose(pixels[:, sides], samples.clean_keypoints[:, sides], atol=1e-2)
    np.testing.assert_allclose(pixels[:, 0], samples.clean_keypoints[:, 0], atol=4)
    assert np.abs(pixels[:, 8] - samples.clean_keypoints[:, 8]).mean() < 1


def test_regions_hold_the_person_upright(samples):
    inside = (samples.clean_keypoints > -0.5) & (samples.clean_keypoints < 255.5)
    assert inside.all(-1).mean() > 0.99
    trunk = samples.clean_keypoints[:, 8] - samples.clean_keypoints[:, 0]
    assert (trunk[:, 1] < 0).mean() > 0.98
    height = np.ptp(samples.clean_keypoints[..., 1], axis=1)
    assert 100 < np.median(height) < 230


def test_targets_are_root_relative_metres_before_the_camera(samples):
    assert np.abs(samples.joints[:, 0]).max() == 0
    assert (samples.joints[..., 2] + samples.roots[:, None, 2]).min() > 0
    thigh = np.linalg.norm(samples.joints[:, 5] - samples.joints[:, 4], axis=1)
    assert (thigh > 0.28).all()
    assert (thigh < 0.53).all()
    reach = np.linalg.norm(samples.joints, axis=-1).max()
    assert 0.8 < reach < 1.3


def test_left_is_right_of_the_image_when_facing_the_camera():
    config = replace(SkeletonSampleConfig(), elevation=(0.0, 0.0), noise=0.0)
    sampler = SkeletonSampler(take_apart(person()[None]), config, mixed=False)
    drawn = sampler.sample(300, np.random.default_rng(0))
    faces = drawn.joints[:, 9, 2] - drawn.joints[:, 8, 2] < -0.05
    turned_away = drawn.joints[:, 9, 2] - drawn.joints[:, 8, 2] > 0.05
    left_minus_right = drawn.clean_keypoints[:, 11, 0] - drawn.clean_keypoints[:, 14, 0]
    assert faces.sum() > 50
    assert (left_minus_right[faces] > 0).all()
    assert (left_minus_right[turned_away] < 0).all()


def test_looking_down_shows_the_head_nearer_than_the_feet():
    config = replace(SkeletonSampleConfig(), elevation=(0.5, 0.5))
    sampler = SkeletonSampler(take_apart(person()[None]), config, mixed=False)
    joints = sampler.sample(100, np.random.default_rng(0)).joints
    assert (joints[:, 10, 2] < joints[:, 3, 2]).all()


def test_crop_cameras_are_those_of_the_estimator():
    # With an identity K, the region drawn here must give the camera that geometry gives.
    config = SkeletonSampleConfig()
    rng = np.random.default_rng(5)
    joints = np.tile(person(), (8, 1, 1)) * (1, -1, -1) + (0, 0.95, 4)
    axes, focals = crop_cameras(joints, config, rng)
    for R, focal in zip(axes, focals, strict=True):
        K_crop = np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1]])
        # The region in the image plane (K = 1), from what the crop shows at its middle and top.
        ends = np.array([[127.5, 127.5, 1], [127.5, 127.5 - 0.4 * 256, 1]])
        rays = ends @ np.linalg.inv(K_crop).T @ R.T.astype(np.float64)
        centre, top = rays[:, :2] / rays[:, 2:]
        up = top - centre
        region = Region(tuple(centre), np.hypot(*up) / 0.4, float(np.arctan2(up[0], -up[1])))
        homography, rotation = perspective_crop(region.crop_from_image(256), (256, 256), np.eye(3))
        np.testing.assert_allclose(R, rotation, atol=1e-5)
        pixels = transform_pixels(homography, joints[0, :, :2] / joints[0, :, 2:])
        own = joints[0] @ R
        np.testing.assert_allclose(pixels, own[:, :2] / own[:, 2:] * focal + 127.5, atol=0.02)


def test_noise_moves_keypoints_as_asked_and_keeps_midpoints(bank):
    rng = np.random.default_rng
    clean = SkeletonSampler(bank, replace(SkeletonSampleConfig(), noise=0.0)).sample(200, rng(0))
    np.testing.assert_allclose(clean.keypoints, clean.clean_keypoints, atol=1e-4)
    config = replace(SkeletonSampleConfig(), clean=0.3)
    noisy = SkeletonSampler(bank, config).sample(1000, rng(0))
    error = np.linalg.norm(noisy.keypoints - noisy.clean_keypoints, axis=-1)
    assert 0.25 < (error.max(1) < 1e-3).mean() < 0.35
    assert error[:, 16].mean() > error[:, 9].mean() > 1
    middle = (noisy.keypoints[:, 11] + noisy.keypoints[:, 14]) / 2
    np.testing.assert_allclose(noisy.keypoints[:, 8], middle, atol=1e-4)


def test_the_same_seed_draws_the_same_samples(bank):
    sampler = SkeletonSampler(bank, SkeletonSampleConfig())
    first, again, other = (sampler.sample(10, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    assert not np.array_equal(first.keypoints, other.keypoints)


def write_chunk(path, count=2):
    """Black images with a person's joints; the jpeg bytes are real."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[..., 2] = 200  # red, as OpenCV orders channels
    jpeg = cv2.imencode(".jpg", image)[1]
    joints = np.tile(person() * (1, -1, -1) + (0, 0.95, 4), (count, 1, 1)).astype(np.float32)
    K = np.tile(np.array([[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1]], np.float32), (count, 1, 1))
    np.savez(
        path,
        jpeg=np.tile(jpeg.ravel(), count),
        offsets=np.arange(count + 1) * jpeg.size,
        joints=joints,
        K=K,
    )


def test_reading_rendered_images(tmp_path):
    write_chunk(tmp_path / "chunk_0000.npz")
    (path,) = chunk_files(tmp_path)
    items = list(read_chunk(path))
    assert len(items) == 2
    assert items[0].image.shape == (240, 320, 3)
    assert items[0].image[..., 0].mean() > 150 > 50 > items[0].image[..., 2].mean()
    with pytest.raises(FileNotFoundError, match="synthesize"):
        chunk_files(tmp_path / "none")
    np.savez(tmp_path / "chunk_0001.npz", K=items[0].K)
    with pytest.raises(ValueError, match="lacks"):
        list(read_chunk(tmp_path / "chunk_0001.npz"))


def test_region_round_a_person_holds_every_joint(tmp_path):
    write_chunk(tmp_path / "chunk_0000.npz", count=1)
    (item,) = read_chunk(tmp_path / "chunk_0000.npz")
    region = region_round_person(item.joints, item.K, with_hands=True)
    assert abs(region.angle) < 0.05
    rng = np.random.default_rng(0)
    for _ in range(20):
        jittered = jitter_region(region, SkeletonSampleConfig(), rng)
        homography, _ = perspective_crop(jittered.crop_from_image(256), (256, 256), item.K)
        pixels = transform_pixels(homography, project(item.joints, item.K))
        assert ((pixels > -0.5) & (pixels < 255.5)).all()


def test_image_samples_drop_images_without_a_person(tmp_path):
    write_chunk(tmp_path / "chunk_0000.npz")
    net = BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    images = read_chunk(tmp_path / "chunk_0000.npz")
    samples = make_image_samples(images, net, SkeletonSampleConfig(), np.random.default_rng(0))
    assert len(samples) == 0
    assert samples.fine.shape == (0, 48, 64, 64)


def test_image_samples_are_told_as_the_camera_of_their_crop_sees_them():
    image = walkers(140)[0]
    net = BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    config = SkeletonSampleConfig(mirrored=0.0, region_angle_jitter=0.8)
    samples = make_image_samples([image], net, config, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    rng.random()  # whether it is mirrored
    homography, R = random_view(image.joints, image.K, config, rng, is_tuned=net.is_tuned)
    relative = (image.joints - image.joints[0]) @ R
    np.testing.assert_allclose(samples.joints[0], relative, atol=1e-6)
    pixels = transform_pixels(homography, project(image.joints, image.K))
    np.testing.assert_allclose(samples.clean_keypoints[0], pixels, atol=1e-3)


def test_image_samples_are_of_the_person_that_was_asked_for():
    image = walkers(140)[0]
    net = BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    still = SkeletonSampleConfig(mirrored=0.0, region_centre_jitter=0.0, region_size_jitter=0.0)
    kept = []
    for aside in (0.0, 0.1, 0.4):  # metres: within the limbs, and where nobody is
        shifted = replace(image, joints=image.joints + np.float32((aside, 0, 0)))
        rng = np.random.default_rng(0)
        kept.append(len(make_image_samples([shifted], net, still, rng)))
    assert kept == [1, 1, 0]


def test_the_order_of_a_round_is_drawn_once():
    begin = time.perf_counter()
    first = batch_indices(2_000_000, 30, 64, seed=7)
    drawn = time.perf_counter()
    others = [batch_indices(2_000_000, number, 64, seed=7) for number in range(20)]
    assert time.perf_counter() - drawn < drawn - begin
    assert len(np.unique(np.concatenate((first, *others)))) == 21 * 64
    order = np.random.default_rng((7, 0)).permutation(2_000_000)
    np.testing.assert_array_equal(others[2], order[128:192])


def test_image_samples_come_back_whole_and_each_once_per_round(tmp_path):
    def part(first, count):
        numbers = torch.arange(first, first + count, dtype=torch.float32)
        return ImageSamples(
            fine=torch.zeros(count, 48, 64, 64, dtype=torch.float16),
            middle=torch.zeros(count, 48, 32, 32, dtype=torch.float16),
            coarse=torch.ones(count, 48, 16, 16, dtype=torch.float16),
            keypoints=torch.zeros(count, 17, 2),
            clean_keypoints=torch.zeros(count, 17, 2),
            joints=numbers.view(-1, 1, 1).expand(-1, 17, 3),
        )

    save_image_samples(tmp_path / "a.safetensors", part(0, 3))
    save_image_samples(tmp_path / "b.safetensors", part(3, 5))
    (tmp_path / "ordinary").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1  # others can read them
    data = ImageSampleSet(tmp_path)
    assert len(data) == 8
    assert data.take([2, 3, 7]).joints[:, 0, 0].tolist() == [2, 3, 7]
    drawn = [
        data.take(data.indices(number, 4, seed=0)).joints[:, 0, 0].tolist() for number in range(4)
    ]
    assert sorted(drawn[0] + drawn[1]) == sorted(drawn[2] + drawn[3]) == list(range(8))
    assert drawn[0] + drawn[1] != drawn[2] + drawn[3]
    with pytest.raises(FileNotFoundError, match="no image samples"):
        ImageSampleSet(tmp_path / "none")


def test_region_of_a_mirrored_person_has_the_same_size():
    # One raised hand, on either side.
    joints = np.zeros((17, 3))
    joints[:, 1] = np.linspace(0.5, -0.7, 17)
    joints[13] = (0.9, -1.0, 0)
    joints[:, 2] += 4
    mirrored = joints[list(H36M_17.mirror)] * (-1, 1, 1)
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    size, twin, bare = (
        region_round_person(pose, K, with_hands=hands).size
        for pose, hands in ((joints, True), (mirrored, True), (joints, False))
    )
    assert size == pytest.approx(twin)
    assert size > 1.2 * bare


@pytest.mark.parametrize(("is_tuned", "low", "high"), [(False, 0.4, 0.6), (True, 0.85, 0.95)])
def test_regions_hold_the_hands_as_often_as_the_landmark_net_asks_for(is_tuned, low, high):
    joints = person() * (1, -1, -1) + (0, 0.95, 4)
    joints[13] = (0.9, -0.9, 4)  # a raised hand
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    still = {"region_size_jitter": 0.0, "region_centre_jitter": 0.0, "region_angle_jitter": 0.0}
    config = replace(SkeletonSampleConfig(), **still)
    expected, _ = perspective_crop(
        region_round_person(joints, K, with_hands=True).crop_from_image(256), (256, 256), K
    )
    rng = np.random.default_rng(0)
    views = [random_view(joints, K, config, rng, is_tuned=is_tuned)[0] for _ in range(400)]
    assert low < np.mean([np.allclose(view, expected) for view in views]) < high
