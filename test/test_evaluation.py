import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_images import CLIP
from torch import nn

from pandapose_ros.checkpoint import save_weights
from pandapose_ros.config import EvaluationConfig, ModelConfig
from pandapose_ros.data.dataset import Dataset, rendered_clips
from pandapose_ros.evaluation.candidates import (
    Candidate,
    Estimates,
    load_candidates,
    top_vote_offsets,
)
from pandapose_ros.evaluation.comparison import compare, summarise
from pandapose_ros.evaluation.kept_views import views_folder
from pandapose_ros.evaluation.scores import (
    PCK_THRESHOLDS_MM,
    mean_over_actions,
    pck_curve,
    pose_errors,
    pose_scores,
    score_skeletons,
)
from pandapose_ros.evaluation.skeleton_views import skeleton_dataset
from pandapose_ros.evaluation.views import KeypointSource, Views
from pandapose_ros.model.pandapose import PandaPose, PandaPoseOutput
from pandapose_ros.skeleton import H36M_17, mirror_joints, mirror_keypoints
from pandapose_ros.tools import main

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


def network(**changes):
    torch.manual_seed(0)
    net = PandaPose(ModelConfig(**changes), nn.Identity()).eval()
    for parameter in net.parameters():
        if not parameter.any():  # as the heads start
            nn.init.normal_(parameter, std=0.1)
    return net


def views(count, first=0, *, mirrored=False):
    rng = np.random.default_rng(first)

    def maps():
        return [torch.from_numpy(rng.random((count, 48, s, s), np.float32)) for s in (64, 32, 16)]

    true = rng.uniform(50, 200, (count, 17, 2)).astype(np.float32)
    error = np.zeros((count, 17, 2), np.float32)
    error[1::2, :, 0] = 9  # every second sample is challenging
    return Views(
        indices=np.arange(first, first + count),
        joints=rng.normal(0, 0.3, (count, 17, 3)).astype(np.float32),
        keypoints=true + error,
        true_keypoints=true,
        keypoints_px=2 * (true + error),
        true_keypoints_px=2 * true,
        world_landmarks=rng.normal(0, 0.3, (count, 17, 3)).astype(np.float32),
        features=maps(),
        mirrored_features=maps() if mirrored else None,
    )


def dataset(actions):
    return Dataset("test", tuple(actions), tuple(actions), lambda: iter(()))


def test_pose_scores_are_in_millimetres_and_pelvis_on_pelvis():
    truth = RNG.normal(size=(5, 17, 3))
    truth -= truth[:, :1]
    joints = truth + np.array((0.5, 0.0, 0.0))  # the pelvis moves along
    assert pose_scores(joints, truth)["mpjpe_mm"] == 0
    joints = truth.copy()
    joints[:, 1:] += (0.017, 0.0, 0.0)
    scores = pose_scores(joints, truth)
    assert scores["mpjpe_mm"] == pytest.approx(16, abs=0.01)
    assert scores["limbs_mpjpe_mm"] == pytest.approx(17, abs=0.01)
    assert scores["pck_150mm"] == 1
    # 17 mm is below 20 .. 150 mm, 27 of 31. The pelvis, which is never wrong, does not count.
    assert scores["auc_150mm"] == pytest.approx(27 / 31, abs=1e-4)
    assert pose_scores(truth[:0], truth[:0]) == {}


def test_pck_is_strictly_below_150_mm():
    truth = np.zeros((1, 17, 3))
    joints = truth.copy()
    joints[0, 1:9, 0] = 0.15
    joints[0, 9:16, 0] = 0.1499
    # Of 14 joints: not pelvis, spine and nose, 0, 7 and 9.
    assert pose_scores(joints, truth)["pck_150mm"] == pytest.approx(7 / 14, abs=1e-4)
    curve = pck_curve(pose_errors(joints, truth).grouped)
    assert (PCK_THRESHOLDS_MM[0], PCK_THRESHOLDS_MM[1], PCK_THRESHOLDS_MM[-1]) == (0, 5, 150)
    assert (curve[0], curve[1], curve[-1]) == (0, round(1 / 14, 4), round(7 / 14, 4))


def test_joints_that_a_data_set_lacks_do_not_count():
    truth = RNG.normal(size=(4, 17, 3))
    joints = truth + 0.01 * RNG.normal(size=truth.shape)
    expected = pose_errors(joints, truth)
    lacking = truth.copy()
    lacking[:, 9:11] = np.nan
    errors = pose_errors(joints, lacking)
    assert errors.names == tuple(n for n in H36M_17.joint_names if n not in ("nose", "head"))
    np.testing.assert_allclose(errors.direct, np.delete(expected.direct, (9, 10), axis=1))
    assert np.isfinite(errors.aligned).all()
    lacking[2, 0] = np.nan
    with pytest.raises(ValueError, match="pelvis"):
        pose_errors(joints, lacking)


def test_actions_count_alike_in_their_mean():
    truth = np.zeros((3, 17, 3))
    joints = truth.copy()
    joints[:2, 1:, 0], joints[2, 1:, 0] = 0.017, 0.051
    errors = pose_errors(joints, truth)
    by_action = errors.by_action(["walk", "walk", "sit"])
    assert {name: part["samples"] for name, part in by_action.items()} == {"sit": 1, "walk": 2}
    assert by_action["sit"]["mpjpe_mm"] == pytest.approx(48)
    assert errors.scores()["mpjpe_mm"] == pytest.approx((16 + 16 + 48) / 3, abs=0.01)
    assert mean_over_actions(by_action)["mpjpe_mm"] == pytest.approx(32)
    only = errors.by_action(["walk", "walk", "sit"], np.array([True, False, False]))
    assert {name: part["samples"] for name, part in only.items()} == {"walk": 1}
    assert errors.by_joint()["left_knee"]["mpjpe_mm"] == pytest.approx(
        (17 + 17 + 51) / 3, abs=0.01
    )


def test_skeleton_scores_do_not_depend_on_the_batch():
    net = network()
    keypoints = RNG.uniform(0, 255, (66, 17, 2)).astype(np.float32)
    with torch.inference_mode():
        joints = net.lift(None, torch.from_numpy(keypoints)).joints.numpy()
    assert score_skeletons(net, keypoints, joints)["mpjpe_mm"] < 0.01


def test_the_flip_test_sees_a_person_and_the_mirrored_person_alike():
    net, some = network(), views(2, mirrored=True)
    turned = Views(
        **vars(some)
        | {
            "keypoints": mirror_keypoints(some.keypoints, 256),
            "features": some.mirrored_features,
            "mirrored_features": some.features,
        }
    )
    np.testing.assert_allclose(mirror_keypoints(turned.keypoints, 256), some.keypoints, rtol=1e-5)
    results = {}
    for flip_test in (False, True):
        for name, shown in (("plain", some), ("turned", turned)):
            estimates = Estimates(net, EvaluationConfig(), flip_test=flip_test, noise=False)
            estimates.add(shown)
            results[name, flip_test] = estimates.joints[0]
    mirrored = mirror_joints(results["turned", True])
    np.testing.assert_allclose(mirrored, results["plain", True], atol=1e-5)
    assert np.abs(mirror_joints(results["turned", False]) - results["plain", False]).max() > 1e-3
    average = (results["plain", False] + mirror_joints(results["turned", False])) / 2
    np.testing.assert_allclose(results["plain", True], average, atol=1e-5)


def test_offsets_of_the_weightest_anchors_by_kind():
    kinds = torch.tensor([0, 0, 0, 1, 1])
    offsets = torch.zeros(1, 5, 17, 3)
    offsets[0, :, :, 0] = torch.tensor([0.1, 0.2, 0.9, 0.5, 0.7])[:, None]
    weights = torch.tensor([0.3, 0.2, 0.01, 0.25, 0.24])[None, :, None].expand(1, 5, 17)
    unused = torch.zeros(1)
    output = PandaPoseOutput(unused, unused, kinds, unused, offsets, weights, None, None, None, [])
    means = {kind: total / n for kind, (total, n) in top_vote_offsets(output, 2).items()}
    assert means["local"] == pytest.approx(0.15)
    assert means["global"] == pytest.approx(0.6)
    assert means["all"] == pytest.approx(0.3)  # those with 0.3 and 0.25
    everything = {kind: n for kind, (_, n) in top_vote_offsets(output, 50).items()}
    assert everything == {"all": 5 * 17, "local": 3 * 17, "global": 2 * 17}


def test_networks_are_compared_on_the_same_people(tmp_path):
    for name, arm in (("both", "both"), ("direct", "none")):
        net = network(anchors=arm, joint_places="learned")
        save_weights(tmp_path / f"{name}.safetensors", net, {"name": name})
    files = [(name, tmp_path / f"{name}.safetensors") for name in ("both", "direct")]
    candidates = load_candidates(files, CPU)
    assert [c.net.config.anchors for c in candidates] == ["both", "none"]
    data = dataset(["walk", "walk", "sit", "sit", "sit", "lost"])
    shown = [views(2), None, views(3, first=2)]
    config = EvaluationConfig(noise_px=(0.0, 20.0))
    comparison = compare(data, shown, candidates, config, flip_test=False, noise=True)
    subset = comparison.subset(config)
    assert subset.indices == (1, 3)
    record = summarise(comparison, candidates, subset)
    assert record["dataset"] == {"name": "test", "samples": 6, "found": 5}
    assert record["keypoint_error_px"] == pytest.approx(2 * 9 / 5)
    both, direct, blazepose = record["results"]
    assert [r["name"] for r in record["results"]] == ["both", "direct", "blazepose_world"]
    assert (direct["config"]["anchors"], direct["config"]["joint_places"]) == ("none", "learned")
    assert [both[s]["samples"] for s in ("all", "challenging", "rest")] == [5, 2, 3]
    truth = np.concatenate([part.joints for part in shown if part])
    world = np.concatenate([part.world_landmarks for part in shown if part])
    assert blazepose["all"]["mpjpe_mm"] == pose_scores(world, truth)["mpjpe_mm"]
    weighted = (2 * both["challenging"]["mpjpe_mm"] + 3 * both["rest"]["mpjpe_mm"]) / 5
    assert both["all"]["mpjpe_mm"] == pytest.approx(weighted, abs=0.02)
    assert set(both["by_action"]) == {"walk", "sit"}
    noise = both["noise"]
    assert [point["noise_px"] for point in noise] == [0, 20]
    assert noise[0]["mpjpe_mm"] == both["all"]["mpjpe_mm"] != noise[1]["mpjpe_mm"]
    assert set(both["anchor_offsets_mm"]) == {"all", "local", "global"}
    assert direct["anchor_offsets_mm"] == {}


def test_other_units_find_other_samples():
    data, config = dataset(["walk"] * 4), EvaluationConfig()
    comparison = compare(data, [views(4)], (), config, flip_test=False, noise=False)
    # 9 px of the crop are 18 px of the image and about 6 % of the height.
    for unit, threshold, expected in (
        ("crop", 9.5, ()),
        ("image", 9.5, (1, 3)),
        ("image", 18.5, ()),
        ("share", 4.0, (1, 3)),
        ("share", 9.0, ()),
    ):
        rule = EvaluationConfig(challenging_unit=unit, challenging_threshold=threshold)
        assert comparison.subset(rule).indices == expected


def test_nobody_found_gives_no_numbers_but_how_many_images():
    candidates = (Candidate("net", network(), "", Path("net.safetensors")),)
    config = EvaluationConfig()
    data = dataset(["walk"] * 3)
    comparison = compare(data, [None], candidates, config, flip_test=False, noise=True)
    record = summarise(comparison, candidates, comparison.subset(config))
    assert record["dataset"]["found"] == 0
    assert record["results"] == []
    assert "keypoint_error_px" not in record


def test_networks_that_cannot_be_compared_are_refused(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(first, network(), {})
    save_weights(second, PandaPose(ModelConfig(crop_width=192), nn.Identity()), {})
    with pytest.raises(ValueError, match="different names"):
        load_candidates([("same", first), ("same", first)], CPU)
    with pytest.raises(ValueError, match="one backbone and crop"):
        load_candidates([("a", first), ("b", second)], CPU)


def test_kept_views_are_of_truth_and_clips_as_they_are(tmp_path):
    clip = tmp_path / "walk.mp4"
    for name in ("walk.mp4", "walk.npz"):
        shutil.copy(CLIP.with_name(name), tmp_path / name)
    captures = tmp_path / "captures"
    captures.mkdir()
    for path in (clip.with_suffix(".npz"), captures / "run_1.bvh"):
        folders = set()
        for time in (1, 2):
            path.touch()
            os.utime(path, ns=(time, time))
            data = (
                rendered_clips([clip]) if path.suffix == ".npz" else skeleton_dataset([captures])
            )
            about = (ModelConfig(), KeypointSource.TRUE, "")
            folders.add(views_folder(tmp_path, data, *about, mirrored=False))
        assert len(folders) == 2, path


@pytest.mark.parametrize("step", ["0", "-2"])
def test_samples_cannot_be_taken_in_steps_of_none(tmp_path, capsys, step):
    options = ["--dataset", "clip", "--data", str(CLIP), "--out", str(tmp_path / "o.json")]
    assert main.main(["evaluate", *options, "--every", step]) == 1
    assert f"every 1st sample, or fewer of them; got every {step}" in capsys.readouterr().err


def test_random_samples_are_not_thinned_out(tmp_path, capsys):
    options = ["--dataset", "motion", "--data", str(tmp_path), "--out", str(tmp_path / "o.json")]
    assert main.main(["evaluate", *options, "--every", "2"]) == 1
    assert "leave --every out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [("--noise", "1", "nan"), ("--noise", "inf"), ("--noise", "-1")]
    + [("--challenging-threshold", value) for value in ("nan", "inf", "-5")],
)
def test_numbers_that_are_no_sizes_are_refused_before_all_the_work(tmp_path, capsys, wrong):
    data = ["--dataset", "clip", "--data", str(tmp_path / "none.mp4")]  # not looked at any more
    assert main.main(["evaluate", *data, "--out", str(tmp_path / "o.json"), *wrong]) == 1
    told = capsys.readouterr().err
    assert f"{wrong[0]}: expected 0 or more, and finite; got {float(wrong[-1])}" in told
