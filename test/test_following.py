import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import backdrop, clip_frames, halved, side_by_side
from followed_people import NO_VOTES, states, walk_of_the_demo

from pandapose_ros.config import CovarianceConfig, EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import intrinsics_from_field_of_view, project
from pandapose_ros.lifting import LiftedPerson, PinholeImage, place
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.track import Sighting
from pandapose_ros.people.tracks import Tracks
from pandapose_ros.pose import RootSource, TrackState
from pandapose_ros.skeleton import H36M_17_FROM_BLAZEPOSE

NO_SCATTER = np.zeros((17, 3, 3))
NEW, TRACKED, PREDICTED, LOST = (
    TrackState.NEW,
    TrackState.TRACKED,
    TrackState.PREDICTED,
    TrackState.LOST,
)


class Follower:
    """The estimator without the lifter: BlazePose's own 3D instead, which is faster."""

    def __init__(self, people):
        self.people = people
        self.tracks = Tracks(itertools.count())
        self.now = 0.0

    def find(self, image, step=1 / 30):
        self.now += step
        height, width = image.shape[:2]
        K = intrinsics_from_field_of_view(1.05, width, height)
        self.people.follow(self.tracks.followed(self.now))
        view = PinholeImage(image, K, RootSource.INTRINSICS, None)
        sightings = []
        for person in self.people.find(image, K):
            joints = H36M_17_FROM_BLAZEPOSE @ person.world_landmarks
            lifted = LiftedPerson(
                (joints - joints[0]) @ person.image_from_crop_rotation.T,
                NO_VOTES,
                None,
                0.0,
                1.0,
                NO_SCATTER,
            )
            sightings.append(
                Sighting(
                    place(person, lifted, view, CovarianceConfig()),
                    person.next_region,
                    is_exchanged=person.is_exchanged,
                )
            )
        return self.tracks.update(sightings, self.now, (width, height), self.people.config)


@pytest.fixture
def follow(detector, landmark_net):
    def start(**options):
        detector.runs = 0
        return Follower(PeopleTracker(detector, landmark_net, EstimatorConfig(**options)))

    return start


@pytest.fixture(scope="module")
def clip():
    return clip_frames(80)


@pytest.fixture(scope="module")
def truth():
    return walk_of_the_demo()


@pytest.fixture(scope="module")
def halves(clip):
    return halved(clip)


def ids(poses):
    return [pose.id for pose in poses if pose.state in (NEW, TRACKED, TrackState.OFF)]


def test_a_person_comes_goes_and_comes_back(follow, detector, clip):
    camera = follow(prediction_time=0.05)
    empty = backdrop(clip[0])
    assert camera.find(empty) == []
    assert [states(camera.find(image)) for image in clip[:2]] == [[(0, NEW)], [(0, TRACKED)]]
    runs = detector.runs
    gone = [states(camera.find(empty)) for _ in range(3)]
    assert gone == [[(0, PREDICTED)], [(0, LOST)], []]
    assert states(camera.find(clip[1])) == [(0, TRACKED)]
    assert detector.runs == runs + 4


def test_who_is_hidden_for_a_moment_keeps_the_id(follow, clip):
    camera = follow(prediction_time=0.3)
    for image in clip[:8]:
        camera.find(image)
    hidden = [states(camera.find(backdrop(clip[0]))) for _ in range(6)]
    assert hidden == [[(0, PREDICTED)]] * 6
    assert states(camera.find(clip[14])) == [(0, TRACKED)]


def test_a_newcomer_is_noticed_and_a_leaver_dropped(follow, halves):
    camera = follow(detection_interval=4, detection_tiles=0, prediction_time=0.0)
    alone = side_by_side(halves[0], backdrop(halves[0]))
    both = side_by_side(halves[0], halves[8])
    assert states(camera.find(alone)) == [(0, NEW)]
    seen = [ids(camera.find(both)) for _ in range(5)]
    assert seen == [[0]] * 3 + [[0, 1]] * 2
    poses = camera.find(side_by_side(backdrop(halves[0]), halves[8]))
    assert states(poses) == [(1, TRACKED), (0, LOST)]


def test_who_was_lost_is_found_soon_after_coming_back(follow, halves):
    camera = follow(detection_interval=16, detection_tiles=0, prediction_time=0.05)
    alone = side_by_side(halves[0], backdrop(halves[0]))
    both = side_by_side(halves[0], halves[8])
    assert [len(ids(camera.find(both))) for _ in range(2)] == [2, 2]
    states_alone = [[pose.state for pose in camera.find(alone)] for _ in range(3)]
    assert [LOST in seen for seen in states_alone] == [False, True, False]
    # Four images after the last in which the other one was missed, not sixteen.
    assert [len(ids(camera.find(both))) for _ in range(3)] == [1, 1, 2]


def test_the_greatest_number_of_people_may_change(follow, halves):
    camera = follow(max_people=1)
    pair = side_by_side(halves[0], halves[8])
    assert states(camera.find(pair)) == [(0, NEW)]
    config = camera.people.config
    camera.people.config = replace(config, max_people=5, detection_interval=1)
    assert states(camera.find(pair)) == [(0, TRACKED), (1, NEW)]
    camera.people.config = replace(config, max_people=1)
    assert states(camera.find(pair)) == [(0, TRACKED), (1, LOST)]


def test_without_tracking_everybody_is_searched_for_anew(follow, detector, clip):
    camera = follow(tracking=False)
    found = [states(camera.find(image)) for image in clip[:3]]
    assert found == [[(i, TrackState.OFF)] for i in range(3)]
    assert detector.runs == 3


def test_two_tracks_on_one_body_become_one(follow, halves):
    camera = follow(detection_interval=100, prediction_time=0.05)
    narrow = halves[0][:, 80:240]
    assert ids(camera.find(side_by_side(narrow, narrow))) == [0, 1]
    # One person half-way between the two: both tracks are drawn to that one.
    middle = np.pad(narrow, ((0, 0), (80, 80), (0, 0)), mode="edge")
    seen = [ids(camera.find(middle)) for _ in range(4)]
    assert len(seen[-1]) == 1


def crossing(clip, background, number):
    """The clip's person, and in front of the mirror image of that, walking the other way."""
    front = clip[number]
    is_person = np.abs(front - background).max(axis=-1) > 18
    is_person = cv2.morphologyEx(is_person.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    return np.where(is_person[..., None] > 0, front, front[:, ::-1])


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(EstimatorConfig(device="cpu", prediction_time=1.0))


@pytest.mark.parametrize(("rate", "noise"), [(20, 0), (20, 1), (10, 2), (10, 3)])
def test_people_who_cross_in_images_do_not_swap(estimator, clip, truth, rate, noise):
    background = np.median(clip[::11], axis=0).astype(np.int16)
    grain = np.random.default_rng(noise).normal(0, 6, clip[0].shape) * (noise > 0)
    estimator.reset()
    first, orders, seen_ids = (), [], set()
    for number in range(20, 66, 20 // rate):
        # Which of the two is on the left: the one in front until they meet in the middle.
        offset = project(truth["joints"][number, 0], truth["K"])[0] - (clip[0].shape[1] - 1) / 2
        image = (crossing(clip, background, number) + grain).clip(0, 255).astype(np.uint8)
        poses = estimator.estimate(image, truth["K"], stamp=number / 20)
        seen = {pose.id: pose.keypoints[0, 0] for pose in poses if pose.state in (NEW, TRACKED)}
        seen_ids |= seen.keys()
        first = first or (tuple(seen) if len(seen) == 2 else ())
        if first and set(first) <= seen.keys():
            orders.append((offset < 0) == (seen[first[0]] < seen[first[1]]))
    # Who has which id stays: the order of the two turns round when they pass each other.
    assert len(set(orders)) == 1
    assert len(orders) >= 0.7 * 46 * rate / 20
    assert len(seen_ids) == 2
