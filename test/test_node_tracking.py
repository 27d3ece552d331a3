import numpy as np
import pytest
from rclpy.time import Time

from pandapose_ros.msg import Skeleton3D


@pytest.fixture
def node(make_node):
    return make_node(threads=1, prediction_time=0.15)


def people(message):
    return [(skeleton.id, skeleton.tracking_state) for skeleton in message.skeletons]


def ages(message):
    return [skeleton.age.sec + skeleton.age.nanosec / 1e9 for skeleton in message.skeletons]


@pytest.fixture
def show(node, camera):
    """Send an image with a stamp; return its skeletons."""
    assert node.start()
    camera.wait_for_node()

    def exchange(image, milliseconds):
        message = camera.message(image)
        message.header.stamp = Time(nanoseconds=milliseconds * 1_000_000).to_msg()
        return camera.exchange(message)

    return exchange


@pytest.fixture
def empty(walker):
    """The place without the person."""
    return np.repeat(walker[:, -1:], walker.shape[1], axis=1)


def test_people_over_time_and_a_recording_that_starts_again(show, walker, empty, capfd):
    assert people(show(walker, 5000)) == [("person_0", Skeleton3D.TRACKING_NEW)]
    seen = show(walker, 5100)
    assert people(seen) == [("person_0", Skeleton3D.TRACKING_TRACKED)]
    assert ages(seen) == pytest.approx([0.1], abs=1e-6)
    hidden = show(empty, 5200)
    assert ages(hidden) == pytest.approx([0.2], abs=1e-6)
    assert people(hidden) == [("person_0", Skeleton3D.TRACKING_PREDICTED)]
    before, after = seen.skeletons[0].joints[8], hidden.skeletons[0].joints[8]
    assert after.position.z == pytest.approx(before.position.z, abs=0.1)
    assert 0 < after.confidence < before.confidence
    gone = show(empty, 5300)
    assert people(gone) == [("person_0", Skeleton3D.TRACKING_LOST)]
    assert all(np.isnan(joint.position.x) for joint in gone.skeletons[0].joints)
    assert people(show(empty, 5400)) == []

    # Once more from its start, in the middle of a track.
    for milliseconds, state in ((5500, 1), (5600, 2)):
        shown = show(walker, milliseconds)
        assert people(shown) == [("person_1", state)]
        assert ages(shown) == pytest.approx([(milliseconds - 5500) / 1000], abs=1e-6)
    assert people(show(walker, 5001)) == [
        ("person_2", Skeleton3D.TRACKING_NEW),
        ("person_1", Skeleton3D.TRACKING_LOST),
    ]
    assert people(show(walker, 5101)) == [("person_2", Skeleton3D.TRACKING_TRACKED)]
    assert capfd.readouterr().err.count("stamps jumped back: tracking restarts") == 1


def test_an_image_without_a_stamp_among_others_is_no_jump_in_time(show, walker, capfd):
    stamps = (5000, 5500, 0, 6500, 6600)
    shown = [show(walker, milliseconds) for milliseconds in stamps]
    assert {skeleton.id for message in shown for skeleton in message.skeletons} == {"person_0"}
    assert ages(shown[-1]) == pytest.approx([1.6], abs=1e-6)
    assert "jumped back" not in capfd.readouterr().err
