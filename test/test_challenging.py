from dataclasses import replace

import numpy as np
import pytest

from pandapose_ros.data.challenging import (
    ErrorUnit,
    Reduction,
    as_share,
    challenging_subset,
    keypoint_errors,
    load_subset,
    save_subset,
)

RULE = {"threshold": 5.0, "unit": ErrorUnit.CROP}


@pytest.fixture
def keypoints():
    true = np.zeros((4, 17, 2))
    detected = true.copy()
    detected[1, :, 0] = 6  # everywhere
    detected[2, 3] = (30, 40)  # at one keypoint: mean 2.9, greatest 50
    detected[3, :, 1] = 5  # exactly the threshold
    return detected, true


def test_errors_by_reduction(keypoints):
    mean = keypoint_errors(*keypoints, Reduction.MEAN)
    np.testing.assert_allclose(mean, (0, 6, 50 / 17, 5))
    np.testing.assert_allclose(keypoint_errors(*keypoints, Reduction.MAX), (0, 6, 50, 5))


def test_unknown_keypoints_do_not_count(keypoints):
    detected, true = keypoints
    detected[1, :16] = np.nan
    true[0] = np.nan
    errors = keypoint_errors(detected, true, Reduction.MEAN)
    np.testing.assert_allclose(errors, (np.nan, 6, 50 / 17, 5))
    subset = challenging_subset("s", (detected, true), reduction=Reduction.MEAN, **RULE)
    assert (subset.indices, subset.unknown) == ((1,), 1)


def test_reduction_changes_the_subset(keypoints):
    mean = challenging_subset("s", keypoints, reduction=Reduction.MEAN, **RULE)
    greatest = challenging_subset("s", keypoints, reduction=Reduction.MAX, **RULE)
    assert mean.indices == (1,)
    assert greatest.indices == (1, 2)
    assert greatest.mask().tolist() == [False, True, True, False]


@pytest.mark.parametrize("unit", ErrorUnit)
@pytest.mark.parametrize("reduction", Reduction)
def test_saved_subsets_are_read_back(tmp_path, keypoints, unit, reduction):
    subset = challenging_subset("s", keypoints, threshold=4.5, unit=unit, reduction=reduction)
    save_subset(tmp_path / "subset.json", subset)
    assert load_subset(tmp_path / "subset.json", "s", 4) == subset


def test_wrong_files_are_named(tmp_path, keypoints):
    path = tmp_path / "subset.json"
    with pytest.raises(FileNotFoundError, match=r"subset\.json"):
        load_subset(path, "s", 4)
    subset = challenging_subset("s", keypoints, reduction=Reduction.MEAN, **RULE)
    save_subset(path, subset)
    for dataset, samples in (("other", 4), ("s", 5)):
        with pytest.raises(ValueError, match=f"'{dataset}' with {samples} samples.*'s' with 4"):
            load_subset(path, dataset, samples)
    for index in (-1, 4):
        save_subset(path, replace(subset, indices=(index,)))
        with pytest.raises(ValueError, match="from 0 to 3"):
            load_subset(path, "s", 4)
    for text in ("no", "{}", "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="no challenging subset"):
            load_subset(path, "s", 4)


def test_shapes_must_agree(keypoints):
    with pytest.raises(ValueError, match=r"\[N, J, 2\], got \[4, 17, 2\] and \[3, 17, 2\]"):
        keypoint_errors(keypoints[0], keypoints[1][:3], Reduction.MEAN)


def test_errors_as_a_share_of_the_persons_height(keypoints):
    detected, true = keypoints
    true[:, 3] = (0, 200)  # 200 px high
    true[2, 5] = (400, 0)  # lies: 400 px long
    detected = true.copy()
    detected[..., 0] += 10
    true[0] = np.nan
    errors = keypoint_errors(*as_share(detected, true), Reduction.MEAN)
    np.testing.assert_allclose(errors, (np.nan, 5, 2.5, 5))
