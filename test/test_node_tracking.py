import numpy as np
import pytest
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view

pytestmark = pytest.mark.usefixtures("opened_once")


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


def test_people_over_time_and_a_recording_that_starts_again(show, lose, walker, empty, capfd):
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

    # Back again, with the recording from its start in the middle of the track.
    for milliseconds in (5500, 5600):
        shown = show(walker, milliseconds)
        assert people(shown) == [("person_0", Skeleton3D.TRACKING_TRACKED)]
        assert ages(shown) == pytest.approx([(milliseconds - 5000) / 1000], abs=1e-6)
    lose(walker, 4901)
    assert people(show(walker, 5001)) == [
        ("person_1", Skeleton3D.TRACKING_NEW),
        ("person_0", Skeleton3D.TRACKING_LOST),
    ]
    assert people(show(walker, 5101)) == [("person_1", Skeleton3D.TRACKING_TRACKED)]
    assert capfd.readouterr().err.count("stamps jumped back: tracking restarts") == 1


def test_an_image_without_a_stamp_among_others_is_no_jump_in_time(show, walker, capfd):
    stamps = (5000, 5500, 0, 6500, 6600)
    shown = [show(walker, milliseconds) for milliseconds in stamps]
    assert {skeleton.id for message in shown for skeleton in message.skeletons} == {"person_0"}
    assert ages(shown[-1]) == pytest.approx([1.6], abs=1e-6)
    assert "jumped back" not in capfd.readouterr().err


@pytest.fixture
def lose(graph, node, camera):
    """Send an image with a stamp of which no skeletons are expected."""

    def send(image, milliseconds):
        message = camera.message(image)
        message.header.stamp = Time(nanoseconds=milliseconds * 1_000_000).to_msg()
        counts = node.statistics
        before = sum(counts.losses().values()) + counts.processed
        camera.images.publish(message)
        graph.spin_until(lambda: sum(counts.losses().values()) + counts.processed > before)

    return send


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("slip", "told"), [(HOUR, "3600.1 s ahead of the last"), (-2000, "1.9 s before the last")]
)
def test_one_wrong_stamp_costs_its_image_only(node, show, lose, walker, log, slip, told):
    seen = [show(walker, milliseconds) for milliseconds in (5000, 5100)]
    lose(walker, 5200 + slip)
    seen += [show(walker, milliseconds) for milliseconds in (5300, 5400)]
    assert [people(message) for message in seen[1:]] == [
        [("person_0", Skeleton3D.TRACKING_TRACKED)]
    ] * 3
    assert ages(seen[-1]) == pytest.approx([0.4], abs=1e-6)
    assert node.statistics.losses()["dropped_wrong_stamp"] == 1
    assert f"image dropped: its stamp is {told} image's" in log.text
    assert "tracking restarts" not in log.text


def test_stamps_that_stay_far_ahead_restart_tracking(node, show, lose, walker, log):
    for milliseconds in (5000, 5100):
        show(walker, milliseconds)
    lose(walker, 5200 + HOUR)
    assert people(show(walker, 5300 + HOUR)) == [
        ("person_1", Skeleton3D.TRACKING_NEW),
        ("person_0", Skeleton3D.TRACKING_LOST),
    ]
    seen = show(walker, 5400 + HOUR)
    assert people(seen) == [("person_1", Skeleton3D.TRACKING_TRACKED)]
    assert ages(seen) == pytest.approx([0.1], abs=1e-6)
    assert log.text.count("the images' stamps jumped ahead: tracking restarts") == 1
    assert node.statistics.losses()["dropped_wrong_stamp"] == 1


def test_a_recording_in_a_loop_with_its_clock_loses_no_image(graph, make_node, camera, walker):
    node = make_node(threads=1, use_sim_time=True)
    clock = camera.node.create_publisher(Clock, "/clock", 1)
    assert node.start()
    camera.wait_for_node()

    def play(milliseconds):
        time = Time(nanoseconds=milliseconds * 1_000_000).to_msg()

        def is_set():
            clock.publish(Clock(clock=time))
            return node.get_clock().now().to_msg() == time

        graph.spin_until(is_set)
        message = camera.message(walker)
        message.header.stamp = time
        return people(camera.exchange(message))

    new, tracked, lost = (
        Skeleton3D.TRACKING_NEW,
        Skeleton3D.TRACKING_TRACKED,
        Skeleton3D.TRACKING_LOST,
    )
    for number in range(3):
        seen = [play(milliseconds + number) for milliseconds in (5000, 5400, 5800)]
        gone = [(f"person_{number - 1}", lost)] if number else []
        assert seen[0] == [(f"person_{number}", new), *gone]
        assert seen[1:] == [[(f"person_{number}", tracked)]] * 2
    assert not any(node.statistics.losses().values())


@pytest.mark.parametrize("factor", [1.4, 2.0])
def test_another_calibration_of_the_same_camera_makes_no_second_person(
    graph, node, camera, show, walker, empty, factor
):
    info = camera_info_from_field_of_view(1.0, walker.shape[1], walker.shape[0])

    def calibrate():
        before = node.cameras[0].input.camera_info
        camera.infos.publish(info)
        graph.spin_until(lambda: node.cameras[0].input.camera_info is not before)

    calibrate()
    for milliseconds in range(5000, 5500, 100):
        (before,) = show(walker, milliseconds).skeletons
    info.k[0], info.k[4] = factor * info.k[0], factor * info.k[4]
    calibrate()
    for milliseconds in (5500, 5550):
        (after,) = show(walker, milliseconds).skeletons
        assert (after.id, after.tracking_state) == ("person_0", Skeleton3D.TRACKING_TRACKED)
    z = after.root_position.z
    assert z == pytest.approx(factor * before.root_position.z, rel=0.1)
    (hidden,) = show(empty, 5650).skeletons
    assert hidden.tracking_state == Skeleton3D.TRACKING_PREDICTED
    # Nobody walked.
    assert hidden.root_position.z == pytest.approx(z, rel=0.02)
