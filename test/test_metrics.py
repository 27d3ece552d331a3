import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pandapose_ros.evaluation.metrics import align_poses, mpjpe, pa_mpjpe, share_below
from pandapose_ros.geometry import best_similarity

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(20, 17, 3))


def similar(poses):
    R = Rotation.random(len(poses), random_state=1).as_matrix()
    return 1.7 * poses @ R.swapaxes(1, 2) + RNG.normal(size=(len(poses), 1, 3))


def test_mpjpe_is_the_mean_distance_in_the_unit_given():
    assert mpjpe(TRUTH + np.array((0.3, 0.0, 0.4)), TRUTH) == pytest.approx(0.5)
    assert mpjpe(1000 * (TRUTH + np.array((0.3, 0, 0.4))), 1000 * TRUTH) == pytest.approx(500)


def test_pa_mpjpe_ignores_similarities_and_mpjpe_does_not():
    assert pa_mpjpe(similar(TRUTH), TRUTH) < 1e-12
    assert mpjpe(similar(TRUTH), TRUTH) > 0.5


def test_pa_mpjpe_is_the_same_for_similar_estimates():
    estimate = TRUTH + 0.1 * RNG.normal(size=TRUTH.shape)
    assert pa_mpjpe(similar(estimate), TRUTH) == pytest.approx(pa_mpjpe(estimate, TRUTH))


def test_aligning_lessens_the_squared_error_of_every_pose():
    estimate = TRUTH + RNG.normal(size=TRUTH.shape)
    before = ((estimate - TRUTH) ** 2).sum((1, 2))
    after = ((align_poses(estimate, TRUTH) - TRUTH) ** 2).sum((1, 2))
    assert (after <= before + 1e-12).all()
    assert pa_mpjpe(estimate, TRUTH) <= mpjpe(estimate, TRUTH)


def test_a_reflection_is_not_aligned_away():
    assert pa_mpjpe(TRUTH * (-1, 1, 1), TRUTH) > 0.3


def test_batched_alignment_equals_the_single_one():
    estimate = TRUTH + RNG.normal(size=TRUTH.shape)
    batched = align_poses(estimate, TRUTH)
    for i in range(3):
        scale, R, t = best_similarity(estimate[i], TRUTH[i])
        np.testing.assert_allclose(batched[i], scale * estimate[i] @ R.T + t, atol=1e-9)


def test_a_collapsed_pose_aligns_to_the_middle():
    aligned = align_poses(np.zeros((1, 17, 3)), TRUTH[:1])
    np.testing.assert_allclose(aligned, np.broadcast_to(TRUTH[:1].mean(1), (1, 17, 3)), atol=1e-12)


def test_errors_below_a_threshold_are_strictly_below():
    assert share_below(np.array((0.0, 49.0, 150.0, 200.0)), 150) == 0.5


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected joints of shape"):
        mpjpe(TRUTH[:, :16], TRUTH)
