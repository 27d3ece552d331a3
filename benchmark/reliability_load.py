"""More than the node can do, and the same for a long time."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from reliability_bench import Bench, NodeProcess, entry, seconds_of, walk_frames
from sensor_msgs.msg import Image

from pandapose_ros.msg import Skeleton3D, Skeleton3DArray

# Memory that an allocator takes for reasons of its own.
_FLAT = 0.03
_SOAK_GROWTH = 0.01
_CROWD = 30
_FASTEST = 200.0  # images a second that this process can send
# Until the arenas of all threads have been used.
_SETTLING = 60.0


def ids_in(answer: Skeleton3DArray | None) -> list[str]:
    """Return who is seen in an answer; nobody if there is none."""
    skeletons = answer.skeletons if answer is not None else []
    return [s.id for s in skeletons if s.tracking_state != Skeleton3D.TRACKING_LOST]


def stream(bench: Bench, frames: list, hz: Callable[[], float], seconds: float) -> Iterator[float]:
    """Send images at a rate, asked anew for each, and listen meanwhile; yields their stamps."""
    prepared = [bench.message(frame) for frame in frames]
    begin = due = time.monotonic()
    number = 0
    while time.monotonic() - begin < seconds:
        message = prepared[number % len(prepared)]
        message.header.stamp = bench.now()
        bench.images.publish(message)
        number += 1
        yield seconds_of(message.header.stamp)
        # What could not be sent in time is left out, as a camera does.
        due = max(due + 1 / hz(), time.monotonic())
        bench.spin(due - time.monotonic())


def overload(bench: Bench, node: NodeProcess, seconds: float) -> dict:
    """Send images four times as fast as the node works at that time."""
    frames = walk_frames(40)
    bench.exchange(frames[0])
    begin = time.monotonic()
    for frame in frames[1:5]:
        bench.exchange(frame)
    speed = 4 / (time.monotonic() - begin)
    seconds = max(seconds, 20 / speed)  # on a machine that is busy with other things
    bench.forget()

    def four_times() -> float:
        latest = bench.published[-8:]
        now = (len(latest) - 1) / (latest[-1] - latest[0]) if len(latest) > 2 else speed
        return min(max(4 * now, 1.0), _FASTEST)

    stamps, memories = [], []
    for stamp in stream(bench, frames, four_times, seconds):
        stamps.append(stamp)
        memories.append(node.memory)
    bench.spin(1.0)
    answered = np.array([seconds_of(answer.header.stamp) for answer in bench.skeletons])
    seen = {"seconds": seconds, "images": len(stamps)}
    seen |= _ages(np.array(stamps), answered, np.array(bench.published))
    quarters = [float(np.median(quarter)) for quarter in np.array_split(memories, 4)]
    seen |= {"memory_mib_by_quarter": [round(value, 1) for value in quarters]}
    passed = (
        seen["share_within_two_frames_and_processing"] >= 0.95
        and quarters[3] < (1 + _FLAT) * quarters[1]
        and len(answered) > 8
    )
    return entry(
        "camera_four_times_too_fast",
        f"a camera at 4 times the rate of the node's answers for {seconds:.0f} s, if this process "
        f"can send as fast (at most {_FASTEST:.0f} Hz)",
        seen,
        "age when published <= 2 frame times + processing (since the answer before), for 95 % of "
        f"the skeletons; memory in the last quarter < {_FLAT:.0%} above the second's",
        passed,
    )


def _ages(stamps: NDArray, answered: NDArray, published: NDArray) -> dict[str, float | int]:
    """Tell how old skeletons are when published, from stamps in seconds."""
    ages, processing = (published - answered)[1:], np.diff(published)
    # The time between the images round each answered one, as the camera is not quite steady.
    places = np.clip(np.searchsorted(stamps, answered[1:]), 1, len(stamps) - 2)
    two_frames = stamps[places + 1] - stamps[places - 1]
    # While images always wait, the node is at work from one answer to the next.
    within = ages <= two_frames + processing
    quarters = np.array_split(ages, 4)
    return {
        "skeletons": len(answered),
        "node_hz": float(1 / processing.mean()),
        "camera_hz": float(1 / np.diff(stamps).mean()),
        "age_p50_s": float(np.median(ages)),
        "age_p95_s": float(np.percentile(ages, 95)),
        "age_max_s": float(ages.max()),
        "share_within_two_frames_and_processing": float(within.mean()),
        "age_p50_first_quarter_s": float(np.median(quarters[0])),
        "age_p50_last_quarter_s": float(np.median(quarters[3])),
    }


def thirty_people(bench: Bench, rounds: int) -> dict:
    """Show a crowd to four cameras of one node, as many as the detector finds in an image."""
    names = [f"camera{number}" for number in range(4)]
    cameras = f"[{','.join(names)}]"
    node = bench.start(threads=1, cameras=cameras, max_people=30, detection_score=0.2)
    tiles = [frame[60:470, 230:400] for frame in walk_frames(140, (640, 480))[-24:-16]]
    crowd = np.concatenate([np.concatenate(row, axis=1) for row in (tiles[:4], tiles[4:])])
    people: dict[str, list[str]] = {}
    for name in names:
        listen = bench.node.create_subscription
        listen(Skeleton3DArray, f"/pose_node/{name}/skeletons", _keeper(people, name), 10)
    images = [bench.node.create_publisher(Image, f"/{name}/image", 10) for name in names]
    bench.wait(lambda: all(publisher.get_subscription_count() for publisher in images))
    bench.spin(1.0)
    counts = []
    for _ in range(rounds):
        people.clear()
        for publisher in images:
            publisher.publish(bench.message(np.ascontiguousarray(crowd)))
        bench.wait(lambda: len(people) == len(names), 30.0)
        counts.append({name: len(set(ids)) for name, ids in sorted(people.items())})
    memory, was_alive, code = node.memory, node.is_alive, node.end()
    seen = {"people": counts, "memory_mib": memory, "alive": was_alive, "exit_code": code}
    passed = was_alive and code == 0 and "Traceback" not in node.log
    passed = passed and all(sum(c.values()) >= _CROWD and len(c) == 4 for c in counts[1:])
    bound = f"every camera answered each time, {_CROWD} people or more together; exit code 0"
    done = (
        "four cameras of one node with 8 people each (the detector finds no more in an image), "
        f"max_people 30, detection_score 0.2, {rounds} times"
    )
    return entry("thirty_people", done, seen, bound, passed)


def _keeper(people: dict[str, list[str]], name: str) -> Callable[[Skeleton3DArray], None]:
    """Return a callback that keeps who is seen by a camera."""

    def keep(message: Skeleton3DArray) -> None:
        people[name] = ids_in(message)

    return keep


def soak(bench: Bench, node: NodeProcess, seconds: float) -> dict:
    """Work for a long time and watch the memory."""
    settling = min(_SETTLING, seconds / 2)
    begin = time.monotonic()
    times, memories = [], []
    bench.forget()
    sent = 0
    for _stamp in stream(bench, walk_frames(140), lambda: 5.0, seconds):
        sent += 1
        times.append(time.monotonic() - begin)
        memories.append(node.memory)
        if len(bench.markers) > 10_000:
            bench.markers.clear()
    bench.spin(2.0)
    clock, memory = np.array(times), np.array(memories)
    settled = memory[clock >= settling]
    tenth = max(1, len(settled) // 10)
    growth = float(np.median(settled[-tenth:]) / np.median(settled[:tenth]) - 1)
    minutes = [float(np.median(memory[clock // 60 == m])) for m in range(int(clock[-1] // 60) + 1)]
    seen = {
        "seconds": seconds,
        "images": sent,
        "skeletons": len(bench.skeletons),
        "memory_mib_by_minute": [round(value, 1) for value in minutes],
        "growth_after_settling": growth,
    }
    return entry(
        "soak",
        f"{seconds:g} s of 320x240 images of a person at 5 Hz",
        seen,
        f"growth of resident memory after the first {settling:g} s < {_SOAK_GROWTH:.0%} (medians "
        "of the first and the last tenth)",
        growth < _SOAK_GROWTH and node.is_alive and len(bench.skeletons) > 0.5 * sent,
    )
