# People for ROS4HRI and Foxglove. Their messages are in no registry: they are built here.
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from test_node_cameras import Pair

from pandapose_ros.skeleton import H36M_17

pytestmark = pytest.mark.usefixtures("opened_once")


def test_people_reach_ros4hri_and_foxglove(
    foreign_messages, graph, make_node, make_camera, walker
):
    import foxglove_msgs.msg as foxglove
    import hri_msgs.msg as hri

    node = make_node(publish_hri=True)
    camera = make_camera()
    body = "/humans/bodies/person_0"
    tracked = camera.listen(hri.IdsList, "/humans/bodies/tracked")
    regions = camera.listen(hri.NormalizedRegionOfInterest2D, f"{body}/roi")
    skeletons = camera.listen(hri.Skeleton2D, f"{body}/skeleton2d")
    pieces = camera.listen(Image, f"{body}/cropped")
    annotations = camera.listen(foxglove.ImageAnnotations, "pose_node/annotations")
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/annotations") == 1)
    height, width = walker.shape[:2]
    blank = np.zeros_like(walker)
    message = camera.message(walker)
    (first,) = camera.exchange(message).skeletons
    # The first messages of new topics come before they are discovered.
    graph.spin_until(lambda: node.count_subscribers(f"{body}/cropped") == 1)
    for _ in range(60):
        shown = camera.message(walker)
        (seen,) = camera.exchange(shown).skeletons
        graph.spin_for(0.1)
        if regions and skeletons and pieces and tracked and annotations:
            break
    newest = shown.header.stamp
    for received in (regions, skeletons, pieces):
        graph.spin_until(lambda r=received: r and r[-1].header.stamp == newest)
    assert list(tracked[-1].ids) == ["person_0"]
    assert tracked[0].header == message.header
    roi = regions[-1]
    assert roi.xmin * width == pytest.approx(seen.roi.x_offset + 0.5, abs=2)
    assert (roi.ymax - roi.ymin) * height == pytest.approx(seen.roi.height, abs=2)
    assert pieces[-1].height == pytest.approx(seen.roi.height, abs=3)
    check_skeleton(hri, skeletons[-1].skeleton, seen, (width, height))
    check_annotations(foxglove, annotations[0], first, message)
    # An executor that is in an event's handler breaks when the worker destroys its publisher.
    publishers = [p for p in node.publishers if p.topic_name.startswith(body)]
    assert [len(p.event_handlers) for p in publishers] == [0, 0, 0]
    for _ in range(60):  # a prediction may bridge a while
        camera.exchange(camera.message(blank))
        if not tracked[-1].ids:
            break
    graph.spin_until(lambda: node.count_publishers(f"{body}/roi") == 0)


def check_skeleton(hri, points, seen, size):
    width, height = size
    assert len(points) == 18
    for constant, name in (("RIGHT_KNEE", "right_knee"), ("NECK", "thorax"), ("NOSE", "nose")):
        joint = seen.joints[H36M_17.joint_names.index(name)]
        point = points[getattr(hri.Skeleton2D, constant)]
        assert point.x * width == pytest.approx(joint.u + 0.5, abs=3)
        assert point.y * height == pytest.approx(joint.v + 0.5, abs=3)
        assert point.c == pytest.approx(joint.confidence, abs=0.1)
    assert points[hri.Skeleton2D.LEFT_EAR].c == 0


def check_annotations(foxglove, annotations, seen, message):
    lines, dots = annotations.points
    assert (lines.type, dots.type) == (
        foxglove.PointsAnnotation.LINE_LIST,
        foxglove.PointsAnnotation.POINTS,
    )
    shown = [joint for joint in seen.joints if joint.confidence >= 0.3]
    assert [p.x for p in dots.points] == pytest.approx([joint.u + 0.5 for joint in shown])
    assert len(lines.outline_colors) == len(lines.points) / 2
    assert len(dots.outline_colors) == len(dots.points)
    assert {a.timestamp.nanosec for a in (lines, dots)} == {message.header.stamp.nanosec}
    (label,) = annotations.texts
    assert label.text.startswith("person_0 ")


def see_both(graph, pair, walker, tracked):
    """Show somebody to both cameras until the list, once discovered, has both; return the last."""
    for _ in range(60):
        seen = pair.send(left=walker, right=walker)
        graph.spin_for(0.1)
        if tracked and len(tracked[-1].ids) == 2:
            break
    return seen


def test_the_people_of_all_cameras_are_on_one_list(
    foreign_messages, graph, make_node, make_camera, walker
):
    import hri_msgs.msg as hri

    names = ["left", "right"]
    node = make_node(threads=1, publish_hri=True, cameras=names, prediction_time=0.0)
    camera = make_camera()
    tracked = camera.listen(hri.IdsList, "/humans/bodies/tracked")
    assert node.start()
    pair = Pair(camera, names)
    assert node.count_publishers("/humans/bodies/tracked") == 1
    seen = see_both(graph, pair, walker, tracked)
    left, right = ({s.id for s in seen[name].skeletons} for name in names)
    assert set(tracked[-1].ids) == left | right
    count = len(tracked)
    for name in names * 3:
        pair.send(**{name: walker})
    graph.spin_until(lambda: len(tracked) > count + 3)
    assert all(set(t.ids) == left | right for t in tracked[count:])
    # One of them sees nobody any more: the other's stay.
    count = len(tracked)
    pair.send(left=np.zeros_like(walker))
    graph.spin_until(lambda: len(tracked) > count and set(tracked[-1].ids) == right)
    node.reset_people()
    graph.spin_until(lambda: not tracked[-1].ids)


def test_the_people_of_a_camera_that_fails_are_taken_off_the_list(
    foreign_messages, graph, make_node, make_camera, walker
):
    import hri_msgs.msg as hri

    names = ["left", "right"]
    node = make_node(threads=1, publish_hri=True, cameras=names, image_timeout=1.0)
    camera = make_camera()
    tracked = camera.listen(hri.IdsList, "/humans/bodies/tracked")
    assert node.start()
    pair = Pair(camera, names)
    seen = see_both(graph, pair, walker, tracked)
    left, right = ({s.id for s in seen[name].skeletons} for name in names)
    for _ in range(100):
        pair.send(right=walker)
        graph.spin_for(0.1)
        if set(tracked[-1].ids) == right:
            break
    assert set(tracked[-1].ids) == right
    pair.send(left=walker)
    graph.spin_until(lambda: set(tracked[-1].ids) == left | right)


def test_people_of_whom_all_images_are_dropped_are_taken_off_the_list(
    foreign_messages, graph, make_node, make_camera, walker
):
    import hri_msgs.msg as hri

    node, camera = make_node(threads=1, publish_hri=True, image_timeout=1.0), make_camera()
    tracked = camera.listen(hri.IdsList, "/humans/bodies/tracked")
    assert node.start()
    camera.wait_for_node()

    def show_until(condition, **changes):
        """Go on sending images, so that they never stop."""
        for _ in range(60):
            camera.images.publish(camera.message(walker, **changes))
            graph.spin_for(0.1)
            if tracked and condition(list(tracked[-1].ids)):
                return
        pytest.fail(f"still {tracked[-1].ids}")

    show_until(lambda ids: ids == ["person_0"])
    show_until(lambda ids: not ids, encoding="32FC3")
    assert node.statistics.dropped_undecodable >= 5
    assert node.cameras[0].report().pipeline.people == 0
    show_until(lambda ids: len(ids) == 1)


@pytest.mark.parametrize("how", ["disabled", "inactive", "not tracking"])
def test_nobody_stays_on_the_list(
    foreign_messages, graph, make_node, make_camera, walker, log, how
):
    import hri_msgs.msg as hri

    node, camera = make_node(threads=1, publish_hri=True), make_camera()
    tracked = camera.listen(hri.IdsList, "/humans/bodies/tracked")
    assert node.start()
    camera.wait_for_node()
    for _ in range(60):  # until the list is discovered
        camera.exchange(camera.message(walker))
        graph.spin_for(0.1)
        if tracked:
            break
    assert list(tracked[-1].ids) == ["person_0"]
    warning = "publish_tf and publish_hri publish nothing while"
    if how == "disabled":
        node.enable(False)
    elif how == "inactive":
        node.trigger_deactivate()
    elif how == "not tracking":
        assert warning not in log.text
        node.set_parameters([Parameter("tracking", value=False)])
        for _ in range(2):
            assert len(camera.exchange(camera.message(walker)).skeletons) >= 1
    graph.spin_until(lambda: not tracked[-1].ids)
    graph.spin_until(lambda: node.count_publishers("/humans/bodies/person_0/roi") == 0)
    assert log.text.count(warning) == (how == "not tracking")


@pytest.mark.parametrize("how", ["disabled", "inactive", "reset"])
def test_no_skeleton_stays_drawn_on_the_image_in_foxglove(
    foreign_messages, graph, make_node, make_camera, walker, how
):
    import foxglove_msgs.msg as foxglove

    node, camera = make_node(threads=1), make_camera()
    annotations = camera.listen(foxglove.ImageAnnotations, "pose_node/annotations")
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/annotations") == 1)
    camera.exchange(camera.message(walker))
    graph.spin_until(lambda: annotations and annotations[-1].points)
    {
        "disabled": lambda: node.enable(False),
        "inactive": node.trigger_deactivate,
        "reset": node.reset_people,
    }[how]()
    graph.spin_until(lambda: not (annotations[-1].points or annotations[-1].texts), timeout=20)
