from dataclasses import replace

import numpy as np
import pytest
from followed_people import FRAME, SIZE, Stream, sighting, states, walk_of_the_demo

from pandapose_ros.geometry import project
from pandapose_ros.people import track, tracks
from pandapose_ros.pose import DepthVotes, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17

NEW, TRACKED, PREDICTED, LOST = TrackState.NEW, TrackState.TRACKED, TrackState.PREDICTED, 4


@pytest.fixture(scope="module")
def walk():
    return walk_of_the_demo()


def test_who_is_out_of_sight_is_predicted_then_lost(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    for i in range(12):
        poses = stream(sighting(joints[i], K))
        assert states(poses) == [(0, TRACKED if i else NEW)]
    last = poses[0]
    scores, errors = [last.joint_scores.max()], []
    for i in range(12, 20):
        (pose,) = stream()
        assert (pose.id, pose.state) == (0, PREDICTED)
        errors.append(np.linalg.norm(pose.root - joints[i, 0]))
        np.testing.assert_allclose(
            project(pose.root, K), pose.keypoints[0], atol=0.02 * stream.regions[0].size
        )
        # Nobody knew before the first image without the person.
        centre = pose.keypoints[0] if i > 12 else last.keypoints[0]
        np.testing.assert_allclose(stream.regions[0].centre, centre, atol=1e-3)
        np.testing.assert_array_equal(pose.joints, last.joints)
        assert pose.root_covariance[0, 0] > last.root_covariance[0, 0]
        scores.append(pose.joint_scores.max())
    assert np.linalg.norm(joints[19, 0] - joints[11, 0]) > 0.25
    assert max(errors) < 0.05
    assert (np.diff(scores) < 0).all()
    assert 0 < scores[-1] < 0.2 * scores[0]
    (gone,) = stream()
    assert (gone.id, gone.state, gone.root, gone.score) == (0, LOST, None, 0)
    for unknown in (gone.joints, gone.keypoints, gone.box_xyxy):
        assert np.isnan(unknown).all()
    assert stream() == []
    assert states(stream(sighting(joints[20], K))) == [(0, TRACKED)]


@pytest.mark.parametrize(("change", "moves"), [(0.005, True), (0.5, False)])
def test_people_go_on_though_the_intrinsics_follow_the_focus(walk, change, moves):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    for i in range(12):
        stream.tracks.follow_lens(K)
        (seen,) = stream(sighting(joints[i], K))
    for i in range(3):  # to and fro
        zoom = 1 - change * (i % 2 - 0.5)
        stream.tracks.follow_lens(np.diag((zoom, zoom, 1)) @ K)
        (predicted,) = stream()
    assert (np.linalg.norm(predicted.root - seen.root) > 0.05) == moves


def test_of_who_is_not_seen_nothing_is_said_that_was_estimated(walk):
    stream, seen = Stream(prediction_time=0.1), sighting(walk["joints"][0], walk["K"])
    votes = DepthVotes(np.zeros((17, 4, 3)), np.full((17, 4), 0.25))
    pose = replace(seen.pose, depth=votes, joint_covariances=np.tile(np.eye(3), (17, 1, 1)))
    for _ in range(3):
        (last,) = stream(replace(seen, pose=pose))
    assert last.depth is votes
    (predicted,) = stream()
    assert predicted.state == PREDICTED
    assert predicted.score == pytest.approx(last.score * (1 - FRAME / 0.1))
    (gone,) = [pose for _ in range(4) for pose in stream() if pose.state == LOST]
    assert gone.root_source is RootSource.NONE
    assert gone.joint_covariances is None
    for pose in (predicted, gone):
        assert pose.depth is None
        assert len(pose.anchors.positions) == 0


def test_those_seen_last_are_looked_for_first(walk):
    stream, joints, K = Stream(), walk["joints"], walk["K"]
    other = joints + np.array([1.2, 0, 0])
    for i in range(5):
        stream(sighting(joints[i], K), sighting(other[i], K))
    for i in (5, 6):
        stream(sighting(other[i], K))
    centres = [region.centre[0] for region in stream.regions]
    seen, unseen = project(other[6, 0], K)[0], project(joints[6, 0], K)[0]
    np.testing.assert_allclose(centres, (seen, unseen), atol=20)


def test_who_is_found_again_in_time_keeps_the_number(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    for i in range(10):
        stream(sighting(joints[i], K))
    for _ in range(8):
        stream()
    assert states(stream(sighting(joints[18], K))) == [(0, TRACKED)]


def test_somebody_elsewhere_is_somebody_else(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    for i in range(10):
        stream(sighting(joints[i], K))
    aside, behind = joints[10] + (1.0, 0, 0), joints[10] * 1.8
    assert states(stream(sighting(aside, K), sighting(behind, K))) == [
        (0, PREDICTED),
        (1, NEW),
        (2, NEW),
    ]


def test_no_prediction_for_a_glimpse_or_without_time(walk):
    joints, K = walk["joints"], walk["K"]
    stream = Stream(prediction_time=0.3)
    stream(sighting(joints[0], K))
    assert states(stream()) == [(0, LOST)]
    stream = Stream(prediction_time=0.0)
    for i in range(5):
        stream(sighting(joints[i], K))
    assert states(stream()) == [(0, LOST)]


def test_a_slow_camera_keeps_people_too(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    seen = [states(stream(sighting(joints[i], K), step=1.0)) for i in range(60, 130, 15)]
    assert seen == [[(0, NEW)]] + [[(0, TRACKED)]] * 4
    assert states(stream(sighting(joints[120], K), step=10.5)) == [(1, NEW), (0, LOST)]


def test_no_more_people_than_wanted(walk):
    joints, K = walk["joints"], walk["K"]
    stream = Stream(max_people=2, prediction_time=1.0)
    first, second, third = (joints[0] + (x, 0, 0) for x in (0.0, 1.2, 2.4))
    for _ in range(3):
        stream(sighting(first, K), sighting(second, K))
    told = stream(sighting(first, K))
    assert states(told) == [(0, TRACKED), (1, PREDICTED)]
    poses = stream(sighting(first, K), sighting(third, K))
    assert states(poses) == [(0, TRACKED), (2, NEW), (1, LOST)]
    assert poses[2].age == told[1].age  # as old as when last told


def test_a_predicted_box_stays_in_the_image(walk):
    stream, joints, K = Stream(prediction_time=1.0), walk["joints"], walk["K"]
    # To the left, out of the image.
    for i in range(12):
        stream(sighting(joints[0] - (0.06 * i, 0, 0), K))
    for _ in range(20):
        (pose,) = stream()
        assert (pose.box_xyxy >= 0).all()
        assert (pose.box_xyxy <= np.tile(SIZE, 2) - 1).all()


def test_another_image_size_and_reset_start_anew(walk):
    stream, joints, K = Stream(), walk["joints"], walk["K"]
    stream(sighting(joints[0], K))
    poses = stream.tracks.update([sighting(joints[0], K)], 1.0, (320, 240), stream.config)
    assert states(poses) == [(1, NEW), (0, LOST)]
    stream.tracks.reset()
    poses = stream.tracks.update([sighting(joints[0], K)], 1.1, (320, 240), stream.config)
    assert states(poses) == [(2, NEW)]


def test_without_tracking_nobody_is_followed(walk):
    stream, joints, K = Stream(tracking=False), walk["joints"], walk["K"]
    assert states(stream(sighting(joints[0], K))) == [(0, TrackState.OFF)]
    assert states(stream(sighting(joints[0], K))) == [(1, TrackState.OFF)]
    assert stream() == []


def mirrored(joints):
    """The same person the other way round: from right to left."""
    return joints[..., list(H36M_17.mirror), :] * (-1.0, 1.0, 1.0)


@pytest.mark.parametrize("hidden", [0.0, 0.35, 0.6])
def test_people_who_cross_do_not_swap(walk, hidden):
    # Both walk through the image, one in front of the other; the one behind is not seen while
    # the two are nearer than `hidden` in the image [m]. Seen alone is whoever is in front.
    K, swaps, kept, crossings = walk["K"], 0, 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        start = int(rng.integers(0, 10))
        front = walk["joints"][start : start + 75] - (0, 0, rng.uniform(0.3, 1.2))
        late = int(rng.integers(0, 10))
        behind = mirrored(walk["joints"][late : late + 75])
        stream, owners = Stream(prediction_time=1.0), {}
        for near, far in zip(front, behind, strict=True):
            people = {"near": near, "far": far}
            apart = abs(project(near[0], K)[0] - project(far[0], K)[0]) * far[0, 2] / K[0, 0]
            if apart < hidden:
                del people["far"]
            names = [*people] if rng.random() < 0.5 else [*people][::-1]
            poses = stream(*(sighting(people[name], K, rng) for name in names))
            for pose in poses:
                if pose.state in (NEW, TRACKED):
                    name = min(people, key=lambda n: np.linalg.norm(pose.root - people[n][0]))
                    swaps += owners.setdefault(pose.id, name) != name
        crossings += 1
        kept += len(owners) == 2
    assert (swaps, crossings) == (0, 12)
    assert kept >= 11


def passing(walk):
    """Two people at each image of 30 Hz: one who walks to the right, the other's mirror image."""
    body = walk["joints"][0] - walk["joints"][0, 0]
    other = body[list(H36M_17.mirror)] * (-1, 1, 1)
    for i in range(40):
        x = -1 + 1.5 * i * FRAME
        yield body + np.array((x, 0, 4)), other + np.array((-x, 0, 4))


def ids_after_passing(walk):
    """Who two people are before and after one of them is seen twice, the other not at all."""
    stream, K, ids = Stream(prediction_time=1.0), walk["K"], []
    for i, (right, left) in enumerate(passing(walk)):
        seen = [sighting(right, K), sighting(left, K)]
        if 17 <= i < 27:  # a mixture of both, which stays with the wrong one
            share = np.clip((i - 17) / 6, 0, 1)
            seen = [sighting((1 - share) * right + share * left, K)]
        poses = stream(*seen)
        if len(seen) == 2:
            places = np.array([[p.root[0] for p in poses], [p.id for p in poses]]).T
            order = places[np.argsort(places[:, 0]), 1]
            ids.append(list(order if right[0, 0] < left[0, 0] else order[::-1]))
    return ids


def test_who_took_anothers_place_gets_the_own_number_back(walk):
    ids = ids_after_passing(walk)
    assert len(ids) == 30
    assert ids == [[0, 1]] * 30


def test_without_doubt_and_memory_the_numbers_would_be_swapped(walk, monkeypatch):
    monkeypatch.setattr(tracks, "_NEAR", 0.0)
    monkeypatch.setattr(track, "_SHAPE_MEMORY", 1e-9)
    assert ids_after_passing(walk)[-1] == [1, 0]


def test_a_joint_that_is_unknown_once_does_not_spoil_the_shape(walk):
    known = sighting(walk["joints"][0], walk["K"])
    joints = known.pose.joints.copy()
    joints[5] = np.nan
    unknown = replace(known, pose=replace(known.pose, joints=joints))
    for first, second in ((known, unknown), (unknown, known)):
        person = track.Track(0, first, since=0.0)
        person.see(first, 0.0)
        person.see(second, FRAME)
        np.testing.assert_allclose(person.shape, known.pose.joints)


def test_joints_out_of_sight_are_less_and_less_sure(walk):
    stream, K = Stream(prediction_time=0.3), walk["K"]
    known = np.tile(np.eye(3) * 1e-3, (17, 1, 1))
    known[0] = 0
    for i in range(5):
        seen = sighting(walk["joints"][i], K)
        stream(replace(seen, pose=replace(seen.pose, joint_covariances=known)))
    (first,), (second,) = stream(), stream()
    assert (first.joint_covariances[0] == 0).all()
    sizes = [np.trace(p.joint_covariances[1:], axis1=1, axis2=2) for p in (first, second)]
    assert (sizes[0] > 3e-3).all()
    assert (sizes[1] > sizes[0]).all()


def test_age_goes_by_the_stamps_from_new_to_lost(walk):
    stream, joints, K = Stream(prediction_time=0.3), walk["joints"], walk["K"]
    seen, ages = sighting(joints[0], K), []
    for step in (FRAME, 0.5, 0.5, 0.25):
        (pose,) = stream(seen, step=step)
        ages.append(pose.age)
    assert ages == pytest.approx([0, 0.5, 1.0, 1.25])
    (predicted,) = stream(step=0.2)
    assert (predicted.state, predicted.age) == (PREDICTED, pytest.approx(1.45))
    (gone,) = stream(step=0.2)
    assert (gone.state, gone.age) == (LOST, pytest.approx(1.45))
    (again,) = stream(seen, step=0.5)
    assert (again.id, again.state, again.age) == (0, TRACKED, pytest.approx(2.15))
    other = Stream(memory_time=0.0, prediction_time=0.0)
    assert [other(*people)[0].age for people in ([seen], [], [seen])] == [0, 0, 0]
    (pose,) = Stream(tracking=False)(seen)
    assert pose.age == 0


def test_a_change_of_sides_is_no_other_person(walk):
    joints, K, mirror = walk["joints"][120], walk["K"], list(H36M_17.mirror)
    wide = joints[0] + (joints - joints[0]) * (3.0, 1.0, 1.0)  # with arms and legs far apart
    stream = Stream()
    stream(sighting(wide, K))
    assert states(stream(sighting(wide[mirror], K))) == [(0, TRACKED)]
    behind = sighting(wide, K).pose.keypoints - sighting(wide[mirror], K).pose.keypoints
    assert np.linalg.norm(behind, axis=1).mean() > 0.2 * sighting(wide, K).next_region.size
