"""Run camera, node and recorder as ROS 2 processes on a clip; draw and measure the result."""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.image_files import decode_image
from pandapose_ros.evaluation import metrics
from pandapose_ros.pose import Pose, TrackState
from pandapose_ros.recording import Recording, Result
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.tools.pictures import FRAME_DIGITS, frame_name, open_video, write_pictures
from pandapose_ros.tools.processes import find_shared, start_node, stop, wait_for_first_end
from pandapose_ros.whole_files import prepare_file

_CLIP = Path("config", "demo", "walk.mp4")
_RATE = 10.0  # of a video of a single image [Hz]
_DRAIN_SECONDS = 1.5  # for the last skeletons to reach the recorder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input",
        nargs="?",
        default="",
        help="video file or webcam index; default: the packaged clip",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write into")
    parser.add_argument("--rate", type=float, default=0.0, help="images per second; 0: the clip's")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to use a webcam")
    parser.add_argument("--truth", type=Path, help=".npz with joints [T, 17, 3], K and fps")
    parser.add_argument(
        "--view",
        action="store_true",
        help="show the clip in a browser, in a loop, instead of writing pictures",
    )


def run(args: argparse.Namespace) -> int:
    """Run the processes, then draw and summarise what the recorder kept.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 1 if there are no skeletons.

    Raises:
        ValueError: If the video or the truth cannot be used; nothing has been removed then.
    """
    source = args.input or str(find_shared(_CLIP))
    truth_file = args.truth or (None if args.input else find_shared(_CLIP.with_suffix(".npz")))
    frames = count_frames(source)
    truth = read_truth(truth_file, frames) if truth_file else None
    if args.view:
        return show(source, truth, args.rate)
    recording_file = args.out / "recording.npz"
    # Only the names it writes itself: pictures of phones begin with digits, too.
    drawn = args.out.glob("[0-9]" * FRAME_DIGITS + ".jpg")
    before = [recording_file, *drawn, args.out / "annotated.mp4"]
    if Path(source).resolve() in [path.resolve() for path in before]:
        raise ValueError(f"{source} would be overwritten by its result: give another --out")
    prepare_file(recording_file)  # here, where the reason is told in one line
    for old in before:
        old.unlink(missing_ok=True)
    run_processes(source, frames, truth, args, recording_file)
    recording = Recording.load(recording_file)
    summary = summarise(recording, truth)
    (args.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    draw(recording, args.out)
    print(describe(summary, args.out))
    return 0 if summary["skeletons"] else 1


def count_frames(source: str) -> int:
    """Return how many images a video has; 0 of a webcam or if the container does not say.

    Args:
        source: Video file or webcam index.

    Raises:
        ValueError: If it is no video.
    """
    if source.isdigit():
        return 0
    return max(int(open_video(Path(source)).get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def read_truth(file: Path, frames: int) -> dict[str, NDArray]:
    """Read a clip's exact joints [T, 17, 3] and K [3, 3].

    Args:
        file: .npz
        frames: How many images the clip has; 0: unknown.

    Raises:
        ValueError: If it is another file, or of another clip.
    """
    needed = f"expected a .npz with joints [T, {len(H36M_17.joint_names)}, 3] and K [3, 3]"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            truth = {name: arrays[name] for name in ("joints", "K")}
    except (KeyError, ValueError, TypeError, BadZipFile) as error:
        raise ValueError(f"{file} is no truth of a clip: {needed}") from error
    shape = truth["joints"].shape
    if shape[1:] != (len(H36M_17.joint_names), 3) or truth["K"].shape != (3, 3):
        shapes = f"{list(shape)} and {list(truth['K'].shape)}"
        raise ValueError(f"{file} has joints and K of shapes {shapes}: {needed}")
    if frames and len(truth["joints"]) != frames:
        raise ValueError(
            f"{file} is not of this clip: joints of {shape[0]} images, but it has {frames}"
        )
    return truth


def show(source: str, truth: dict[str, NDArray] | None, rate: float) -> int:
    """Run camera, node and viewer until one of them ends or this process is interrupted."""
    namespace = f"/pandapose_demo_{os.getpid()}"
    skeletons = f"{namespace}/pose_node/skeletons"
    camera = describe_camera(source, truth, rate) | {"loop": True}
    processes = [
        ("viewer", start_node("viewer", namespace, {"skeletons": skeletons}, {})),
        ("pose_node", start_node("pose_node", namespace, {}, {"image": "image_raw"})),
        ("video_camera", start_node("video_camera", namespace, camera, {})),
    ]
    try:
        name, code = wait_for_first_end(processes)
    finally:
        stop(processes)
    if code:
        raise ValueError(f"{name} failed; see its message above")
    return code


def describe_camera(source: str, truth: dict[str, NDArray] | None, rate: float) -> dict:
    """Return the parameters of the camera that plays the clip."""
    camera: dict = {"source": source, "rate": rate}
    if truth is not None:
        width = open_video(Path(source)).get(cv2.CAP_PROP_FRAME_WIDTH)
        camera["field_of_view"] = float(2 * np.arctan(width / 2 / truth["K"][0, 0]))
    return camera


def run_processes(
    source: str,
    frames: int,
    truth: dict[str, NDArray] | None,
    args: argparse.Namespace,
    recording_file: Path,
) -> None:
    """Run the three nodes until the camera or the recorder is done; ValueError if one fails."""
    namespace = f"/pandapose_demo_{os.getpid()}"
    is_webcam = source.isdigit()
    camera = describe_camera(source, truth, args.rate) | {"wait_for_subscribers": 2}
    images = {"image": "image_raw"}
    topics = {name: f"pose_node/{name}" for name in ("skeletons", "anchors")}
    hearing = {
        "out": str(recording_file),
        "frames": frames,
        "seconds": args.seconds if is_webcam else 0.0,
    }
    recorder = start_node("recorder", namespace, hearing, images | topics)
    processes = [
        ("recorder", recorder),
        ("pose_node", start_node("pose_node", namespace, {}, images)),
        ("video_camera", start_node("video_camera", namespace, camera, {})),
    ]
    try:
        # The camera at the end of its video, or the recorder when it has heard enough.
        name, code = wait_for_first_end(processes)
        if code or name == "pose_node":
            raise ValueError(f"{name} ended early; see its message above")
        with suppress(subprocess.TimeoutExpired):
            recorder.wait(_DRAIN_SECONDS)
    finally:
        stop(processes)
    if not recording_file.exists():
        raise ValueError("the recorder left no recording; see its messages above")


def summarise(recording: Recording, truth: dict[str, NDArray] | None) -> dict:
    """Count frames, skeletons and people; measure latency and, with the truth, the error.

    Args:
        recording: What the recorder kept.
        truth: joints [T, 17, 3], camera frame, metres, one row per frame of the clip; or None.

    Returns:
        frames, messages (with or without people), skeletons (of all but the lost), people (ids
        seen), latency_ms, and with the truth mpjpe_mm, pa_mpjpe_mm and root_error_mm of these.
    """
    poses = [pose for result in recording.results for pose in _known(result)]
    latencies = [(r.received_ns - r.stamp_ns) / 1e6 for r in recording.results]
    summary: dict = {
        "frames": len(recording.images),
        "messages": len(recording.results),
        "skeletons": len(poses),
        "people": len({pose.id for pose in poses}),
        "latency_ms": {
            name: round(float(np.percentile(latencies, q)), 1) if latencies else None
            for name, q in (("p50", 50), ("p95", 95))
        },
    }
    if truth is not None:
        summary |= measure_error(recording, truth["joints"])
    return summary


def measure_error(recording: Recording, truth: NDArray[np.floating]) -> dict:
    """Measure the skeletons against the truth; nulls if frames cannot be told apart."""
    names = ("mpjpe_mm", "pa_mpjpe_mm", "root_error_mm")
    if len(recording.images) != len(truth):
        # A lost image would shift all later ones: no number is better than a wrong one.
        return dict.fromkeys(names)
    number = {stamp: i for i, stamp in enumerate(recording.image_stamps_ns)}
    rows = []
    for result in recording.results:
        joints = truth[number[result.stamp_ns]]
        for pose in _known(result):
            relative = (joints - joints[:1])[None]
            root_error = np.nan if pose.root is None else np.linalg.norm(pose.root - joints[0])
            rows.append(
                (
                    metrics.mpjpe(pose.joints[None], relative),
                    metrics.pa_mpjpe(pose.joints[None], relative),
                    root_error,
                )
            )
    means = np.mean(np.array(rows, float).reshape(-1, 3), axis=0) if rows else [np.nan] * 3
    return {
        name: round(1e3 * float(mean), 1) if np.isfinite(mean) else None
        for name, mean in zip(names, means, strict=True)
    }


def _known(result: Result) -> list[Pose]:
    """Return the people whose joints are known: all but those who are lost."""
    return [pose for pose in result.poses if pose.state is not TrackState.LOST]


def draw(recording: Recording, out: Path) -> None:
    """Write `annotated.mp4` and pictures of the images that gave a skeleton message."""
    images = dict(zip(recording.image_stamps_ns, recording.images, strict=True))
    results = [result for result in recording.results if result.stamp_ns in images]

    def frames() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for number, result in enumerate(results):
            encoded = np.frombuffer(images[result.stamp_ns], np.uint8)
            yield frame_name(number), decode_image(encoded)

    if results:
        seconds = (results[-1].stamp_ns - results[0].stamp_ns) / 1e9
        rate = (len(results) - 1) / seconds if seconds > 0 else _RATE
        write_pictures(frames(), [result.poses for result in results], out, rate)


def describe(summary: dict, out: Path) -> str:
    """Put the summary into a few lines."""
    latency = summary["latency_ms"]
    lines = [
        f"frames in {summary['frames']}, messages out {summary['messages']}, "
        f"skeletons {summary['skeletons']}, people {summary['people']}",
        f"latency from image stamp to skeleton received: p50 {latency['p50']} ms, "
        f"p95 {latency['p95']} ms",
    ]
    if summary.get("mpjpe_mm") is not None:
        lines.append(
            f"error against the exact joints: MPJPE {summary['mpjpe_mm']} mm, "
            f"PA-MPJPE {summary['pa_mpjpe_mm']} mm, root {summary['root_error_mm']} mm"
        )
    elif "mpjpe_mm" in summary:
        lines.append("error against the exact joints: unknown, as the recorder missed images")
    return "\n".join([*lines, f"pictures: {out / 'annotated.mp4'}, {out}/*.jpg"])
