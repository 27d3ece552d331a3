"""What becomes of people, memory and a busy worker when the node changes its state."""

import gc
import weakref

from rclpy.lifecycle import TransitionCallbackReturn

from pandapose_ros.msg import Skeleton3D

SUCCESS = TransitionCallbackReturn.SUCCESS


def test_cleanup_collects_what_holds_on_to_memory(make_node):
    node = make_node(threads=1)
    assert node.trigger_configure() == SUCCESS

    class Garbage:
        def __init__(self):
            self.itself = self

    gc.disable()
    try:
        garbage = weakref.ref(Garbage())
        estimator = weakref.ref(node._estimator)
        assert garbage() is not None
        assert node.trigger_cleanup() == SUCCESS
        assert (garbage(), estimator()) == (None, None)
    finally:
        gc.enable()


def test_no_id_is_given_again_after_cleanup_and_configure(graph, make_node, make_camera, walker):
    node, camera = make_node(threads=1), make_camera()
    for number in range(2):
        assert node.start()
        camera.wait_for_node()
        (skeleton,) = camera.exchange(camera.message(walker)).skeletons
        assert (skeleton.id, skeleton.tracking_state) == (
            f"person_{number}",
            Skeleton3D.TRACKING_NEW,
        )
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        graph.spin_until(lambda: camera.images.get_subscription_count() == 0)
