"""A device that fails under the node, by a hook on the real network."""

import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from visualization_msgs.msg import Marker, MarkerArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.msg import Skeleton3D
from pandapose_ros.node.pose_node import PoseNode
from pandapose_ros.runtime.device_faults import (
    explain_device_fault,
    free_device_memory,
    is_device_fault,
)
from pandapose_ros.tools.doctor import Finding, check_estimator

SUCCESS = TransitionCallbackReturn.SUCCESS


class Fault:
    """Makes the landmark net fail a number of times."""

    def __init__(self, net, error, times):
        self.error, self.left = error, times
        self.handle = net.register_forward_hook(self)

    def __call__(self, *_):
        if self.left:
            self.left -= 1
            raise self.error


@pytest.fixture
def node(make_node):
    node = make_node(threads=1, runtime="torch")  # hooks are of PyTorch
    assert node.start()
    return node


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
# On a Jetson, whose memory cannot be asked for by NVML.
OUT_OF_MEMORY_THERE = RuntimeError(
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":1016, '
    "please report a bug to PyTorch."
)
BROKEN = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")


def test_one_shortage_of_memory_costs_no_image(node, make_camera, walker, capfd):
    camera = make_camera()
    camera.wait_for_node()
    fault = Fault(node._estimator.networks.landmark_net, OUT_OF_MEMORY, times=1)
    assert len(camera.exchange(camera.message(walker)).skeletons) == 1
    assert fault.left == 0
    assert (node.statistics.processed, node.statistics.failed) == (1, 0)
    log = capfd.readouterr().err
    assert "cpu failed: CUDA out of memory. Tried to allocate 2.00 GiB. (free memory" in log
    assert "trying once more with its cache emptied" in log


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, BROKEN], ids=["memory", "device"])
def test_a_device_that_stays_broken_deactivates_the_node(
    graph, node, make_camera, walker, capfd, error
):
    camera = make_camera()
    markers = camera.listen(MarkerArray, "pose_node/markers")
    arrays = camera.listen(DiagnosticArray, "/diagnostics")
    camera.wait_for_node()
    graph.spin_until(lambda: node.count_subscribers("/pose_node/markers") == 1)
    camera.exchange(camera.message(walker))
    graph.spin_until(lambda: markers)
    fault = Fault(node._estimator.networks.landmark_net, error, times=99)
    camera.images.publish(camera.message(walker))
    graph.spin_until(lambda: camera.images.get_subscription_count() == 0)
    assert fault.left == 97  # tried twice
    assert (node.statistics.processed, node.statistics.failed) == (1, 1)
    graph.spin_until(lambda: {m.action for m in markers[-1].markers} == {Marker.DELETE})

    def is_told():
        return any(
            s.level == DiagnosticStatus.ERROR and "inactive: cpu failed: CUDA" in s.message
            for a in arrays[-1:]
            for s in a.status
        )

    graph.spin_until(is_told)
    log = capfd.readouterr().err
    assert "deactivated: cpu failed: CUDA" in log
    assert "Traceback" not in log

    fault.left = 0
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    states = [s.tracking_state for s in camera.exchange(camera.message(walker)).skeletons]
    assert Skeleton3D.TRACKING_NEW in states
    arrays.clear()
    graph.spin_until(lambda: arrays)
    assert not is_told()


def test_a_device_that_fails_at_the_start_is_told_with_its_remedy(graph, log, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")

    monkeypatch.setattr(PoseEstimator, "warm_up", fail)
    node = graph.add(PoseNode(context=graph.context))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    told = "the device failed: CUDA error: no kernel image is available (restart the process, or "
    graph.spin_until(lambda: f"cannot be configured: {told}set device to cpu)" in log.text)
    *_, finding = check_estimator(EstimatorConfig())
    assert finding == Finding("FAIL", "estimator", f"{told}set device to cpu)")


def test_skeletons_are_counted_before_they_are_sent_or_not_at_all(
    graph, node, make_camera, walker
):
    camera, outputs, counted = make_camera(), node.cameras[0].outputs, []
    publish = outputs.publish

    def watched(*arguments):
        counted.append((node.statistics.processed, node.statistics.people))
        if len(counted) == 2:
            raise RuntimeError("publisher is gone")
        publish(*arguments)

    outputs.publish = watched
    camera.wait_for_node()
    camera.exchange(camera.message(walker))
    camera.images.publish(camera.message(walker))
    graph.spin_until(lambda: node.statistics.failed == 1)
    assert counted == [(1, 1), (2, 2)]
    assert (node.statistics.processed, node.statistics.people) == (1, 1)


@pytest.mark.parametrize("target", ["", "map"])
def test_what_fails_beside_the_skeletons_costs_no_image_and_counts_it_once(
    graph, make_node, make_camera, blank, log, target
):
    node = make_node(threads=1, target_frame=target, transform_timeout=0.0)
    camera, failed = make_camera(), []
    assert node.start()

    def fail(*_):
        failed.append(1)
        raise RuntimeError("no paint left")

    node.cameras[0].outputs.pictures.publish = fail
    camera.wait_for_node()
    for count in (1, 2):
        camera.images.publish(camera.message(blank))
        graph.spin_until(lambda n=count: len(failed) == n)
    graph.spin_until(lambda: "image partly published, RuntimeError: no paint left" in log.text)
    assert node.trigger_deactivate() == SUCCESS
    counts = node.statistics
    assert counts.processed == (0 if target else 2)
    assert counts.processed + sum(counts.losses().values()) == counts.received == 2
    assert counts.failed == 0


def test_errors_of_an_image_are_not_those_of_the_device():
    assert is_device_fault(OUT_OF_MEMORY)
    assert is_device_fault(BROKEN)
    assert is_device_fault(OUT_OF_MEMORY_THERE)
    assert "(free memory on it, lower max_people" in explain_device_fault(
        OUT_OF_MEMORY_THERE, torch.device("cuda")
    )
    for error in (ValueError("CUDA error"), RuntimeError("shape mismatch"), MemoryError()):
        assert not is_device_fault(error)
    text = explain_device_fault(BROKEN, torch.device("cuda:1"))
    assert text == (
        "cuda:1 failed: CUDA error: an illegal memory access was encountered (restart the "
        "process, or set device to cpu)"
    )


def test_a_broken_device_does_not_stop_the_cleanup(monkeypatch):
    def fail():
        raise BROKEN

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    free_device_memory()
