import threading

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image
from services import call as ask
from services import meet_manager
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.msg import AnchorSet3DArray, Skeleton3D, SkeletonInfo
from pandapose_ros.packaged_weights import find_weights

SUCCESS = TransitionCallbackReturn.SUCCESS


def test_ten_life_cycles(graph, make_node, make_camera, blank):
    node, camera = make_node(), make_camera()
    threads = threading.active_count()
    for _ in range(10):
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        camera.wait_for_node()
        assert camera.exchange(camera.message(blank)).skeletons == []
        assert node.trigger_deactivate() == SUCCESS
        assert node.statistics.processed == 1
        assert node.trigger_cleanup() == SUCCESS
        assert threading.active_count() <= threads + 1
    topics = ("skeletons", "skeleton_info", "markers", "debug_image")
    graph.spin_until(lambda: not any(node.count_publishers(f"/pose_node/{t}") for t in topics))
    assert node.trigger_shutdown() == SUCCESS


def test_a_manager_drives_it_by_services(graph, make_node, make_camera, blank):
    make_node(autostart=False)
    camera = make_camera()
    change = camera.node.create_client(ChangeState, "pose_node/change_state")
    get = camera.node.create_client(GetState, "pose_node/get_state")
    graph.spin_until(lambda: change.service_is_ready() and get.service_is_ready())

    def call(client, request):
        future = client.call_async(request)
        graph.spin_until(future.done)
        return future.result()

    meet_manager(graph, change)
    ask(graph, get, GetState.Request())
    steps = (
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, "finalized"),
    )
    for transition, state in steps:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(change, request).success
        assert call(get, GetState.Request()).current_state.label == state
        if state == "active":
            camera.wait_for_node()
            camera.exchange(camera.message(blank))


def test_a_manager_may_ask_for_what_has_been_done(graph, make_node, make_camera, blank):
    node, camera = make_node(threads=1), make_camera()
    change = camera.node.create_client(ChangeState, "pose_node/change_state")
    meet_manager(graph, change)

    def is_done(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return ask(graph, change, request).success

    assert not is_done(Transition.TRANSITION_ACTIVATE)  # not configured yet
    assert node.start()
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert not is_done(transition)
    camera.wait_for_node()
    camera.exchange(camera.message(blank))
    assert node.trigger_deactivate() == SUCCESS


def test_nothing_is_published_while_inactive(graph, make_node, make_camera, blank):
    node, camera = make_node(), make_camera()
    received = [camera.skeletons]
    for kind, topic in (
        (MarkerArray, "markers"),
        (MarkerArray, "anchor_markers"),
        (MarkerArray, "depth_markers"),
        (AnchorSet3DArray, "anchors"),
        (Image, "debug_image"),
    ):
        received.append(camera.listen(kind, f"pose_node/{topic}"))

    def send_while_idle():
        for messages in received:
            messages.clear()
        for _ in range(5):
            camera.images.publish(camera.message(blank))
            graph.spin_for(0.1)
        assert not any(received)

    assert node.trigger_configure() == SUCCESS
    send_while_idle()
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    camera.exchange(camera.message(blank))
    graph.spin_until(lambda: all(received))
    assert node.trigger_deactivate() == SUCCESS
    graph.spin_for(0.3)
    send_while_idle()


def test_deactivation_deletes_the_markers(graph, make_node, make_camera, walker):
    node, camera = make_node(), make_camera()
    arrays = camera.listen(MarkerArray, "pose_node/markers")
    anchor_arrays = camera.listen(MarkerArray, "pose_node/anchor_markers")
    assert node.start()
    camera.wait_for_node()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/anchor_markers") == 1)
    assert len(camera.exchange(camera.message(walker)).skeletons) == 1
    graph.spin_until(lambda: arrays and anchor_arrays)
    drawn = {(m.ns, m.id) for a in (*arrays, *anchor_arrays) for m in a.markers}
    assert {ns for ns, _ in drawn} == {
        "joints",
        "bones",
        "labels",
        "anchors_local",
        "anchors_global",
        "votes",
    }
    arrays.clear()
    anchor_arrays.clear()
    assert node.trigger_deactivate() == SUCCESS
    graph.spin_until(lambda: arrays and anchor_arrays)
    last = [m for a in (*arrays, *anchor_arrays) for m in a.markers]
    assert {(m.ns, m.id) for m in last if m.action == Marker.DELETE} == drawn


@pytest.mark.parametrize("transition", ["deactivate", "shutdown", "error"])
@pytest.mark.parametrize("tracking", [True, False])
def test_nobody_is_left_in_the_last_message(
    graph, make_node, make_camera, walker, blank, transition, tracking
):
    node, camera = make_node(tracking=tracking), make_camera()
    assert node.start()
    camera.wait_for_node()
    first = camera.exchange(camera.message(walker))
    if transition == "error":
        node.cameras[0].outputs.clear_markers = lambda: 1 / 0
        assert node.trigger_deactivate() == TransitionCallbackReturn.ERROR
    else:
        assert getattr(node, f"trigger_{transition}")() == SUCCESS
    graph.spin_until(lambda: len(camera.skeletons) == 2)
    last = camera.skeletons[-1]
    assert last.header == first.header
    states = [(s.id, s.tracking_state) for s in last.skeletons]
    assert states == ([("person_0", Skeleton3D.TRACKING_LOST)] if tracking else [])
    if transition == "deactivate":
        assert node.trigger_activate() == SUCCESS
        camera.wait_for_node()
        assert camera.exchange(camera.message(blank)).skeletons == []
        assert node.trigger_deactivate() == SUCCESS
        graph.spin_for(0.3)
        assert len(camera.skeletons) == 3


def test_skeleton_info_is_latched(graph, make_node, make_camera):
    node = make_node()
    assert node.start()
    graph.spin_for(0.2)
    late = make_camera().listen(
        SkeletonInfo, "pose_node/skeleton_info", durability=DurabilityPolicy.TRANSIENT_LOCAL
    )
    graph.spin_until(lambda: late)
    assert late[0].skeleton_type == "h36m_17"
    assert len(late[0].weights_sha256) == 64


def test_live_parameters_take_effect_with_the_next_image(make_node, make_camera, walker):
    node, camera = make_node(tracking=False), make_camera()
    assert node.start()
    camera.wait_for_node()
    assert len(camera.exchange(camera.message(walker)).skeletons) == 1
    nobody = [Parameter(name, value=1.0) for name in ("detection_score", "body_score")]
    assert all(result.successful for result in node.set_parameters(nobody))
    assert camera.exchange(camera.message(walker)).skeletons == []
    (result,) = node.set_parameters([Parameter("weights", value="other")])
    assert not result.successful


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"weights": "/absent.safetensors"}, "/absent.safetensors"),
        ({"model_dir": "/absent"}, "pandapose fetch-models"),
        ({"device": "cuda:99"}, "device 'cuda:99' not found"),
        ({"device": "gpu"}, "use auto, cpu, cuda or cuda:N"),
        ({"detection_scor": 0.5}, "did you mean 'detection_score'"),
    ],
)
def test_configure_fails_with_the_remedy(make_node, capfd, overrides, text):
    node = make_node(**overrides)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert text in capfd.readouterr().err
    assert not node.start()


def test_configure_refuses_broken_weights_and_then_takes_good_ones(make_node, tmp_path, capfd):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"not weights")
    node = make_node(weights=str(weights))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "weights.safetensors" in capfd.readouterr().err
    weights.write_bytes(find_weights("default").read_bytes())
    assert node.trigger_configure() == SUCCESS
    assert node.parameters.get(EstimatorConfig).weights == str(weights)


def test_both_sides_of_incompatible_qos_are_logged(graph, make_node, make_camera, log):
    node = make_node(**{"qos_overrides./image.subscription.reliability": "reliable"})
    camera = make_camera(reliability=ReliabilityPolicy.BEST_EFFORT)
    camera.listen(
        SkeletonInfo, "pose_node/skeletons_", durability=DurabilityPolicy.TRANSIENT_LOCAL
    )
    camera.listen(MarkerArray, "pose_node/markers", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    assert node.start()
    for text in (
        "QoS on /image, no messages will arrive: this node requests reliable",
        "/camera offers best-effort volatile",
        "/pose_node/markers, a subscriber will get no messages",
        "/camera requests reliable transient-local",
        "this node offers reliable volatile",
    ):
        graph.spin_until(lambda text=text: text in log.text)


def test_frame_ages_and_stamps_that_go_back(graph, make_node, make_camera, blank, capfd):
    node, camera = make_node(max_image_age=5.0, frame_id="robot_eye"), make_camera()
    assert node.start()
    camera.wait_for_node()
    assert camera.exchange(camera.message(blank)).header.frame_id == "robot_eye"
    old = camera.message(blank)
    old.header.stamp.sec -= 60
    camera.images.publish(old)
    graph.spin_until(lambda: node.statistics.dropped_old == 1)
    node.set_parameters([Parameter("max_image_age", value=0.0)])
    camera.exchange(old)
    camera.exchange(camera.message(np.zeros((4, 4, 3), np.uint8)))
    log = capfd.readouterr().err
    assert "max_image_age is 5 s" in log
    assert "stamps jumped back: tracking restarts" in log


def test_a_camera_that_stops_and_comes_back(
    graph, make_node, make_camera, blank, log, monkeypatch
):
    monkeypatch.setattr("pandapose_ros.node.inputs._LEAST_BETWEEN", 0.0)
    node, camera = make_node(image_timeout=0.5), make_camera()
    assert node.start()
    camera.wait_for_node()
    stopped, again = "no image on /image for 0.5 s", "images on /image again after"
    graph.spin_until(lambda: stopped in log.text)  # there has been none since the start
    for _ in range(2):
        before = len(log.text)
        camera.exchange(camera.message(blank))
        graph.spin_until(lambda start=before: stopped in log.text[start:])
        graph.spin_for(1.2)
        told = log.text[before:]
        assert told.count(f"{stopped} (1 publishers: /camera)") == 1
        assert told.count(again) == 1


def test_without_a_camera_other_image_topics_are_named(graph, make_node, make_camera, log):
    node, camera = make_node(image_timeout=0.5), make_camera(namespace="front")
    graph.spin_until(lambda: node.count_publishers("/front/image") == 1)
    assert node.start()
    graph.spin_until(lambda: "no image on /image" in log.text)
    text = "(0 publishers; similar topics: /front/image (remap with image:=TOPIC))"
    graph.spin_until(lambda: text in log.text)
    assert camera.images.get_subscription_count() == 0


def test_the_newest_image_wins_over_a_fast_camera(graph, make_node, make_camera, walker):
    node, camera = make_node(), make_camera()
    assert node.start()
    camera.wait_for_node()
    camera.exchange(camera.message(walker))
    for _ in range(20):
        camera.images.publish(camera.message(walker))
        graph.spin_for(0.005)
    assert len(camera.exchange(camera.message(walker)).skeletons) == 1
    stamps = [(s.header.stamp.sec, s.header.stamp.nanosec) for s in camera.skeletons]
    assert stamps == sorted(stamps)
    counts = node.statistics
    assert counts.dropped_busy > 0
    assert counts.received == counts.processed + counts.dropped_busy
