# The node in a process of somebody else's, who has an executor of several threads.
import sys
import threading
import time

import pytest
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Empty

from pandapose_ros.node.composable import ComposableNode
from pandapose_ros.node.distributions import PublisherEventCallbacks, SubscriptionEventCallbacks


@pytest.fixture
def spinning(graph):
    """Run nodes in four threads that interrupt each other often; return the error, if any."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    executor, errors = MultiThreadedExecutor(4, context=graph.context), []

    def spin():
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=spin)

    def start(*nodes):
        for node in nodes:
            executor.add_node(node)
        thread.start()
        return errors

    yield start
    sys.setswitchinterval(interval)
    executor.shutdown()
    thread.join(60)
    assert not thread.is_alive()


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def busy(graph):
    """A node that has the executor collect all the time what to wait for."""
    node = Node("busy", context=graph.context)
    graph.nodes.append(node)
    node.create_timer(0.0, lambda: None)
    return node


def test_endpoints_go_while_an_executor_of_several_threads_collects_them(graph, spinning):
    node, qos = ComposableNode("composed", context=graph.context), QoSProfile(depth=1)
    graph.nodes.append(node)
    handled = len(list(node.waitables))
    errors = spinning(node, busy(graph))
    heard = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
    told = PublisherEventCallbacks(incompatible_qos=lambda _: None)
    for number in range(600):
        if number % 3 == 0:
            subscription = node.create_subscription(
                Empty, "heard", lambda _: None, qos, event_callbacks=heard
            )
            node.destroy_subscription(subscription)
        elif number % 3 == 1:
            publisher = node.create_publisher(Empty, "told", qos, event_callbacks=told)
            node.destroy_publisher(publisher)
        else:
            mute = node.create_lifecycle_publisher(Empty, "told", qos, event_callbacks=told)
            node.destroy_lifecycle_publisher(mute)
        assert not errors
    assert len(list(node.waitables)) == handled
    wait_until(lambda: node.count_publishers("told") == node.count_subscribers("heard") == 0)


def test_the_node_unsubscribes_in_an_executor_of_several_threads(make_node, graph, spinning):
    node = make_node()
    graph.executor.remove_node(node)
    assert node.start()
    toggled = []

    def toggle():
        toggled.append(node.enable(len(toggled) % 2 == 1))
        if len(toggled) == 61:
            timer.cancel()

    timer = node.create_timer(0.0, toggle)  # in turn with the node's other callbacks
    errors = spinning(node, busy(graph))
    wait_until(lambda: len(toggled) == 61 or errors)
    assert not errors
    wait_until(lambda: node.count_subscribers("image") == 0)
    node.enable(True)
    wait_until(lambda: node.count_subscribers("image") == 1)
