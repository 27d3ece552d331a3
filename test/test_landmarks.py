from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_images import clip_frames

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import LANDMARK_NET, PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import Look, find_landmarks, search_together
from pandapose_ros.people.region import Region

K = intrinsics_from_field_of_view(1.0, 640, 480)


class CountingNet(BlazePose):
    passes = 0

    def forward(self, crops):
        self.passes += 1
        return super().forward(crops)


@pytest.fixture(scope="module")
def net():
    return CountingNet(find_model_file(LANDMARK_NET).read_bytes())


@pytest.fixture
def make_tracker(net):
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), threads=1)
    return lambda: PeopleTracker(detector, net, EstimatorConfig())


@pytest.fixture(scope="module")
def clip():
    return clip_frames(3)


def test_searches_side_by_side_share_the_passes(make_tracker, net, clip):
    full, half, alone = make_tracker(), make_tracker(), make_tracker()
    for image in clip:
        net.passes = 0
        small = np.ascontiguousarray(image[::2, ::2])
        (one,), (other,), nobody = search_together(
            net, [full.search(image), half.search(small), make_tracker().search(small[:9, :9])]
        )
        shared, net.passes = net.passes, 0
        (expected,) = alone.find(image)
        assert shared == net.passes
        assert nobody == []
        np.testing.assert_allclose(one.keypoints, expected.keypoints, atol=0.1)
        size = one.region.size
        assert np.abs(2 * other.keypoints + 0.5 - one.keypoints).mean() < 0.03 * size


def looked_at(net, image, regions, least_score=0.5):
    (people,) = find_landmarks(net, [Look(image, K, regions, least_score)])
    return people


def test_who_is_hardly_there_is_left_out(make_tracker, net, clip):
    (person,) = make_tracker().find(clip[0])
    regions = [Region((40.0, 60.0), 60.0, 0.0), person.next_region]
    for least_score, expected in ((0.5, regions[1:]), (0.0, regions)):
        people = looked_at(net, clip[0], regions, least_score)
        assert [found.region for found in people] == expected


@pytest.mark.parametrize(
    ("centre", "size", "is_usable"),
    [
        ((630.0, 240.0), 100.0, True),
        ((690.5, 240.0), 100.0, False),
        ((-51.0, 240.0), 100.0, False),
        ((320.0, 530.5), 100.0, False),
        ((320.0, -51.0), 100.0, False),
        ((320.0, 240.0), 7.0, False),
        ((np.nan, 240.0), 100.0, False),
    ],
)
def test_only_regions_that_show_some_of_the_image_are_looked_at(
    net, clip, centre, size, is_usable
):
    net.passes = 0
    people = looked_at(net, clip[0], [Region(centre, size, 0.0)], least_score=0.0)
    assert len(people) == net.passes == is_usable


class Partial:
    """The landmark net; sees the first landmarks only, and verifies everybody by half."""

    def __init__(self, net, count):
        self.net, self.device, self.count = net, net.device, count

    def __call__(self, crops):
        seen = self.net(crops)
        visibilities = torch.ones_like(seen.visibilities)
        visibilities[:, self.count :] = 0
        halves = torch.full_like(seen.presences, 0.5)
        return replace(seen, visibilities=visibilities, verifications=halves)


def test_the_box_is_round_what_is_seen_or_else_round_all(make_tracker, net, clip):
    (person,) = make_tracker().find(clip[0])
    whole, head, none = (
        looked_at(Partial(net, count), clip[0], [person.region])[0] for count in (33, 11, 0)
    )
    heights = [each.box_xyxy[3] - each.box_xyxy[1] for each in (whole, head, none)]
    assert heights[1] < 0.3 * heights[0]
    assert heights[2] == heights[0]
    assert whole.score == pytest.approx(0.5 * person.score, rel=0.01)


def test_no_looks_need_no_pass(net):
    net.passes = 0
    assert search_together(net, []) == []
    assert find_landmarks(net, []) == []
    assert net.passes == 0
