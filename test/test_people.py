import time

import cv2
import numpy as np
import pytest
import torch
from clip_images import backdrop, clip_frames, halved, side_by_side
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.geometry import (
    intrinsics_from_field_of_view,
    project,
    transform_pixels,
    transform_points,
)
from pandapose_ros.people.following import PeopleTracker

FRAMES = 16


@pytest.fixture
def track(detector, landmark_net):
    def start(**options):
        detector.runs = 0
        return PeopleTracker(detector, landmark_net, EstimatorConfig(**options))

    return start


@pytest.fixture(scope="module")
def clip():
    return clip_frames(FRAMES)


@pytest.fixture(scope="module")
def truth_px():
    walk = walk_of_the_demo()
    return [project(joints, walk["K"]) for joints in walk["joints"][:FRAMES]]


@pytest.fixture(scope="module")
def halves(clip):
    return halved(clip)


def test_one_person_is_followed_on_the_truth(track, clip, truth_px):
    tracker = track()
    errors = []
    for image, truth in zip(clip, truth_px, strict=True):
        (person,) = tracker.find(image)
        assert person.score >= 0.5
        # The top of the head is a guess from the face; all else is a landmark.
        error = np.linalg.norm(person.keypoints - truth, axis=1)[np.arange(17) != 10]
        errors.append(error / person.region.size)
    assert np.median(errors) < 0.03


def test_what_is_said_about_a_person_fits_together(track, clip):
    tracker = track()
    height, width = clip[0].shape[:2]
    for image in clip[:2]:
        (person,) = tracker.find(image)
        np.testing.assert_allclose(
            transform_pixels(person.crop_from_image, person.keypoints),
            person.keypoints_crop,
            atol=0.01,
        )
        # Without intrinsics the crop is that of the region, as nearly as a far camera's can be.
        np.testing.assert_allclose(
            transform_pixels(person.crop_from_image, person.region.corners()),
            transform_points(person.region.crop_from_image(256), person.region.corners()),
            atol=1,
        )
        np.testing.assert_allclose(person.image_from_crop_rotation[:, 2], (0, 0, 1), atol=0.02)
        sure = np.flatnonzero(person.keypoint_scores >= 0.5)
        visible = person.keypoints[sure[sure != 10]]  # the crown is beyond all landmarks
        inside = np.clip(visible, 0, (width - 1, height - 1))
        assert (person.box_xyxy[:2] <= inside.min(axis=0)).all()
        assert (person.box_xyxy[2:] >= inside.max(axis=0)).all()
        assert (person.box_xyxy >= 0).all()
        assert (person.box_xyxy <= np.tile((width - 1, height - 1), 2)).all()
        assert [tuple(level.shape) for level in person.features] == [
            (1, 48, 64, 64),
            (1, 48, 32, 32),
            (1, 48, 16, 16),
        ]
        assert person.keypoint_scores.shape == (17,)
        hips = person.world_landmarks[[23, 24]].mean(axis=0)
        assert np.linalg.norm(hips) < 0.05


def test_the_detector_runs_only_when_needed(track, detector, clip):
    tracker = track(detection_interval=6)
    runs = []
    for image in clip[:14]:
        tracker.find(image)
        runs.append(detector.runs)
    assert runs == [1] * 6 + [2] * 6 + [3] * 2


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_newcomers_found_in_the_background_come_one_image_later(
    track, detector, halves, monkeypatch, seconds
):
    # However long the detector takes.
    detect = type(detector).detect

    def slow(self, *args, **options):
        time.sleep(seconds)
        return detect(self, *args, **options)

    monkeypatch.setattr(type(detector), "detect", slow)
    tracker = track(detection_interval=3, detection_tiles=0, background_detection=True)
    seen = []
    for number, half in enumerate(halves[:9]):
        other = half if number >= 1 else backdrop(half)
        seen.append(len(tracker.find(side_by_side(half, other))))
    # The first is found at once, as nobody is tracked; the other in image 3, but known in 4.
    assert seen == [1, 1, 1, 1, 2, 2, 2, 2, 2]


def test_who_is_lost_is_looked_for_at_once(track, detector, halves):
    tracker = track(detection_interval=100, background_detection=True)
    tracker.find(halves[0])
    tracker.find(backdrop(halves[1]))
    assert detector.runs == 2
    assert len(tracker.find(halves[2])) == 1


def test_the_detector_rests_when_there_is_no_room(track, detector, clip):
    tracker = track(detection_interval=2, max_people=1)
    for image in clip[:6]:
        tracker.find(image)
    assert detector.runs == 1


def test_two_people_get_what_each_gets_alone(track, halves):
    width = halves[0].shape[1]
    tracker, left_tracker, right_tracker = track(), track(), track()
    for i in range(4):
        left, right = halves[i], halves[12 + i][:, ::-1]
        people = tracker.find(side_by_side(left, right))
        assert len(people) == 2
        pair = sorted(people, key=lambda person: person.region.centre[0])
        alone = (left_tracker.find(left)[0], right_tracker.find(right)[0])
        for person, single, offset in zip(pair, alone, (0, width), strict=True):
            surely = single.keypoint_scores > 0.8
            distances = np.linalg.norm(person.keypoints - single.keypoints - (offset, 0), axis=1)
            assert np.median(distances[surely]) < 0.03 * single.region.size


def test_a_batch_of_tracks_changes_nobody(track, landmark_net, halves):
    tracker = track()
    pair = side_by_side(halves[0], halves[8])
    tracker.find(pair)
    people = tracker.find(pair)
    assert len(people) == 2
    for person in people:
        crop = cv2.warpPerspective(pair, person.crop_from_image, (256, 256))
        with torch.inference_mode():
            output = landmark_net(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255)
        expected = output.keypoints_px[0].numpy()
        np.testing.assert_allclose(person.keypoints_crop, expected, atol=0.02)
        torch.testing.assert_close(person.features[2], output.features[2], atol=0.01, rtol=0.01)


@pytest.mark.parametrize("field_of_view", [0.8, 1.3, 1.8])
def test_regions_do_not_grow_under_a_wide_lens(track, clip, truth_px, field_of_view):
    # A person who fills the image from top to bottom.
    low, high = truth_px[0].min(axis=0) - 25, truth_px[0].max(axis=0) + 25
    (left, top), (right, bottom) = np.maximum(low, 0).astype(int), high.astype(int)
    image = cv2.resize(clip[0][top:bottom, left:right], None, fx=2, fy=2)
    K = intrinsics_from_field_of_view(field_of_view, image.shape[1], image.shape[0])
    tracker, flat = track(), track().find(image)[0]
    found = [tracker.find(image, K)[0] for _ in range(6)]
    sizes = [person.region.size for person in found]
    np.testing.assert_allclose(sizes, flat.region.size, rtol=0.2)
    surely = flat.keypoint_scores > 0.8
    distances = np.linalg.norm(found[-1].keypoints - flat.keypoints, axis=1)[surely]
    assert np.median(distances) < 0.02 * flat.region.size


def test_somebody_near_whose_hips_are_out_of_sight_is_held(track, clip, truth_px):
    chest = int(truth_px[0][8, 1] * 0.6 + truth_px[0][7, 1] * 0.4)
    head = int(truth_px[0][10, 1])
    half = chest - head
    centre = int(truth_px[0][8, 0])
    near = clip[0][max(head - half // 2, 0) : chest, max(centre - half, 0) : centre + half]
    near = cv2.resize(near, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    K = intrinsics_from_field_of_view(1.05, near.shape[1], near.shape[0])
    tracker = track()
    (before,) = tracker.find(near, K)
    for _ in range(3):
        (person,) = tracker.find(near, K)
        # Found by the landmarks of the image before, not by the detector again.
        assert person.region == before.next_region
        before = person


def test_any_view_is_read_and_none_written(track, clip):
    (expected,) = track().find(clip[0])
    bgr = clip[0][..., ::-1].copy()
    bgr.flags.writeable = False
    before = bgr.copy()
    (person,) = track().find(bgr[..., ::-1])
    np.testing.assert_array_equal(person.keypoints, expected.keypoints)
    np.testing.assert_array_equal(bgr, before)


def test_a_person_cut_by_the_images_edge_keeps_a_box_inside(track, clip, truth_px):
    middle = int(truth_px[0][0][0])
    image = clip[0][:, middle:]
    for person in track(presence_score=0.1).find(image):
        assert person.box_xyxy[0] == 0
        assert (person.box_xyxy[2:] <= (image.shape[1] - 1, image.shape[0] - 1)).all()


@pytest.mark.parametrize("size", [(0, 0), (0, 7), (1, 1), (2, 3000), (3000, 2)])
def test_odd_sizes_hold_nobody(track, size):
    assert track().find(np.zeros((*size, 3), np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_other_images_are_refused(track, image):
    with pytest.raises(ValueError, match=r"expected an RGB uint8 image \[H, W, 3\], got"):
        track().find(image)
