import time
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.time import Time as RosTime
from sensor_msgs.msg import CameraInfo

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.diagnostics import diagnostics_message
from pandapose_ros.node.report import CameraReport, InputReport, PipelineReport, Report
from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.pose import ModelInfo
from pandapose_ros.runtime.memory import DeviceMemory

SUCCESS = TransitionCallbackReturn.SUCCESS
OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR, STALE = DiagnosticStatus.ERROR, DiagnosticStatus.STALE

INPUT = InputReport(
    "/image", 1, "", 30.0, 0.02, 5.0, 0.004, 1.0, "none", "", "built-in", "", "in use", 3
)
PIPELINE = PipelineReport(
    rate=29.5,
    people=2,
    latencies={"decode": (0.001, 0.002), "estimate": (0.02, 0.0314)},
    transforms="not used",
)
MODEL = ModelInfo("pandapose_blazepose", "1", "ab" * 32)
COUNTS = NodeStatistics(received=90, processed=80, people=160, dropped_busy=10)
CAMERA = CameraReport("", INPUT, PIPELINE, COUNTS, pause="")
REPORT = Report([CAMERA], "cpu", MODEL, 300 << 20, device_memory=None, fault="")


def judge(camera=CAMERA, recent=NodeStatistics(received=30, processed=30), **of_node):  # noqa: B008
    report = replace(REPORT, cameras=[camera], **of_node)
    message = diagnostics_message("front/pose_node", report, [recent], Time(sec=7))
    assert message.header.stamp.sec == 7
    assert len({status.name for status in message.status}) == 3
    return {status.name.split(": ")[1]: status for status in message.status}


def values(status):
    return {item.key: item.value for item in status.values}


def test_a_healthy_node_is_ok_with_all_figures():
    statuses = judge()
    assert {status.level for status in statuses.values()} == {OK}
    assert statuses["input"].name == "front/pose_node: input"
    figures = values(statuses["input"])
    assert (figures["topic"], figures["publishers"], figures["rate in [Hz]"]) == (
        "/image",
        "1",
        "30.00",
    )
    assert (figures["image age at arrival [s]"], figures["camera_info"]) == ("0.0040", "in use")
    figures = values(statuses["pipeline"])
    assert (figures["rate out [Hz]"], figures["people"]) == ("29.50", "2")
    assert (figures["estimate p50 [ms]"], figures["estimate p95 [ms]"]) == ("20.00", "31.40")
    assert (figures["dropped busy"], figures["dropped disabled"]) == ("10", "0")
    figures = values(statuses["computer"])
    assert (figures["device"], figures["model"]) == ("cpu", "pandapose_blazepose")
    assert (figures["weights sha256"], figures["resident memory [MiB]"]) == ("ab" * 32, "300.0")


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"silence": 4.9}, OK, "30.0 images per second"),
        ({"silence": 5.0}, ERROR, "no image on /image for 5.0 s (1 publishers)"),
        ({"silence": 6.0, "hint": "0 publishers; why"}, ERROR, "for 6.0 s (0 publishers; why)"),
        ({"age": 1.5}, WARN, "1.5 s after their stamp"),
        ({"age": 1.01}, WARN, "or wrong stamps (as of usb_cam 0.8.1)"),
        ({"age": -90.0}, WARN, "90 s before their stamp"),
        (
            {"age": -1.8e9},
            WARN,
            "a clock of its own (PTP?), or use_sim_time is set and",
        ),
        ({"age": None}, WARN, "images have no stamp"),
        ({"hint": "images of 2 publishers are mixed"}, WARN, "of 2 publishers are mixed"),
    ],
)
def test_levels_of_the_input(changes, level, text):
    status = judge(replace(CAMERA, input=replace(INPUT, **changes)))["input"]
    assert status.level == level
    assert text in status.message


@pytest.mark.parametrize(
    ("recent", "level", "text"),
    [
        ({"dropped_busy": 3, "dropped_old": 1}, WARN, "dropped busy 3, dropped old 1"),
        ({"failed": 1, "dropped_busy": 2}, ERROR, "failed 1"),
        ({"dropped_disabled": 4, "dropped_unwanted": 2}, OK, "2 people"),
        ({"dropped_untransformed": 5}, WARN, "untransformed 5; no transform to 'map'"),
    ],
)
def test_levels_of_the_pipeline(recent, level, text):
    camera = replace(CAMERA, pipeline=replace(PIPELINE, transforms="no transform to 'map'"))
    status = judge(camera, NodeStatistics(**recent))["pipeline"]
    assert status.level == level
    assert text in status.message


def test_the_pipeline_of_a_dead_camera_is_stale():
    silent = replace(CAMERA, input=replace(INPUT, silence=5.0))
    status = judge(silent, NodeStatistics())["pipeline"]
    assert (status.level, status.message) == (STALE, "no images any more")
    assert values(status)["people"] == "0"
    assert judge(silent, NodeStatistics(failed=1))["pipeline"].level == ERROR


def test_camera_info_that_was_refused_is_a_warning():
    camera = replace(CAMERA, input=replace(INPUT, camera_info="refused: K is zero"))
    status = judge(camera, NodeStatistics(refused_camera_info=1))["input"]
    assert (status.level, status.message) == (WARN, "camera_info refused: K is zero")


def test_a_pause_that_was_asked_for_is_ok_however_long():
    silent = replace(INPUT, silence=3600.0)
    for counts in (COUNTS, NodeStatistics()):
        camera = replace(CAMERA, input=silent, counts=counts, pause="disabled")
        statuses = judge(camera, NodeStatistics())
        assert {status.level for status in statuses.values()} == {OK}
        assert statuses["input"].message == "not subscribed to /image: disabled"
        figures = values(statuses["pipeline"])
        assert (figures["pause"], figures["people"]) == ("disabled", "0")
    assert values(judge()["pipeline"])["pause"] == "none"


def test_no_image_ever_is_stale_and_inactive_is_ok():
    before = replace(PIPELINE, rate=0.0, people=0, latencies={"decode": (np.nan, np.nan)})
    statuses = judge(replace(CAMERA, counts=NodeStatistics(), pipeline=before))
    assert [statuses[name].level for name in ("input", "pipeline")] == [STALE, STALE]
    assert values(statuses["pipeline"])["decode p95 [ms]"] == "unknown"
    statuses = judge(replace(CAMERA, input=None, pipeline=None))
    assert {(s.level, s.message) for s in statuses.values()} == {(OK, "inactive")}


def test_every_cause_of_a_loss_has_a_figure():
    counts = NodeStatistics(**dict.fromkeys(NodeStatistics.__annotations__, 9))
    figures = values(judge(replace(CAMERA, counts=counts))["pipeline"])
    for name in NodeStatistics.__annotations__:
        if name.startswith("dropped") or name == "failed":
            assert figures[name.replace("_", " ")] == "9"
    earlier = replace(counts, dropped_old=4)
    assert counts.since(earlier) == NodeStatistics(dropped_old=5)


def test_memory_of_a_gpu_is_told_where_there_is_one():
    figures = values(judge()["computer"])
    assert not [name for name in figures if name.startswith("GPU")]
    held = DeviceMemory(allocated=300 << 20, reserved=512 << 20, free=20 << 30, total=24 << 30)
    figures = values(judge(device="cuda:0", device_memory=held)["computer"])
    told = {n: v for n, v in figures.items() if n.startswith("GPU memory")}
    assert told == {
        "GPU memory allocated [MiB]": "300.0",
        "GPU memory reserved [MiB]": "512.0",
        "GPU memory free [MiB]": "20480.0",
        "GPU memory total [MiB]": "24576.0",
    }
    silent = values(judge(device="cuda:0")["computer"])
    assert {silent[name] for name in told} == {"unknown"}


class Watcher:
    """Waits for a status on /diagnostics, newest first."""

    def __init__(self, camera):
        self.graph = camera.graph
        self.arrays = camera.listen(DiagnosticArray, "/diagnostics")

    def wait_for(self, name, level, text, meanwhile=lambda: None):
        """Return the figures of the message that tells so."""

        def is_told():
            meanwhile()
            return any(
                status.name == f"pose_node: {name}"
                and status.level == level
                and text in status.message
                for array in self.arrays[-1:]
                for status in array.status
            )

        self.graph.spin_until(is_told)
        return {s.name.split(": ")[1]: values(s) for s in self.arrays[-1].status}


@pytest.fixture
def node(make_node):
    return make_node(image_timeout=0.7, threads=1)


@pytest.fixture
def watcher(camera):
    return Watcher(camera)


def test_diagnostics_follow_the_life_cycle(graph, node, camera, watcher, blank):
    graph.spin_until(lambda: "pose_node" in camera.node.get_node_names())
    assert node.count_publishers("/diagnostics") == 0
    assert node.trigger_configure() == SUCCESS
    watcher.wait_for("input", OK, "inactive")
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    watcher.wait_for("input", STALE, "no image on /image yet (1 publishers")
    bad = camera.message(blank, encoding="32FC3")
    camera.images.publish(bad)
    graph.spin_until(lambda: node.statistics.dropped_undecodable == 1)
    camera.exchange(camera.message(blank))
    watcher.wait_for("input", ERROR, "no image on /image for")
    stamps = [a.header.stamp.sec + a.header.stamp.nanosec / 1e9 for a in watcher.arrays]
    assert np.median(np.diff(stamps)) == pytest.approx(1.0, abs=0.2)
    watcher.arrays.clear()
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    camera.wait_for_node()
    camera.images.publish(bad)  # the first since then, although there was one before
    watcher.wait_for("pipeline", WARN, "dropped undecodable 1")
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS
    graph.spin_until(lambda: node.count_publishers("/diagnostics") == 0)


class Stream:
    """Sends images while it is called: 10 Hz, or less where the node takes longer."""

    def __init__(self, node, camera, pixels):
        self.node, self.camera, self.pixels = node, camera, pixels
        self.last_sent = 0.0

    def __call__(self):
        counts = self.node.statistics
        is_idle = counts.received == counts.processed + sum(counts.losses().values())
        if is_idle and time.monotonic() - self.last_sent > 0.1:
            self.camera.images.publish(self.camera.message(self.pixels))
            self.last_sent = time.monotonic()


def ages_of_skeletons(camera):
    """Return a list that grows by the age of each image when its skeletons come, ms."""
    ages_ms, clock = [], camera.node.get_clock()

    def note(message):
        ages_ms.append((clock.now() - RosTime.from_msg(message.header.stamp)).nanoseconds / 1e6)

    camera.node.create_subscription(Skeleton3DArray, "pose_node/skeletons", note, 100)
    return ages_ms


def test_diagnostics_tell_what_happens_to_images(node, camera, watcher, walker):
    assert node.start()
    ages_ms = ages_of_skeletons(camera)
    camera.wait_for_node()
    stream = Stream(node, camera, walker)
    for _ in range(5):
        camera.exchange(camera.message(walker))
    watcher.arrays.clear()
    seen = watcher.wait_for("pipeline", OK, "1 people", stream)
    assert float(seen["input"]["rate in [Hz]"]) > 0
    assert float(seen["pipeline"]["rate out [Hz]"]) > 0
    assert seen["input"]["camera_info"].startswith("none, assuming a horizontal field of view")
    camera.graph.spin_until(lambda: len(ages_ms) >= int(seen["pipeline"]["processed"]))
    assert 0 < float(seen["input"]["image age at arrival [s]"]) < max(ages_ms) / 1e3
    for step in ("decode", "estimate", "message", "publish"):
        p50, p95 = (float(seen["pipeline"][f"{step} p{p} [ms]"]) for p in (50, 95))
        assert 0 <= p50 <= p95 < max(ages_ms)
    assert float(seen["pipeline"]["estimate p50 [ms]"]) > 1
    assert seen["computer"]["weights sha256"] == node._estimator.model_info.weights_sha256
    assert float(seen["computer"]["resident memory [MiB]"]) > 100

    camera.infos.publish(CameraInfo(width=1, height=1))
    camera.images.publish(camera.message(walker, encoding="32FC3"))
    watcher.wait_for("pipeline", WARN, "dropped undecodable 1", stream)
    watcher.wait_for("input", WARN, "camera_info refused, assuming", stream)
    seen = watcher.wait_for("pipeline", OK, "1 people", stream)  # over, but still counted
    assert seen["pipeline"]["dropped undecodable"] == "1"
    node.enable(False)
    seen = watcher.wait_for("pipeline", OK, "disabled (call ~/enable with true)", stream)
    assert seen["pipeline"]["people"] == "0"
    assert seen["input"]["subscribed"] == "false"
