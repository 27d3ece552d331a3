"""The parts of the benchmark that run in other processes: MediaPipe, and the nodes."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pandapose_ros.timings import summarise
from pandapose_ros.tools.processes import start_node, stop

# Time for a probe to start, and to wait for its answers [s].
_PATIENCE = 300.0
# Run by the interpreter that has mediapipe: times its pose solution in tracking mode.
_MEDIAPIPE = """
import json, sys, time
import mediapipe, numpy
images, repeats = numpy.load(sys.argv[1]), int(sys.argv[2])
pose = mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False)
times, found = [], 0
for number in range(repeats + 10):
    image = numpy.ascontiguousarray(images[number % len(images)][..., ::-1])
    start = time.perf_counter()
    found += pose.process(image).pose_landmarks is not None
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"times": times[10:], "found": found / len(times),
                  "version": mediapipe.__version__}))
"""


def measure_mediapipe(python: str, images: Path, repeats: int) -> dict:
    """Time MediaPipe's pose on images, in its own environment.

    Args:
        python: Interpreter that has mediapipe.
        images: File of BGR images [N, H, W, 3].
        repeats: Images to measure, after ten that are not counted.

    Raises:
        ValueError: If mediapipe fails there.
    """
    # Without the paths of ROS, which are for this interpreter.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    command = [python, "-c", _MEDIAPIPE, str(images), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        raise ValueError(f"{python} cannot run mediapipe: {done.stderr.strip()[-300:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return {
        "version": answer["version"],
        "found": answer["found"],
        "frame": summarise(answer["times"]),
    }


def measure_nodes(
    parameters: Mapping[str, object],
    images: Path,
    people: int,
    rates: Sequence[float],
    seconds: float,
) -> list[dict]:
    """Run `pose_node`, and probes that send images and receive skeletons.

    Args:
        parameters: Of `pose_node`.
        images: File of BGR images [N, H, W, 3].
        people: Shown in them.
        rates: Of the images, one after the other, Hz; 0: each after the answer to the last.
        seconds: How long to measure at each.

    Returns:
        The probe's report for each rate.

    Raises:
        ValueError: If a probe fails.
    """
    namespace = f"/pandapose_benchmark_{os.getpid()}"
    topics = {"image": "image_raw", "skeletons": "pose_node/skeletons"}
    started = time.time()
    node = start_node("pose_node", namespace, parameters, {"image": "image_raw"})
    reports = []
    try:
        for rate in rates:
            out = images.with_suffix(".json")
            probing = {"images": str(images), "out": str(out), "people": people}
            probing |= {"rate": rate, "seconds": seconds}
            # Only the very first skeletons show how long the start takes.
            probing |= {"pid": node.pid, "started": 0.0 if reports else started}
            probe = start_node("probe", namespace, probing, topics)
            try:
                probe.wait(seconds + _PATIENCE)
            finally:
                stop([("probe", probe)])
            if probe.returncode or not out.exists():
                raise ValueError("the probe failed; see its message above")
            reports.append(json.loads(out.read_text()))
            out.unlink()
    finally:
        stop([("pose_node", node)])
    return reports
