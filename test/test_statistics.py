import time

import numpy as np
import pytest

from pandapose_ros.node.statistics import Durations, Rate, Timings


def test_rates_and_durations():
    rate, durations = Rate(), Durations()
    assert rate.hz == 0.0
    assert np.isnan(durations.percentiles()).all()
    started = time.monotonic()
    for _ in range(11):
        with durations.measure():
            time.sleep(0.01)
        rate.count()
    elapsed = time.monotonic() - started
    assert 10 / elapsed <= rate.hz <= 100
    with pytest.raises(KeyError), durations.measure():
        time.sleep(0.2)
        raise KeyError
    middle, high = durations.percentiles()
    assert 0.01 <= middle <= high <= elapsed
    for _ in range(100):
        with durations.measure():
            pass
    assert durations.percentiles()[1] < 0.01  # only the last 100 count


@pytest.mark.parametrize("hz", [0.12, 0.5, 1.0, 2.0, 15.0])
def test_a_rate_is_steady_and_falls_to_zero(monkeypatch, hz):
    rate, now = Rate(), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate.count()
    assert rate.hz == 0.0
    told = []
    for _ in range(round(20 * hz)):
        for step in range(10):  # between two events
            now += 0.1 / hz
            if step == 9:
                rate.count()
            told.append(rate.hz)
    assert told[9:] == pytest.approx([hz] * len(told[9:]))
    last, falling = now, []
    for number in range(1200):
        now = last + 0.01 * number
        falling.append(rate.hz)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0.0
    if hz > 2:
        now = last + 1.0
        assert rate.hz == pytest.approx(1.0)
        now = last + 3.1
        assert rate.hz == 0.0


def test_the_longest_of_the_last_pauses_counts(monkeypatch):
    rate, now = Rate(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert rate.pause == 0.0
    pauses = []
    for moment in (100.0, 100.1, 102.1, 102.2, 102.3, 102.4):
        now = moment
        pauses.append(rate.pause)
        rate.count()
    assert pauses == pytest.approx([0.0, 0.1, 2.0, 2.0, 2.0, 0.1])
    now = 104.0
    assert rate.pause == pytest.approx(1.6)
    # Whoever starts again after a break is not slow.
    now = 112.5
    assert rate.pause == 0.0


class SlowPublisher:
    def __init__(self):
        self.sent = []

    def publish(self, message):
        time.sleep(0.02)
        self.sent.append(message)


def test_messages_are_timed_apart_from_their_way_into_dds():
    timings, publisher = Timings(), SlowPublisher()
    for words in (["first", "second", "third"], []):
        with timings.publication.measure(time.monotonic()):
            time.sleep(0.01)
            for word in words:
                timings.publication.send(publisher, word)
    with pytest.raises(KeyError), timings.publication.measure(time.monotonic()):
        timings.publication.send(publisher, "unwanted")
        raise KeyError
    assert publisher.sent == ["first", "second", "third", "unwanted"]
    # p95 of two times is all but the longer of them; nothing is left over for the next image.
    message, publish = (timings.latencies()[step] for step in ("message", "publish"))
    assert message[0] >= 0.01
    assert publish[1] >= 0.95 * 0.06
    assert publish[0] == pytest.approx(publish[1] / 1.9, rel=1e-3)


def test_a_wait_for_a_transform_belongs_to_the_message():
    timings = Timings()
    with timings.publication.measure(time.monotonic() - 0.2):
        timings.publication.send(SlowPublisher(), "late")
    message, publish = (timings.latencies()[step][0] for step in ("message", "publish"))
    assert 0.2 <= message < 0.2 + publish
    assert publish >= 0.02
