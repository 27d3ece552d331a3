# People who are elsewhere in the next image: it comes late, or the camera turns quickly.

import numpy as np
import pytest
from clip_images import clip_frames
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import project
from pandapose_ros.people.following import PeopleTracker

SEEN = np.arange(17) != 10  # the top of the head is a guess


@pytest.fixture(scope="module")
def clip():
    return clip_frames(80)


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


@pytest.fixture(scope="module")
def net():
    return PoseEstimator(EstimatorConfig(device="cpu", threads=1)).networks.landmark_net


@pytest.fixture
def tracker(detector, net):
    return PeopleTracker(detector, net, EstimatorConfig(detection_interval=100))


@pytest.mark.parametrize("every", [1, 8, 10], ids=lambda every: f"{20 / every:g} Hz")
def test_people_are_seen_as_well_in_images_that_come_slowly(tracker, detector, clip, walk, every):
    tracker.find(clip[0])
    runs, errors = detector.runs, []
    for i in range(every, len(clip), every):
        (person,) = tracker.find(clip[i], walk["K"])
        off = np.linalg.norm(person.keypoints - project(walk["joints"][i], walk["K"]), axis=1)
        errors.append(off[SEEN].mean())
    # Where they were the last time, and the landmark net as sure, it was up to 100 px.
    assert max(errors) < 10
    assert detector.runs == runs


def test_people_are_seen_while_the_camera_turns_quickly(tracker, clip):
    wide = np.pad(clip[40], ((0, 0), (320, 320), (0, 0)), mode="edge")
    for _ in range(8):
        (still,) = tracker.find(wide)
    size, places = still.next_region.size, []
    for step in range(5):
        shift = round(0.2 * size) * (step + 1)
        (person,) = tracker.find(np.roll(wide, shift, axis=1))
        off = np.linalg.norm(person.keypoints - still.keypoints - (shift, 0), axis=1)
        places.append(off[SEEN].mean())
    assert max(places) < 0.02 * size
