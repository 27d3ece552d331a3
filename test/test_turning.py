# Somebody who was found upside down, and is turned round later.
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_images import clip_frames
from followed_people import Stream, sighting, states, walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.people import discovery, following, landmarks
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.region import Region
from pandapose_ros.people.sides import Followed
from pandapose_ros.pose import TrackState

NEW, TRACKED, PREDICTED = TrackState.NEW, TrackState.TRACKED, TrackState.PREDICTED
CONFIG = EstimatorConfig(device="cpu", threads=1)
NOBODY = np.empty((0, 4))


@pytest.fixture(scope="module")
def clip():
    return clip_frames(16)


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(CONFIG)


@pytest.fixture
def start(estimator, monkeypatch):
    """Let the estimator find people in turned regions, and believe in what it sees there."""
    detect = estimator._detector.detect

    def begin(degrees, **options):
        def turned(*args, **options):
            found = detect(*args, **options)
            regions = [d.region for d in found]
            regions = [replace(r, angle=r.angle + np.radians(degrees)) for r in regions]
            return [replace(d, region=r) for d, r in zip(found, regions, strict=True)]

        monkeypatch.setattr(estimator._detector, "detect", turned)
        monkeypatch.setattr(discovery, "_SURE", 0.0)
        estimator.reset()
        estimator.update(replace(CONFIG, newcomer_score=0.0, **options))

    return begin


def counted(monkeypatch, tracker, image):
    """How many crops are looked at in an image, look by look."""
    looks, find = [], landmarks.find_landmarks

    def find_and_count(net, wanted):
        looks.extend(len(look.regions) for look in wanted)
        return find(net, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(landmarks, "find_landmarks", find_and_count)
        return tracker.find(image), looks


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize("degrees", [150, 180])
def test_who_is_followed_upside_down_is_righted_under_the_same_id(
    estimator, start, clip, walk, degrees, people
):
    K, interval = walk["K"], 6
    start(degrees, max_people=people, detection_interval=interval)
    told = [estimator.estimate(image, K, stamp=i / 20) for i, image in enumerate(clip)]
    assert [len(poses) for poses in told] == [1] * len(clip)
    assert len({poses[0].id for poses in told}) == 1
    assert [poses[0].state for poses in told] == [NEW] + [TRACKED] * (len(clip) - 1)
    size = 2.5 * K[0, 0] / walk["joints"][0, 0, 2]
    errors = []
    for (pose,), joints in zip(told, walk["joints"], strict=False):
        u, v = (joints @ K.T)[:, :2].T / joints[:, 2]
        off = np.linalg.norm(pose.keypoints - np.stack((u, v), axis=1), axis=1)
        errors.append(off[np.arange(17) != 10].mean() / size)
    # It would stay so: what the landmarks say of the next region stands on its head, too.
    assert min(errors[: interval - 1]) > 0.15
    assert max(errors[interval - 1 :]) < 0.04


def test_without_these_looks_people_stay_upside_down(estimator, start, clip, walk, monkeypatch):
    monkeypatch.setattr(following, "_UPSIDE_DOWN", 0.0)
    start(180, detection_interval=6, presence_score=0.0)
    for i, image in enumerate(clip):
        (pose,) = estimator.estimate(image, walk["K"], stamp=i / 20)
        assert pose.keypoints[8, 1] > pose.keypoints[0, 1]


def test_nobody_who_stands_upright_is_asked(estimator, clip, monkeypatch):
    net = estimator.networks.landmark_net
    tracker = PeopleTracker(estimator._detector, net, replace(CONFIG, detection_interval=1))
    tracker.find(clip[0])
    tracker.config = replace(tracker.config, max_people=1)
    assert [counted(monkeypatch, tracker, image)[1] for image in clip[1:]] == [[1]] * 15


def test_who_is_asked_in_vain_is_asked_once_in_an_interval(estimator, clip, monkeypatch):
    monkeypatch.setattr(following, "_UPSIDE_DOWN", 1.1)
    config = replace(CONFIG, detection_interval=4, max_people=1)
    tracker = PeopleTracker(estimator._detector, estimator.networks.landmark_net, config)
    tracker.find(clip[0])
    looks = []
    for image in clip[1:13]:
        (person,), seen = counted(monkeypatch, tracker, image)
        assert person.turned_from is None
        looks.append(seen)
    assert looks == [[1], [1], [1, 3], [1]] * 3


class Doubtful:
    """The landmark net, which verifies nobody."""

    def __init__(self, net):
        self.net, self.device = net, net.device

    def __call__(self, crops):
        seen = self.net(crops)
        return replace(seen, verifications=torch.zeros_like(seen.verifications))


def test_who_seems_upside_down_is_dropped_once_asked_in_vain(estimator, clip, monkeypatch):
    net = estimator.networks.landmark_net
    config = replace(CONFIG, detection_interval=4)
    (person,) = PeopleTracker(estimator._detector, net, config).find(clip[0])
    tracker = PeopleTracker(estimator._detector, Doubtful(net), config)
    for limit, expected in ((1.1, [1, 1, 0, 0]), (0.0, [0, 0, 0, 0])):
        monkeypatch.setattr(following, "_UPSIDE_DOWN", limit)
        tracker.reset()
        tracker.find(clip[0], boxes=NOBODY)  # all are asked in the fourth image
        tracker.follow([Followed(person.next_region)])
        found = [len(tracker.find(clip[0], boxes=NOBODY)) for _ in range(4)]
        assert found == expected


def upside_down(seen):
    """Somebody as the landmark net makes one up who stands on the head."""
    keypoints = 2 * seen.pose.keypoints[0] - seen.pose.keypoints
    pose = replace(seen.pose, keypoints=keypoints, joints=-seen.pose.joints)
    return replace(seen, pose=pose, next_region=replace(seen.next_region, angle=np.pi))


def test_the_region_tells_who_was_turned(walk):
    # Another, who looks just like somebody upside down, comes into the place of that one's.
    stream, joints, K = Stream(prediction_time=1.0), walk["joints"], walk["K"]
    wrong = upside_down(sighting(joints[0], K))
    for _ in range(5):
        stream(wrong)
    right = replace(sighting(joints[0], K), turned_from=wrong.next_region)
    poses = stream(upside_down(sighting(np.add(joints[0], (0.05, 0, 0)), K)), right)
    assert states(poses) == [(0, TRACKED), (1, NEW)]
    np.testing.assert_array_equal(poses[0].keypoints, right.pose.keypoints)
    # As if the person had never been seen otherwise.
    (track, _) = stream.tracks._tracks
    np.testing.assert_array_equal(track.shape, right.pose.joints)
    assert (0, PREDICTED) in states(stream())


def test_a_turn_in_a_region_of_nobody_tells_nothing(walk):
    stream, seen = Stream(), sighting(walk["joints"][0], walk["K"])
    stream(seen)
    elsewhere = replace(seen, turned_from=Region((10.0, 10.0), 50.0, 0.0))
    assert states(stream(elsewhere)) == [(0, TRACKED)]
