from dataclasses import fields

import numpy as np
import pytest

from pandapose_ros.config import PoseConfig
from pandapose_ros.data.body_joints import average_bodies, put_together
from pandapose_ros.data.limbs import (
    arms_from_angles,
    bend_knees_backwards,
    legs_from_angles,
    limbs_clear,
)
from pandapose_ros.data.motion import PoseParts, take_apart
from pandapose_ros.data.pose_sampler import Family, PoseSampler
from pandapose_ros.skeleton import H36M_17

J = {name: i for i, name in enumerate(H36M_17.joint_names)}


@pytest.fixture(scope="module")
def bank():
    x = [0, -0.1, -0.1, -0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0.2, 0.25, 0.3, -0.2, -0.25, -0.3]
    y = [0.95, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 1.1, 1.35, 1.5, 1.6, 1.4, 1.15, 0.9, 1.4, 1.15, 0.9]
    person = np.stack((x, y, np.zeros(17)), axis=1)
    return take_apart(
        (person + np.random.default_rng(0).normal(0, 0.03, (40, 17, 3))).astype("f4")
    )


def drawn(bank, family, count=400):
    shares = PoseConfig(
        **{f.name: float(f.name.upper() == family.name) for f in fields(PoseConfig)}
    )
    parts, families, _ = PoseSampler(bank, shares).sample(count, np.random.default_rng(1))
    assert set(families) == {family}
    return parts, put_together(parts, average_bodies(count))


def angle(joints, a, b, c):
    """Return the bend in degrees at joint b, 0 if straight."""
    one, two = (joints[:, J[q]] - joints[:, J[p]] for p, q in ((a, b), (b, c)))
    cosine = (one * two).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(two, axis=-1)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def bends_of(joints, *names):
    return np.stack(
        [angle(joints, *(f"{side}_{name}" for name in names)) for side in ("left", "right")]
    )


def test_shares_are_kept_and_family_names_are_those_of_the_configuration(bank):
    assert [family.name.lower() for family in Family] == [f.name for f in fields(PoseConfig)]
    config = PoseConfig()
    _, family, _ = PoseSampler(bank, config).sample(4000, np.random.default_rng(0))
    total = sum(vars(config).values())
    for one in Family:
        share = vars(config)[one.name.lower()] / total
        assert (family == one).mean() == pytest.approx(share, abs=0.03), one.name
    with pytest.raises(ValueError, match="share above 0"):
        PoseSampler(bank, PoseConfig(*[0.0] * len(Family)))


def test_captured_poses_are_those_of_the_bank_and_mixed_ones_are_not(bank):
    for family, known in ((Family.CAPTURED, True), (Family.MIXED, False)):
        parts, _ = drawn(bank, family, 60)
        own = np.concatenate((bank.legs, bank.legs[:, ::-1] * (-1, 1, 1)))
        gap = np.abs(parts.legs[:, None] - own).max((2, 3, 4)).min(1)
        assert (gap.max() < 1e-6) == known


def test_limbs_stay_out_of_the_body(bank):
    for family in Family:
        _, joints = drawn(bank, family)
        assert limbs_clear(joints).mean() > 0.97, family.name


def test_an_arm_through_the_belly_is_noticed(bank):
    arms = arms_from_angles(*np.array([[[0, 0]], [[0, 0.3]], [[1.6, 0]], [[1.6, 0]]]))
    still = bank.take(np.array([0]))
    clear = put_together(still, average_bodies(1))
    through = put_together(PoseParts(**{**vars(still), "arms": arms}), average_bodies(1))
    assert limbs_clear(clear)[0]
    assert not limbs_clear(through)[0]


def test_knees_bend_backwards_only(bank):
    for family in Family:
        if family != Family.CAPTURED:
            parts, _ = drawn(bank, family)
            np.testing.assert_allclose(bend_knees_backwards(parts.legs), parts.legs, atol=0.35)
    forward = legs_from_angles(*np.array([[[0.2, 1.5]], [[0, 0.1]], [[0, 0]], [[-0.6, -0.6]]]))
    mended = bend_knees_backwards(forward)
    straight = np.degrees(np.arccos((mended[:, :, 0] * mended[:, :, 1]).sum(-1)))
    assert (straight < 11).all()
    assert np.abs(np.linalg.norm(mended, axis=-1) - 1).max() < 1e-5


def test_elbows_and_knees_bend_no_farther_than_people_can(bank):
    for family in Family:
        _, joints = drawn(bank, family)
        assert bends_of(joints, "hip", "knee", "ankle").max() < 155, family.name
        assert bends_of(joints, "shoulder", "elbow", "wrist").max() < 155, family.name


def test_angles_point_limbs_where_they_should():
    quarter, zero = np.full((1, 2), np.pi / 2), np.zeros((1, 2))
    thigh, shank = legs_from_angles(quarter, zero, zero, quarter)[0].swapaxes(0, 1)
    np.testing.assert_allclose(thigh, [[0, 0, 1]] * 2, atol=1e-6)
    np.testing.assert_allclose(shank, [[0, -1, 0]] * 2, atol=1e-6)
    spread = legs_from_angles(zero, quarter, zero, zero)[0, :, 0]
    np.testing.assert_allclose(spread, [[1, 0, 0], [-1, 0, 0]], atol=1e-6)
    upper, fore = arms_from_angles(quarter, quarter, zero, quarter)[0].swapaxes(0, 1)
    np.testing.assert_allclose(upper, [[0, 0, 1]] * 2, atol=1e-6)
    np.testing.assert_allclose(fore, [[0, 1, 0]] * 2, atol=1e-6)
    inwards = arms_from_angles(zero, zero, quarter, quarter)[0, :, 1]
    np.testing.assert_allclose(inwards, [[-1, 0, 0], [1, 0, 0]], atol=1e-6)


def test_who_sits_has_level_thighs_and_who_crouches_bent_knees(bank):
    _, joints = drawn(bank, Family.SITTING)
    thigh = joints[:, J["left_knee"]] - joints[:, J["left_hip"]]
    steepness = np.abs(thigh[:, 1]) / np.linalg.norm(thigh, axis=1)
    assert np.median(steepness) < 0.35
    _, joints = drawn(bank, Family.CROUCHING)
    assert np.median(bends_of(joints, "hip", "knee", "ankle").max(0)) > 90
    stature = joints[..., 1].max(1) - joints[..., 1].min(1)
    assert np.quantile(stature, 0.9) < 1.45


def test_who_reaches_stretches_an_arm_and_who_lies_is_low(bank):
    parts, joints = drawn(bank, Family.REACHING)
    assert np.median(bends_of(joints, "shoulder", "elbow", "wrist").min(0)) < 20
    up = joints[:, [J["left_wrist"], J["right_wrist"]], 1].max(1) > joints[:, J["head"], 1]
    assert 0.15 < up.mean() < 0.6
    parts, joints = drawn(bank, Family.LYING)
    assert np.abs(parts.pelvis[:, 1, 1]).max() < 0.6
    assert (np.sign(parts.pelvis[:, 1, 2]) > 0).mean() > 0.5  # more on the back than the belly
