"""Several cameras in one node, over real DDS."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.node.worker import Frame

pytestmark = pytest.mark.usefixtures("opened_once")


@pytest.fixture
def make_node(make_node):
    def make(cameras, **overrides):
        return make_node(**{"threads": 1, "runtime": "torch", "cameras": cameras, **overrides})

    return make


class Pair:
    """Two cameras of one robot, and what comes back for each."""

    def __init__(self, camera, names=("left", "right")):
        self.camera, self.graph = camera, camera.graph
        self.images, self.infos, self.skeletons = {}, {}, {}
        for name in names:
            self.images[name] = camera.node.create_publisher(Image, f"{name}/image", 5)
            self.infos[name] = camera.node.create_publisher(CameraInfo, f"{name}/camera_info", 5)
            self.skeletons[name] = camera.listen(Skeleton3DArray, f"pose_node/{name}/skeletons")
        self.graph.spin_until(
            lambda: all(p.get_subscription_count() == 1 for p in self.images.values())
        )
        topics = [p.topic_name for p in (*self.images.values(), *self.infos.values())]
        for node in self.graph.nodes:
            self.graph.spin_until(lambda n=node: all(n.count_publishers(t) for t in topics))

    def send(self, **pixels):
        """Send an image per camera and return the newest skeletons of each."""
        counts = {name: len(self.skeletons[name]) + 1 for name in pixels}
        for name, image in pixels.items():
            self.images[name].publish(self.camera.message(image))
        self.graph.spin_until(
            lambda: all(len(self.skeletons[name]) >= n for name, n in counts.items())
        )
        return {name: self.skeletons[name][-1] for name in pixels}


def test_two_cameras_share_a_pass_and_nothing_else(graph, make_node, make_camera, walker):
    node, camera = make_node(["left", "right"]), make_camera()
    assert node.start()
    pair = Pair(camera)
    assert camera.images.get_subscription_count() == 0  # on the topic of a single camera
    batches = []
    estimate = node._estimator.estimate_together

    def watched(images):
        batches.append([image.camera for image in images])
        return estimate(images)

    node._estimator.estimate_together = watched
    mirrored = np.ascontiguousarray(walker[:, ::-1])
    first = pair.send(left=walker, right=mirrored)
    (left,), (right,) = first["left"].skeletons, first["right"].skeletons
    assert left.id != right.id
    width = walker.shape[1]
    assert abs(left.joints[0].u + right.joints[0].u - (width - 1)) < 0.03 * width
    # One camera sees nobody, the other goes on with its own person.
    second = pair.send(left=np.zeros_like(walker), right=mirrored)
    assert right.id in {s.id for s in second["right"].skeletons}
    assert right.id not in {s.id for s in second["left"].skeletons}
    # While the worker is at one image, both cameras' next ones wait, to be estimated together.
    for _ in range(3):
        pair.images["left"].publish(camera.message(walker))
        pair.images["right"].publish(camera.message(mirrored))
    graph.spin_until(lambda: ["left", "right"] in [sorted(batch) for batch in batches])
    counts = {c.name: c.statistics for c in node.cameras}
    graph.spin_until(
        lambda: all(c.received == c.processed + c.dropped_busy for c in counts.values())
    )
    assert all(c.processed >= 2 and c.failed == 0 for c in counts.values())


def test_a_bad_image_of_one_camera_does_not_cost_the_other_its_own(
    graph, make_node, make_camera, walker
):
    node, camera = make_node(["left", "right"]), make_camera()
    arrays = camera.listen(DiagnosticArray, "/diagnostics")
    assert node.start()
    pair = Pair(camera)
    left, right = node.cameras
    estimate = node._estimator.estimate_together

    def picky(images):
        if any(image.camera == "left" for image in images):
            raise ValueError("left is broken")
        return estimate(images)

    node._estimator.estimate_together = picky
    pair.images["left"].publish(camera.message(walker))
    graph.spin_until(lambda: left.statistics.failed == 1)
    # Both prepared, together in one batch, as if they had waited for each other.
    frames = [Frame(camera.message(walker), None, name) for name in ("left", "right")]
    node._worker.request(lambda: node._batch.process(frames))
    graph.spin_until(lambda: right.statistics.processed == 1)
    assert left.statistics.failed == 2
    assert left.statistics.processed == 0

    def told(name):
        return [s for a in arrays for s in a.status if s.name == f"pose_node: {name}"]

    graph.spin_until(lambda: any("failed" in s.message for s in told("left pipeline")))
    assert DiagnosticStatus.ERROR in {s.level for s in told("left pipeline")}
    assert DiagnosticStatus.ERROR not in {s.level for s in told("right pipeline")}
    expected = {"left input", "left pipeline", "right input", "right pipeline", "computer"}
    assert {s.name.split(": ")[1] for s in arrays[-1].status} == expected
    topic = next(v.value for v in told("right input")[-1].values if v.key == "topic")
    assert topic == "/right/image"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["left", "left"], "needs different names, got ['left', 'left']"),
        (["front/left"], "'front/left' cannot be part of a topic"),
        (["left", ""], "'' cannot be part of a topic"),
    ],
)
def test_names_that_make_no_topics_are_refused(make_node, capfd, names, text):
    node = make_node(names)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert text in capfd.readouterr().err


def test_cameras_that_are_swapped_by_remapping_are_swapped_as_a_whole(graph, make_camera, blank):
    """ROS remaps a name once; what is remapped to the other's name must not be remapped back."""
    swaps = []
    for topic in ("image", "camera_info"):
        swaps += ["-r", f"left/{topic}:=right/{topic}", "-r", f"right/{topic}:=left/{topic}"]
    overrides = {"threads": 1, "runtime": "torch", "cameras": ["left", "right"]}
    node = graph.add(
        PoseNode(
            context=graph.context,
            cli_args=["--ros-args", *swaps],
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()],
        )
    )
    assert node.start()
    pair = Pair(make_camera())
    pair.images["left"].publish(pair.camera.message(blank))
    graph.spin_until(lambda: pair.skeletons["left"] or pair.skeletons["right"])
    assert len(pair.skeletons["right"]) == 1
    assert node.cameras[1].input.topic == "/left/image"


def test_two_cameras_are_not_put_into_one_frame(make_node, capfd):
    node = make_node(["left", "right"], frame_id="lens")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert (
        "'frame_id' would put the people of all cameras into one place" in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    ("cameras", "sizes"), [([""], [1, 2, 4]), (["left", "right"], [1, 2, 4, 8])]
)
def test_batches_for_the_people_of_all_cameras_are_ready_at_the_start(make_node, cameras, sizes):
    # Three more looks at everybody, if all of them seem to be upside down.
    node = make_node(cameras, runtime="one_pass", max_people=1)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert sorted(node._estimator.networks.landmark_net.batches._batches) == sizes


def test_cameras_share_one_listener_to_tf(make_node):
    node = make_node(["left", "right"], target_frame="map")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    heard = [subscription.topic_name for subscription in node.subscriptions]
    assert [heard.count(topic) for topic in ("/tf", "/tf_static")] == [1, 1]
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert "/tf" not in [subscription.topic_name for subscription in node.subscriptions]
