"""People found by the boxes of another detector than the built-in one."""

from types import SimpleNamespace

import numpy as np
import pytest

from pandapose_ros.camera.lens import Distortion, distort_pixels, undistort_pixels
from pandapose_ros.camera.lens_boxes import undistort_boxes
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import CameraImage, PoseEstimator
from pandapose_ros.people import landmarks
from pandapose_ros.people.boxes import (
    BoxChooser,
    check_boxes,
    detections_from_boxes,
    unclaimed,
)

NOBODY = np.empty((0, 4))
SIZE = (640, 480)
BARREL = Distortion(np.array([-0.3, 0.1, 0.001, -0.001, 0.0]))
FISHEYE = Distortion(np.array([-0.02, 0.01, 0.0, 0.0]), is_fisheye=True)


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(EstimatorConfig(threads=1))


@pytest.fixture(scope="module")
def shown(walker):
    """The walker, far away in an image of a room, and the box; our detectors are blind."""
    height, width = walker.shape[:2]
    image = np.full((6 * height, 6 * width, 3), 90, np.uint8)
    left, top = 2 * width, height
    image[top : top + height, left : left + width] = walker
    (pose,) = PoseEstimator(EstimatorConfig(threads=1)).estimate(walker)
    return image, pose.box_xyxy + np.array((left, top, left, top)), pose


def test_a_box_finds_whom_the_built_in_detectors_do_not_see(estimator, shown):
    image, box, alone = shown
    estimator.reset()
    assert estimator.estimate(image) == []
    (pose,) = estimator.estimate(image, boxes=[box])
    apart = pose.keypoints - box[:2] - (alone.keypoints - alone.box_xyxy[:2])
    assert np.linalg.norm(apart, axis=-1).max() < 0.05 * (box[3] - box[1])
    # Who has been found is followed without boxes, and with those that are of no use.
    for boxes in (NOBODY, [box], [box + 5], None):
        (again,) = estimator.estimate(image, boxes=boxes)
        assert again.id == pose.id


def test_the_built_in_detectors_do_not_run_where_boxes_are_given(
    estimator, walker, shown, monkeypatch
):
    def detect(*_args, **_options):
        raise AssertionError("a built-in detector has run")

    estimator.reset()
    monkeypatch.setattr(estimator._detector, "detect", detect)
    monkeypatch.setattr(estimator._bodies, "detect", detect)
    assert estimator.estimate(walker, boxes=NOBODY) == []
    (pose,) = estimator.estimate(walker, boxes=shown[2].box_xyxy[None])
    assert np.allclose(pose.keypoints, shown[2].keypoints, atol=8)


def test_a_box_where_nobody_is_gives_nobody(estimator, blank):
    estimator.reset()
    assert estimator.estimate(blank, boxes=[[100, 40, 180, 220]]) == []


def test_boxes_of_each_camera_are_its_own(estimator, walker, shown):
    estimator.reset()
    with_box = CameraImage(walker, camera="left", boxes=shown[2].box_xyxy[None])
    without = CameraImage(walker, camera="right", boxes=NOBODY)
    found = estimator.estimate_together([with_box, without])
    assert [len(people) for people in found] == [1, 0]


@pytest.mark.parametrize(
    "boxes",
    [
        [[0, 0, 10]],
        [0, 0, 10, 10],
        [[0, 0, np.nan, 10]],
        [[0, 0, np.inf, 10]],
        [[10, 0, 0, 10]],
        [[0, 5, 10, 5]],
        np.empty((5, 0)),
    ],
)
def test_what_is_no_box_is_refused(estimator, blank, boxes):
    with pytest.raises(ValueError, match=r"expected boxes"):
        estimator.estimate(blank, boxes=boxes)


def test_no_boxes_are_boxes():
    assert check_boxes([]).shape == (0, 4)
    assert check_boxes(NOBODY).shape == (0, 4)


def test_everybody_who_is_seen_claims_one_box_only():
    box = np.array((100.0, 100, 180, 300))
    one, other = (SimpleNamespace(box_xyxy=box + shift) for shift in (0, 300))
    behind, beside = box + 10, box + np.array((200, 0, 200, 0))
    far = box + np.array((800, 0, 800, 0))
    left = unclaimed(np.stack((behind, far, box)), [one])
    assert left.tolist() == [behind.tolist(), far.tolist()]
    assert unclaimed(np.stack((behind, box)), [one, one]).tolist() == []
    assert unclaimed(beside[None], [one]).tolist() == [beside.tolist()]
    assert unclaimed(NOBODY, [one, other]).shape == (0, 4)
    assert unclaimed(box[None], []).tolist() == [box.tolist()]


def test_boxes_looked_at_in_vain_wait_and_make_room_for_others():
    boxes = np.array([[10.0 * i, 0, 10 * i + 5, 20] for i in range(5)])

    def choose(chooser, wait=3):
        chosen = chooser.choose(boxes, [], 2, wait)
        if len(chosen):
            chooser.tell(has_found=False)
        return (chosen[:, 0] / 10).tolist()

    chooser = BoxChooser()
    seen = [choose(chooser) for _ in range(8)]
    assert seen == [[0, 1], [], [], [2, 3], [], [], [4, 0], []]
    assert choose(chooser, wait=0) == [1, 2]  # who is lost is not waited for
    chooser.tell(has_found=True)
    assert choose(chooser) == [0, 1]
    assert chooser.choose(boxes, [], 0, 0).shape == (0, 4)


def test_false_boxes_do_not_hide_somebody_for_good(walker, shown):
    estimator = PoseEstimator(EstimatorConfig(threads=1, max_people=1, detection_interval=2))
    nobody = [[5.0, 5 + 20 * i, 12, 22 + 20 * i] for i in range(6)]
    boxes = np.array([*nobody, shown[2].box_xyxy])
    assert estimator.estimate(walker, boxes=boxes) == []
    assert len([pose for _ in range(2) for pose in estimator.estimate(walker, boxes=boxes)]) > 0


def answered(search, scores):
    """Run a search; the regions it looks at get these scores, in their order."""
    try:
        asked = next(search)
        people = [SimpleNamespace(region=r, score=s) for r, s in zip(asked, scores, strict=True)]
        search.send([person for person in people if person.score > 0])
    except StopIteration as end:
        return end.value
    raise AssertionError("looked at more than once")


@pytest.mark.parametrize("box", [(10.0, 20, 50, 120), (10.0, 20, 110, 60)])
def test_the_region_round_a_box_shows_all_of_it(box):
    (found,) = answered(detections_from_boxes(np.array([box]), list), (0.9, 0.8))
    corners = found.region.corners()
    assert found.region.centre == ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert (corners.min(0) < box[:2]).all()
    assert (corners.max(0) > box[2:]).all()
    assert found.score == 1


@pytest.mark.parametrize(
    ("scores", "v"), [((0.9, 0.8), 70), ((0.5, 0.9), 95), ((0, 0.4), 95), ((0, 0), 70)]
)
def test_the_hips_in_a_box_that_is_not_tall_are_where_the_net_says(scores, v):
    boxes = np.array([[10.0, 20, 50, 120], [10, 20, 110, 120]])
    tall, other = answered(detections_from_boxes(boxes, list), scores)
    assert tall.region.centre == (30, 70)
    assert other.region.centre == (60, v)


@pytest.mark.parametrize("scale", [1.0, 0.8])
@pytest.mark.parametrize("distortion", [BARREL, FISHEYE])
def test_boxes_are_moved_to_the_ideal_image(distortion, scale):
    K = np.array([[400.0, 0, 320], [0, 410, 240], [0, 0, 1]])
    K_ideal = K.copy()
    K_ideal[:2, :2] *= scale
    ideal = np.array([[200.0, 100], [330, 400]])
    left, top = distort_pixels(ideal[:1], K_ideal, distortion, K)[0]
    right, bottom = distort_pixels(ideal[1:], K_ideal, distortion, K)[0]
    (box,) = undistort_boxes(np.array([[left, top, right, bottom]]), K, distortion, SIZE, K_ideal)
    # Round the bent edges, so a little more.
    assert (box[:2] <= ideal[0] + 0.01).all()
    assert (box[2:] >= ideal[1] - 0.01).all()
    assert np.abs(box - ideal.ravel()).max() < 12


def test_boxes_that_no_pinhole_shows_are_left_out():
    K = np.array([[150.0, 0, 320], [0, 150, 240], [0, 0, 1]])
    lens = Distortion(np.zeros(4), is_fisheye=True)
    seen, partly = [300.0, 200, 340, 300], [440.0, 200, 640, 400]
    unseen = [[600.0, 200, 640, 300], [555, 100, 600, 300], [555.4, 200, 700, 300]]
    boxes = undistort_boxes(np.array([*unseen, seen, partly]), K, lens, SIZE)
    assert len(boxes) == 2
    assert (boxes >= -0.5).all()
    assert (boxes <= np.tile(SIZE, 2) - 0.5).all()
    assert boxes[1, 2] == SIZE[0] - 0.5
    assert undistort_boxes(np.array(unseen), K, lens, SIZE).shape == (0, 4)


def test_the_inverse_of_a_wide_lens_is_found_to_its_edges():
    # As of depth cameras with 90 degrees; OpenCV's search ends before it has found a quarter.
    K = np.array([[305.0, 0, 320], [0, 305, 240], [0, 0, 1]])
    lens = Distortion(np.array([5.4, 3.6, 0, 0, 0.19, 5.75, 5.3, 0.97]))
    columns, rows = np.meshgrid(np.linspace(0, 639, 17), np.linspace(0, 479, 13))
    pixels = np.stack((columns, rows), axis=-1).reshape(-1, 2)
    ideal = undistort_pixels(pixels, K, lens)
    assert np.isfinite(ideal).all()
    assert np.abs(distort_pixels(ideal, K, lens) - pixels).max() < 1


def test_a_box_in_a_distorted_image_finds_the_person(estimator, walker):
    height, width = walker.shape[:2]
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    estimator.reset()
    (by_itself,) = estimator.estimate(walker, K, BARREL)
    estimator.reset()
    (pose,) = estimator.estimate(walker, K, BARREL, boxes=by_itself.box_xyxy[None])
    assert np.linalg.norm(pose.keypoints - by_itself.keypoints, axis=-1).max() < 10


def test_an_empty_room_with_a_poster_costs_no_look_in_every_image(estimator, blank, monkeypatch):
    looks, find = [], landmarks.find_landmarks

    def find_and_count(net, wanted):
        looks.extend(region for look in wanted for region in look.regions)
        return find(net, wanted)

    def is_looked_at():
        looks.clear()
        assert estimator.estimate(blank, boxes=[[100, 40, 160, 220]]) == []
        return len(looks) > 0

    monkeypatch.setattr(landmarks, "find_landmarks", find_and_count)
    estimator.reset()
    rest = EstimatorConfig().detection_interval - 1
    seen = [is_looked_at() for _ in range(rest + 2)]
    assert seen == [True, *[False] * rest, True]
