import time

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from test_markers import HEADER, STYLE, person, with_depth
from visualization_msgs.msg import MarkerArray

from pandapose_ros.config import PictureConfig
from pandapose_ros.frames.transform import IDENTITY
from pandapose_ros.node.estimate import Estimate, Placed
from pandapose_ros.node.markers import lasting
from pandapose_ros.node.outputs import Outputs
from pandapose_ros.skeleton import H36M_17


def test_what_nobody_listens_to_is_not_even_built(graph):
    node = graph.add(LifecycleNode("quiet", context=graph.context))
    listener = graph.add(Node("listener", context=graph.context))
    outputs = Outputs(node, H36M_17)
    people = [with_depth(person(1), peak=6)]
    placed = Placed(people, HEADER, IDENTITY)
    sent = []

    def send(publisher, message):
        sent.append(publisher.topic_name.removeprefix("/quiet/"))
        publisher.publish(message)

    outputs.publish(placed, STYLE, send)
    # No image to draw on: it is not.
    outputs.pictures.publish(Estimate(people, HEADER, None, True, 0.0), STYLE, "", send)
    assert sent == ["skeletons"]
    topics = ("markers", "anchor_markers", "depth_markers")
    shown = [living for _, _, living in outputs._drawings]
    built = dict(zip(topics, shown, strict=True))
    wanted = set()
    for topic in built:
        assert {name for name, living in built.items() if living.keys} == wanted
        wanted.add(topic)
        listener.create_subscription(MarkerArray, f"quiet/{topic}", lambda _: None, 1)
        graph.spin_until(lambda topic=topic: node.count_subscribers(f"/quiet/{topic}") == 1)
        graph.spin_for(0.1)
        sent.clear()
        outputs.publish(placed, STYLE, send)
        assert sent[0] == "skeletons"
        assert set(sent[1:]) == wanted
    assert all(living.keys for living in built.values())
    outputs.destroy()


def test_a_lifetime_is_never_shortened():
    for lifetime, pause, longer in (
        (0.5, 0.0, 0.5),
        (0.5, 0.1, 0.5),
        (0.5, 0.6, 1.5),
        (0.5, 9, 2),
        (3, 9, 3),
        (0, 9, 0),
    ):
        assert lasting(PictureConfig(marker_lifetime=lifetime), pause).marker_lifetime == longer


def test_markers_last_until_the_next_come(graph, make_node, make_camera, walker):
    node, camera = make_node(), make_camera()
    assert node.start()
    topics = ("markers", "anchor_markers", "depth_markers")
    arrays = [camera.listen(MarkerArray, f"pose_node/{topic}") for topic in topics]
    camera.wait_for_node()
    for topic in topics:
        graph.spin_until(lambda topic=topic: node.count_subscribers(f"/pose_node/{topic}") == 1)
    for turn in range(2):
        camera.exchange(camera.message(walker))
        graph.spin_until(lambda turn=turn: all(len(received) > turn for received in arrays))
        time.sleep(1.0)
    for received in arrays:
        assert len(received[1].markers) > 0
        for marker in received[1].markers:
            assert marker.lifetime.sec + marker.lifetime.nanosec / 1e9 == 2.0
