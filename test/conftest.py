"""What tests share: an isolated domain, a camera, spinning with a time limit, the detector."""

import gc
import os
import time
from pathlib import Path

# Before rclpy is loaded: nothing leaves the machine, and images fit into shared memory.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
# Processes that run tests side by side, gw0 and gw1, do not hear each other.
if worker := int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]):
    os.environ["ROS_DOMAIN_ID"] = str(1 + (int(os.environ["ROS_DOMAIN_ID"]) + worker) % 100)
os.environ.setdefault(
    "FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).parents[1] / "config" / "fastdds.xml")
)

# ONNX Runtime reports nothing, also where a test imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import pandapose_ros.node  # noqa: F401  sets what OpenCV and PyTorch read when they are loaded

# isort: split
import numpy as np
import pytest


def pytest_collection_modifyitems(items):
    # It takes longest, and mostly waits: started last, it would keep one of two workers idle.
    # (Not by `item.path`, which the pytest 6 of Ubuntu 22.04 does not have.)
    items.sort(key=lambda item: not item.location[0].endswith("test_reliability.py"))


def pytest_collection_finish():
    # What was imported stays: `graph` need not look through PyTorch for garbage each time.
    gc.collect()
    gc.freeze()


class Graph:
    """A context with an executor that runs only while a test waits for something."""

    def __init__(self):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=[])
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = []

    def add(self, node):
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def spin_until(self, condition, timeout=60.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "timed out"
            self.executor.spin_once(timeout_sec=0.02)

    def spin_for(self, duration):
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self):
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def graph():
    # rclpy's lifecycle nodes stay in the graph until they are collected: those of earlier tests
    # would count as servers, and as rivals.
    gc.collect()
    graph = Graph()
    yield graph
    graph.close()


class Camera:
    """A node beside the one under test: sends images, keeps what comes back."""

    def __init__(self, graph, namespace="", **publisher_qos):
        from rclpy.node import Node
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo, Image

        from pandapose_ros.msg import Skeleton3DArray

        self.graph = graph
        self.node = graph.add(Node("camera", namespace=namespace, context=graph.context))
        qos = QoSProfile(**{"depth": 5, **publisher_qos})
        self.images = self.node.create_publisher(Image, "image", qos)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", qos)
        self.skeletons = self.listen(Skeleton3DArray, "pose_node/skeletons")

    def listen(self, kind, topic, **qos):
        from rclpy.qos import QoSProfile

        received = []
        profile = QoSProfile(**{"depth": 100, **qos})
        self.node.create_subscription(kind, topic, received.append, profile)
        return received

    def message(self, pixels, **changes):
        """An rgb8 message of an RGB image, stamped now."""
        from std_msgs.msg import Header

        from pandapose_ros.node.conversions import image_message

        now = self.node.get_clock().now().to_msg()
        message = image_message(pixels, Header(stamp=now, frame_id="lens"))
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def wait_for_node(self):
        """Wait until a node that listens has been found, and has found us."""
        self.graph.spin_until(lambda: self.images.get_subscription_count() > 0)
        self.graph.spin_until(lambda: self.infos.get_subscription_count() > 0)
        topic = self.node.resolve_topic_name("pose_node/skeletons")
        self.graph.spin_until(lambda: self.node.count_publishers(topic) > 0)
        self.graph.spin_for(0.2)

    def wait_for_process(self):
        """Wait until a node in another process listens, and has found all that we have.

        Its own word for it: what a publisher knows of a subscriber is not known to that one yet,
        and images that come before are lost to it. The last subscription that we make is the last
        that it hears of.
        """
        from diagnostic_msgs.msg import DiagnosticArray

        self.wait_for_node()
        arrays = self.listen(DiagnosticArray, "/diagnostics")
        found = ("pose_node: input", "publishers", "1")

        def is_told():
            statuses = [status for array in arrays[-1:] for status in array.status]
            return any((s.name, v.key, v.value) == found for s in statuses for v in s.values)

        self.graph.spin_until(is_told)

    def exchange(self, message):
        """Send an image and return the skeletons with its stamp."""
        self.images.publish(message)
        stamp = message.header.stamp

        def has_come():
            return any(s.header.stamp == stamp for s in self.skeletons)

        self.graph.spin_until(has_come)
        return next(s for s in self.skeletons if s.header.stamp == stamp)


class Log:
    """All that was written to stderr since a test began."""

    def __init__(self, capfd):
        self._capfd, self._text = capfd, ""

    @property
    def text(self):
        self._text += self._capfd.readouterr().err
        return self._text


@pytest.fixture
def log(capfd):
    return Log(capfd)


@pytest.fixture
def make_camera(graph):
    return lambda *args, **kwargs: Camera(graph, *args, **kwargs)


@pytest.fixture
def camera(make_camera):
    return make_camera()


@pytest.fixture(scope="session")
def blank():
    """An image with nobody in it, RGB."""
    return np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(scope="session")
def walker():
    """The first image of the demo clip, RGB: one person, whole in view."""
    from clip_images import clip_frames

    return clip_frames(1)[0]


@pytest.fixture(scope="module")
def detector():
    """The person detector; `runs` counts how often it saw the whole image."""
    from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
    from pandapose_ros.people.detector import PersonDetector

    class CountingDetector(PersonDetector):
        runs = 0

        def detect(self, image, score, tiles=(), *, whole=True):
            self.runs += whole
            return super().detect(image, score, tiles, whole=whole)

    return CountingDetector(find_model_file(PERSON_DETECTOR), threads=1)


@pytest.fixture(scope="module")
def landmark_net():
    from pandapose_ros.model.blazepose import BlazePose
    from pandapose_ros.model_files import LANDMARK_NET, find_model_file

    return BlazePose(find_model_file(LANDMARK_NET).read_bytes())


@pytest.fixture
def one_thread():
    """Small networks gain nothing from threads, and lose much on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def foreign_messages():
    """Messages of other packages than the node needs can be imported."""
    from foreign import importable

    with importable():
        yield


@pytest.fixture(scope="session")
def opened():
    """Landmark nets and networks by what they were opened with."""
    return {}


@pytest.fixture
def opened_once(opened, monkeypatch):
    """Nodes have the same networks, where opening them is not what is tested.

    Nobody changes these: a node's own are its estimator, with its detectors and its people.
    """
    import pandapose_ros.estimator as module

    open_landmark_net, open_networks = module.open_landmark_net, module.open_networks

    def landmark_net(*files):
        if files not in opened:
            opened[files] = open_landmark_net(*files)
        return opened[files]

    def networks(config, network, net, digest):
        chosen = (config.runtime, config.precision, config.threads, config.model_dir)
        key = (digest, net.device, *chosen)
        if key not in opened:
            result = open_networks(config, network, net, digest)
            if result.runtime != "onnxruntime":  # others may be changed by running
                return result
            opened[key] = result
        return opened[key]

    monkeypatch.setattr(module, "open_landmark_net", landmark_net)
    monkeypatch.setattr(module, "open_networks", networks)


@pytest.fixture
def make_node(graph):
    """Return a function that makes a pose_node with some parameters set."""
    from rclpy.parameter import Parameter

    from pandapose_ros.node.pose_node import PoseNode

    def make(**overrides):
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        return graph.add(PoseNode(context=graph.context, parameter_overrides=parameters))

    return make
