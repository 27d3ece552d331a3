"""What messages of another detector (vision_msgs) say, and of which image."""

import numpy as np
import pytest
from detected_people import array_of, detection
from hypothesis import given, settings
from hypothesis import strategies as st

from pandapose_ros.config import NodeConfig
from pandapose_ros.node.detections import DetectionBuffer, DetectionReader, boxes_from_message
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.people.boxes import check_boxes

pytestmark = pytest.mark.usefixtures("foreign_messages")


def boxes_of(*detections, classes=("person", "0"), size=(640, 480)):
    boxes, reasons = boxes_from_message(array_of(*detections), classes, size)
    assert not reasons
    return boxes.tolist()


def test_people_are_taken_surest_first():
    box, other = (9.5, 19.5, 49.5, 119.5), (99.5, 19.5, 149.5, 119.5)
    shifted = [np.add(each, 0.5) for each in (box, other)]
    found = boxes_of(
        detection(shifted[0], "0", 0.4), detection(shifted[1]), detection((1, 1, 5, 5), "chair")
    )
    assert found == [list(other), list(box)]
    assert boxes_of(detection(shifted[0], "15"), classes=["15"]) == [list(box)]
    assert len(boxes_of(detection(box, "chair"), classes=[""])) == 1
    unnamed = detection(box)
    unnamed.results.clear()
    assert boxes_of(unnamed) == []
    assert len(boxes_of(unnamed, classes=[""])) == 1
    assert boxes_of() == []


def test_of_any_class_the_surest_come_first():
    chair, dog = detection((0, 0, 9, 9), "chair", 0.4), detection((10, 0, 19, 9), "dog", 0.9)
    assert boxes_of(chair, dog, classes=[""]) == [
        *boxes_of(dog, classes=[""]),
        [-0.5, -0.5, 8.5, 8.5],
    ]


@pytest.mark.parametrize("box", [(600, 1, 638, 99), (1, 440, 39, 478), (600, 440, 638, 478)])
def test_people_may_be_anywhere_in_the_image(box):
    assert boxes_of(detection(box)) == [[edge - 0.5 for edge in box]]


@pytest.mark.parametrize("turn", [np.pi / 2, -np.pi / 2, 1.5 * np.pi])
def test_a_turned_box_becomes_the_upright_one_round_it(turn):
    (box,) = boxes_of(detection((100, 100, 140, 200), turn=turn))
    assert box == pytest.approx([69.5, 129.5, 169.5, 169.5])


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((0, 0, float("nan"), 9), "nan x 9 px at (nan, 4.5), turned by 0 rad, is not finite"),
        ((9, 0, 9, 9), "0 x 9 px"),
        ((9, 9, 0, 0), "-9 x -9 px"),
        ((0.2, 0.1, 0.4, 0.9), "are the detector's boxes in shares of the image"),
        ((900, 0, 940, 90), "(920, 45) is not in the image of 640x480"),
        ((0, 480, 40, 490), "(20, 485) is not in the image of 640x480"),
    ],
)
def test_boxes_that_cannot_be_are_left_out_and_told(box, text):
    good = detection((0, 0, 9, 9))
    message = array_of(detection(box), good, detection(box, "chair"))
    boxes, (reason,) = boxes_from_message(message, ["person"], (640, 480))
    assert len(boxes) == 1
    assert text in reason


PIXELS = st.floats() | st.floats(-900, 900)
FOUND = st.tuples(*[PIXELS] * 4, st.floats(), st.floats(), st.text("0p", max_size=2))


@settings(max_examples=300, deadline=None)
@given(st.lists(FOUND))
def test_whatever_comes_gives_boxes_or_reasons(found):
    message = array_of(*(detection(box, name, score, turn) for *box, score, turn, name in found))
    boxes, reasons = boxes_from_message(message, ["0", "p"], (640, 480))
    assert len(boxes) + len(reasons) == sum(name in ("0", "p") for *_, name in found)
    check_boxes(boxes)
    assert np.abs(boxes).max(initial=0) <= 2 * 640


def reader_of(node, buffer):
    statistics, notices = NodeStatistics(), Notices(node.get_logger())
    return DetectionReader(node, "/detections", buffer, statistics, notices), statistics


def test_what_is_another_time_is_said_by_its_cause(make_node):
    buffer = DetectionBuffer()
    reader, statistics = reader_of(make_node(), buffer)
    good = detection((10, 10, 60, 200))

    def read(image, own):
        buffer.add(array_of(good, stamp_ns=round(own * 1e9)))
        return len(reader.read(round(image * 1e9), (640, 480), NodeConfig()))

    assert read(0, 7) == 1  # nobody can tell
    assert read(1e9, 0) == 0
    assert reader.fault.startswith("without a stamp")
    assert read(1e9, 5) == 0
    assert reader.fault.startswith("stamped by another clock")
    assert read(1e9, 1e9 - 3) == 0
    assert reader.fault.startswith("3 s from the image")
    assert statistics.missed_detections == 3
    assert read(1e9, 1e9 - 0.5) == 1
    assert reader.state.startswith("in use")
    # Time jumps back: what belongs to the images before is of no more use.
    buffer.add(array_of(good, stamp_ns=10**18))
    buffer.forget_after(5 * 10**17)
    assert len(reader.read(10**9, (640, 480), NodeConfig())) == 0
    assert statistics.missed_detections == 3


def test_silence_is_that_of_the_images_time(make_node):
    buffer = DetectionBuffer()
    reader, statistics = reader_of(make_node(), buffer)

    def missed(*seconds):
        before = statistics.missed_detections
        for second in seconds:
            reader.read(second * 10**9, (640, 480), NodeConfig(image_timeout=5.0))
        return statistics.missed_detections - before

    assert missed(100, 103, 105) == 0
    assert missed(106) == 1
    buffer.add(array_of(stamp_ns=107 * 10**9))
    assert missed(107, 112) == 0
    assert missed(113) == 1
    assert missed(20, 25) == 0  # a recording that starts again
    assert missed(0) == 0  # an image without a stamp
    now = 10**9 + 20
    assert missed(now, 0, now + 1) == 0
    buffer.resume()
    assert missed(90, 95) == 0
