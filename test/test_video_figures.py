import gc
import json
from itertools import islice

import numpy as np
import pytest
import torch
from clip_images import CLIP, write_video

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.data.rendered_images import read_clip
from pandapose_ros.evaluation.video import (
    Track,
    bone_length_variation,
    count_flips,
    follow_person,
    video_figures,
)
from pandapose_ros.geometry import project
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import LANDMARK_NET, PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.tools.main import main

LEGS, ARMS = (1, 2, 3, 4, 5, 6), (11, 12, 13, 14, 15, 16)


@pytest.fixture(scope="module")
def clip():
    return list(islice(read_clip(CLIP), 4))


@pytest.fixture
def track(clip):
    joints = np.stack([frame.joints for frame in clip])
    return Track(
        frames=4,
        numbers=np.arange(4),
        keypoints=project(joints, clip[0].K),
        scores=np.ones((4, 17)),
        joints={"true": joints - joints[:, :1]},
        K=clip[0].K,
    )


def test_the_truth_has_the_figures_of_the_truth(track):
    figures = video_figures(track, "true")
    assert figures["bone_length_cv"] < 0.03  # joints lie inside a body that is bent
    assert figures["reprojection_share"] < 1e-3
    assert (figures["flips"], figures["leg_flips"], figures["arm_flips"]) == (0, 0, 0)


def test_bones_that_grow_are_noticed():
    pose = np.random.default_rng(0).normal(size=(17, 3))
    poses = np.stack((0.9 * pose, pose, 1.1 * pose))
    assert bone_length_variation(poses) == pytest.approx(np.std((0.9, 1.0, 1.1)))


def test_reprojection_is_a_share_of_the_persons_height(track, clip):
    height = np.ptp(track.keypoints, axis=1).max(axis=1).mean()
    moved = track.joints["true"].copy()
    moved[:, 16] += (0.3, 0, 0)
    track.joints["moved"] = moved
    share = video_figures(track, "moved")["reprojection_share"]
    one_of_17 = 0.3 * track.K[0, 0] / clip[0].joints[0, 2] / height / 17
    # The pelvis is placed so that the others give way a little.
    assert 0.7 * one_of_17 < share < 2 * one_of_17


def test_exchanged_sides_are_counted_once_when_they_come_and_once_when_they_go(track):
    joints = track.joints["true"]
    mirror = list(H36M_17.mirror)
    swapped = joints.copy()
    swapped[2] = joints[2][mirror]
    assert count_flips(swapped, track.numbers, LEGS + ARMS) == 2
    legs = joints.copy()
    legs[2:, LEGS] = joints[2:][:, [mirror[joint] for joint in LEGS]]
    assert count_flips(legs, track.numbers, LEGS) == 1
    assert count_flips(legs, track.numbers, ARMS) == 0
    assert count_flips(legs, np.array((0, 1, 9, 10)), LEGS) == 0  # frames lie between


def test_the_person_is_followed_through_a_video(clip):
    landmark_net = BlazePose(find_model_file(LANDMARK_NET).read_bytes())
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), 1)
    tracker = PeopleTracker(detector, landmark_net, EstimatorConfig())
    black = np.zeros_like(clip[0].image)
    held = []

    def images():
        for image in (black, *(frame.image for frame in clip[:2]), black):
            gc.collect()
            shapes = [tuple(each.shape) for each in gc.get_objects() if type(each) is torch.Tensor]
            held.append(sum(shape == (1, 48, 64, 64) for shape in shapes))
            yield image

    track = follow_person(images(), tracker, (), 1.05, "own")
    assert max(held) - held[0] <= 1  # a long video's feature maps would fill the memory
    assert (track.frames, track.numbers.tolist()) == (4, [1, 2])
    figures = video_figures(track, "own")
    assert figures["bone_length_cv"] < 0.1
    assert figures["flips"] == 0
    with pytest.raises(ValueError, match="found none in 1"):
        follow_person([black], tracker, (), 1.05, "own")


def test_a_video_without_anybody_does_not_cost_the_others(clip, tmp_path, capsys):
    seen, empty, out = (tmp_path / name for name in ("seen.avi", "empty.avi", "out.json"))
    write_video(seen, [frame.image for frame in clip])
    write_video(empty, [np.zeros_like(frame.image) for frame in clip])
    words = ["evaluate", "--out", str(out), "--video", str(seen), str(empty)]
    assert main([*words, str(tmp_path / "none.avi")]) == 1
    assert "cannot open the video" in capsys.readouterr().err
    assert not out.exists()  # told before the work
    assert main(words) == 1
    told = capsys.readouterr()
    assert f"{empty}: expected a person in two frames or more" in told.err
    assert "seen.avi, blazepose_world" in told.out
    assert [video["video"] for video in json.loads(out.read_text())["videos"]] == ["seen.avi"]
