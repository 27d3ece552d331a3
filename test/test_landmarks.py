from pathlib import Path

import cv2
import numpy as np
import pytest

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import LANDMARK_NET, PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import find_landmarks, search_together

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"


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
    capture = cv2.VideoCapture(str(CLIP))
    return [np.ascontiguousarray(capture.read()[1][..., ::-1]) for _ in range(3)]


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


def test_no_looks_need_no_pass(net):
    net.passes = 0
    assert search_together(net, []) == []
    assert find_landmarks(net, []) == []
    assert net.passes == 0
