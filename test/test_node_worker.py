import threading
import time

from sensor_msgs.msg import Image

from pandapose_ros.node.notices import Notices
from pandapose_ros.node.statistics import NodeStatistics
from pandapose_ros.node.worker import Frame, LatestFrameWorker


def frame(number, camera=""):
    return Frame(Image(height=number), None, camera)


class Gate:
    """A piece of work that lasts until it is let through."""

    def __init__(self):
        self.begun, self.open, self.done = threading.Event(), threading.Event(), []

    def __call__(self, frames):
        self.begun.set()
        assert self.open.wait(60)
        self.done += [frame.image.height for frame in frames]
        return False


def wait_until(condition, timeout=60.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_only_the_newest_frame_waits():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    assert not worker.submit(frame(1))
    assert gate.begun.wait(60)
    assert [worker.submit(frame(n)) for n in (2, 3, 4)] == [False, True, True]
    gate.open.set()
    wait_until(lambda: len(gate.done) == 2)
    assert gate.done == [1, 4]
    assert worker.stop(60) == (True, [])


def test_the_newest_frames_of_all_cameras_are_worked_on_together():
    batches = []
    gate = Gate()

    def process(frames):
        batches.append([(f.camera, f.image.height) for f in frames])
        return gate(frames)

    worker = LatestFrameWorker(process)
    worker.submit(frame(1, "left"))
    assert gate.begun.wait(60)
    replaced = [worker.submit(frame(n, c)) for n, c in ((2, "left"), (3, "right"), (4, "left"))]
    assert replaced == [False, False, True]
    gate.open.set()
    wait_until(lambda: len(batches) == 2)
    assert batches == [[("left", 1)], [("left", 4), ("right", 3)]]
    assert worker.stop(60) == (True, [])


def test_stop_ends_after_the_present_frame_and_drops_the_waiting_one():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    worker.submit(frame(1))
    assert gate.begun.wait(60)
    waiting = frame(2)
    worker.submit(waiting)
    assert worker.stop(0.05) == (False, [waiting])  # still at frame 1
    gate.open.set()
    wait_until(lambda: gate.done == [1])
    assert worker.stop(60) == (True, [])
    assert gate.done == [1]


def test_requests_are_served_in_the_thread_between_two_frames():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    worker.submit(frame(1))
    assert gate.begun.wait(60)
    worker.submit(frame(2))
    threads = []
    for name in ("first", "second"):

        def serve(name=name):
            threads.append(threading.current_thread().name)
            gate.done.append(name)

        worker.request(serve)
    time.sleep(0.05)
    assert gate.done == []  # not while frame 1 is at work
    gate.open.set()
    wait_until(lambda: len(gate.done) == 4)
    assert gate.done == [1, "first", "second", 2]
    assert set(threads) == {"pose worker"}
    assert worker.stop(60) == (True, [])


def test_a_discarded_frame_is_not_processed():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    worker.submit(frame(1))
    assert gate.begun.wait(60)
    waiting = frame(2)
    worker.submit(waiting)
    assert [worker.discard(), worker.discard()] == [[waiting], []]
    gate.open.set()
    wait_until(lambda: gate.done)
    worker.submit(frame(3))
    wait_until(lambda: len(gate.done) == 2)
    assert gate.done == [1, 3]
    worker.stop(60)


def test_stop_forgets_what_was_requested():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    worker.submit(frame(1))
    assert gate.begun.wait(60)
    worker.request(lambda: gate.done.append("late"))
    worker.stop(0.05)
    gate.open.set()
    wait_until(lambda: gate.done)
    assert worker.stop(60) == (True, [])
    assert gate.done == [1]


def test_an_idle_worker_uses_no_processor_time():
    worker = LatestFrameWorker(lambda _: False)
    # Its own time: that of the process holds what threads of other tests still do.
    clock = time.pthread_getcpuclockid(worker._thread.ident)
    before = time.clock_gettime(clock)
    time.sleep(0.3)
    assert time.clock_gettime(clock) - before < 0.1
    worker.stop(60)


def test_the_worker_comes_back_to_what_is_unfinished_and_then_sleeps():
    calls = []
    last = []

    def process(frames):
        calls.append([f.image.height for f in frames])
        return len(calls) % 4 != 0

    worker = LatestFrameWorker(process, lambda: last.append(threading.current_thread().name))
    for number in (1, 2):
        worker.submit(frame(number))
        wait_until(lambda n=number: len(calls) == 4 * n)
        time.sleep(0.1)
    assert calls == [[1], [], [], [], [2], [], [], []]
    worker.submit(frame(3))
    wait_until(lambda: len(calls) > 8)
    assert worker.stop(60) == (True, [])
    assert last == ["pose worker"]


def test_statistics_read_as_a_sentence_without_zero_losses():
    text = str(NodeStatistics(received=9, processed=7, people=3, dropped_busy=2))
    assert text == "received 9, processed 7, people 3, dropped busy 2"


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)

    error = warning


def test_a_notice_is_given_once_whatever_its_numbers():
    log = Log()
    notices = Notices(log)
    for size in (10, 20, 30):
        notices.warn(f"data is too short: got {size}")
        notices.error("unknown encoding")
    assert log.lines == ["data is too short: got 10", "unknown encoding"]


def test_a_notice_comes_again_after_a_while():
    log = Log()
    notices = Notices(log)
    for _ in range(2):
        notices.warn("late", again_after=0.5)
        notices.warn("late", again_after=0.5)
        time.sleep(0.6)
    assert log.lines == ["late", "late"]


def test_texts_that_are_always_new_do_not_fill_the_log():
    log = Log()
    notices = Notices(log)
    for number in range(1000):
        notices.warn("unknown encoding " + chr(0x4E00 + number))
    assert len(log.lines) == 100
    notices.warn("unknown encoding " + chr(0x4E00), again_after=0.0)  # one of the hundred
    assert len(log.lines) == 101


def test_a_flood_of_one_request_is_served_once():
    gate = Gate()
    worker = LatestFrameWorker(gate)
    worker.submit(frame(1))
    assert gate.begun.wait(60)
    served = []

    def serve():
        served.append(1)

    for _ in range(100):
        worker.request(serve)
    worker.submit(frame(2))
    gate.open.set()
    wait_until(lambda: len(gate.done) == 2)
    assert served == [1]
    worker.stop(60)
