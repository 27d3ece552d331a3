import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.data.rendered_images import read_clip
from pandapose_ros.detector import PersonDetector
from pandapose_ros.evaluation import (
    ImageScores,
    estimate_on_images,
    pose_scores,
    score_skeletons,
    summarise,
)
from pandapose_ros.geometry import project
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import find_model_file
from pandapose_ros.people import PeopleTracker
from pandapose_ros.tools import main

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"
RNG = np.random.default_rng(0)


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
    assert pose_scores(truth[:0], truth[:0]) == {}


def test_subsets_are_split_by_the_error_of_the_keypoints():
    truth = RNG.normal(size=(4, 17, 3))
    scores = summarise(ImageScores(6, truth, truth, 2 * truth, np.array([1.0, 9.0, 6.0, 4.9])))
    assert (scores["images"], scores["found"]) == (6, 4)
    assert [scores[name]["samples"] for name in ("all", "challenging", "rest")] == [4, 2, 2]
    assert scores["all"]["pandapose"]["mpjpe_mm"] == 0
    assert scores["all"]["blazepose_world"]["mpjpe_mm"] > 0
    assert scores["all"]["blazepose_world"]["pa_mpjpe_mm"] == 0
    json.dumps(scores)


def test_nobody_found_gives_no_numbers_but_how_many_images():
    nobody = np.zeros((0, 17, 3))
    scores = summarise(ImageScores(3, nobody, nobody, nobody, np.zeros(0)))
    assert scores == {"images": 3, "found": 0}
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_skeleton_scores_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    net = PandaPose(ModelConfig(), nn.Identity()).eval()
    keypoints = RNG.uniform(0, 255, (66, 17, 2)).astype(np.float32)
    with torch.inference_mode():
        joints = net.lift(None, torch.from_numpy(keypoints)).joints.numpy()
    assert score_skeletons(net, keypoints, joints)["mpjpe_mm"] < 0.01


def test_the_demo_clip_is_scored_beside_blazepose():
    backbone = BlazePose(find_model_file("pose_landmark_full.tflite").read_bytes())
    detector = PersonDetector(find_model_file("pose_detection.tflite"), 1)
    tracker = PeopleTracker(detector, backbone, EstimatorConfig(max_people=1))
    net = PandaPose(ModelConfig(), backbone).eval()
    frames = list(islice(read_clip(CLIP), 3))
    assert np.isfinite(project(frames[0].joints, frames[0].K)).all()
    scores = estimate_on_images(net, tracker, frames, successive=True)
    assert scores.images == len(scores.truth) == 3
    assert (scores.keypoint_errors_px < 12).all()
    # BlazePose's own 3D, put into the truth's axes: a wrong rotation or mirror would show.
    assert pose_scores(scores.world_landmarks, scores.truth)["mpjpe_mm"] < 150


def test_clips_without_truth_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a clip"):
        list(read_clip(tmp_path / "none.mp4"))


def test_evaluating_nothing_is_refused(capsys):
    assert main.main(["evaluate", "--out", "x.json"]) == 1
    assert "give --images" in capsys.readouterr().err
