# What is done to crops for training: other light, and things before the person.
import numpy as np

from pandapose_ros.data.landmark_crops import change_light, cover


def test_light_changes_colours_and_not_what_is_seen():
    image = np.zeros((8, 8, 3), np.uint8)
    image[4:] = (80, 120, 160)
    rng, grey = np.random.default_rng(0), 0
    for _ in range(60):
        seen = change_light(image, rng).astype(int)
        assert (seen[:4] == seen[0, 0]).all()
        assert (seen[4:] == seen[4, 0]).all()
        assert (seen[4, 0] > seen[0, 0]).all()
        difference = seen[4, 0] - seen[0, 0]
        grey += difference[2] < 1.5 * difference[0]
    assert not image[:4].any()
    assert 1 <= grey <= 20


def test_what_covers_joints_covers_some_and_not_all():
    image, rng = np.zeros((256, 256, 3), np.uint8), np.random.default_rng(0)
    keypoints = np.stack(np.meshgrid([40, 90, 140, 190], [60, 110, 160, 210]), -1).reshape(-1, 2)
    keypoints = np.vstack((keypoints, (-50, 400)))  # one outside
    for _ in range(10):
        covered = cover(image, keypoints.astype(float), rng).any(axis=-1)
        assert not image.any()
        assert covered.mean() < 0.25
        hidden = covered[keypoints[:16, 1], keypoints[:16, 0]]
        assert hidden.sum() < 16
    assert hidden.any()
