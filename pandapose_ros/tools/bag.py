"""Estimate skeletons in a recording (rosbag2), and write them into another one."""

import argparse
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from tqdm import tqdm

from pandapose_ros.bags import STORAGES, BagJob, Losses, count_messages, join_bags
from pandapose_ros.folder_lock import claim
from pandapose_ros.tools.bag_topics import (
    COMPRESSED,
    DEPTH_TYPE,
    DETECTIONS_TYPE,
    RecordedTopics,
    choose_namespaces,
    folder_of,
)
from pandapose_ros.tools.processes import check_parameters, find_shared, node_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("input", type=Path, help="recording to read: a folder with metadata.yaml")
    parser.add_argument(
        "output", type=Path, help="recording to write: a folder that does not exist yet"
    )
    parser.add_argument(
        "--image", nargs="+", default=[], help="image topics; default: the only one there is"
    )
    parser.add_argument(
        "--depth",
        nargs="+",
        default=[],
        help="topics of registered depth images, one for each image topic, in the same order "
        "(default: `depth`, as the node)",
    )
    parser.add_argument(
        "--detections",
        nargs="+",
        default=[],
        help="topics of another detector's boxes to find people by, vision_msgs/Detection2DArray, "
        "one for each image topic, in the same order",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="number of processes; each takes one image topic, which is never split, since "
        "people are tracked in it (default: 1)",
    )
    parser.add_argument("--anchors", action="store_true", help="write the anchors too")
    parser.add_argument(
        "--storage", choices=STORAGES, default="sqlite3", help="format of OUTPUT (sqlite3)"
    )
    parser.add_argument("--params-file", type=Path, help="parameters of pose_node, YAML")


def run(args: argparse.Namespace) -> int:
    """Process the image topics that are not done yet, then join their parts.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code, 0.

    Raises:
        ValueError: If the recording or a topic in it cannot be used, or a worker failed.
        FileExistsError: If the output is there already.
        OSError: If another process is writing it.
    """
    if args.output.exists():
        raise FileExistsError(f"{args.output} exists already; remove it or give another name")
    if args.input.resolve() in args.output.resolve().parents:
        raise ValueError(f"{args.output} would be inside the recording; give a place beside it")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    recorded = RecordedTopics(args.input)
    counts = recorded.count_images(args.image, args.depth)
    folder = args.output.parent / f".{args.output.name}.parts-{fingerprint(args)}"
    jobs = make_jobs(args, recorded, list(counts), folder)
    for job in jobs if args.params_file else ():
        check_parameters(args.params_file, f"{job.namespace}/pose_node")
    with claim(folder, args.output):
        if args.output.exists():  # by now: another process had the folder until a moment ago
            shutil.rmtree(folder)
            raise FileExistsError(f"{args.output} has just been written by another process")
        messages = write_output(jobs, counts, args)
        for job in jobs:
            for line in explain_losses(job, counts[job.image]):
                print(line)
        shutil.rmtree(folder)
    print(f"{messages} messages written to {args.output}")
    return 0


def write_output(jobs: Sequence[BagJob], counts: dict[str, int], args: argparse.Namespace) -> int:
    """Do the jobs that are left and join their parts; return the number of messages."""
    left = [job for job in jobs if not Path(job.out).exists()]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} topics are already done")
    try:
        run_jobs(left, counts, args)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue with the remaining topics")
        raise
    for job in jobs:
        check_part(job, counts[job.image])
    return join_bags([Path(job.out) for job in jobs], args.output, args.storage)


def check_part(job: BagJob, images: int) -> None:
    """Remove a job's part and raise ValueError if it lacks skeletons of images.

    Args:
        job: That is done.
        images: How many images there are.
    """
    expected = images - sum(Losses.load(job.losses).lost.values())
    found = count_messages(Path(job.out), "/skeletons")
    if found < expected:
        shutil.rmtree(job.out)
        raise ValueError(
            f"{job.image}: skeletons of {found} images were kept, not of {expected}: run the same "
            "command again"
        )


def make_jobs(
    args: argparse.Namespace, recorded: RecordedTopics, images: Sequence[str], folder: Path
) -> list[BagJob]:
    """Return a job for each image topic.

    Args:
        args: As declared by `add_arguments`.
        recorded: Topics of the input.
        images: Topics to process.
        folder: Where to write the parts.

    Raises:
        ValueError: If a topic asked for is missing or of another type.
    """
    namespaces = choose_namespaces(images)
    depths = recorded.choose_beside(images, args.depth, "--depth", DEPTH_TYPE)
    boxes = recorded.choose_beside(images, args.detections, "--detections", DETECTIONS_TYPE)
    return [
        BagJob(
            bag=str(args.input),
            image=topic,
            # Topics have no dots, so that no two of them get the same file.
            out=str(folder / topic.strip("/").replace("/", ".")),
            storage=args.storage,
            definitions=str(find_shared(Path("msg"))),
            is_compressed=recorded.is_compressed(topic),
            namespace=namespaces[topic],
            depth=depths[topic],
            detections=boxes[topic],
            anchors=args.anchors,
        )
        for topic in images
    ]


def explain_losses(job: BagJob, images: int) -> list[str]:
    """Return which images of a topic gave no skeletons or impaired ones; empty if none.

    Args:
        job: That is done.
        images: How many images there are.
    """
    losses = Losses.load(job.losses)
    lost, impaired = _listing(losses.lost), _listing(losses.impaired)
    lines = []
    if lost:
        count = sum(losses.lost.values())
        lines.append(f"{job.image}: {count} of {images} images gave no skeletons: {lost}")
    if impaired:
        lines.append(
            f"{job.image}: images without their depth, detections or camera_info: {impaired}"
        )
    return lines


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in counts.items())


def fingerprint(args: argparse.Namespace) -> str:
    """Return a digest of input, options and parameters: parts of other runs must not be mixed."""
    files = sorted(path for path in args.input.rglob("*") if path.is_file())
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    parameters = args.params_file.read_bytes() if args.params_file else b""
    beside = [
        sorted(zip(args.image or [""], topics, strict=False))
        for topics in (args.depth, args.detections)
    ]
    # All image topics, as the namespace of each depends on the others.
    options = (args.storage, args.anchors, sorted(args.image), beside)
    what = (state, options, parameters)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def run_jobs(jobs: Sequence[BagJob], counts: dict[str, int], args: argparse.Namespace) -> None:
    """Run workers, with one progress bar; the first failure ends the others."""
    total = sum(counts[job.image] for job in jobs)
    workers = max(1, min(args.workers, len(jobs)))
    threads = max(1, (os.cpu_count() or 1) // workers)
    ending = Event()
    with (
        tqdm(total=total, desc="bag", unit="image", disable=not jobs) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        futures = [pool.submit(run_job, job, args, bar, threads, ending) for job in jobs]
        try:
            for future in futures:
                future.result()
        finally:
            ending.set()


def run_job(job: BagJob, args: argparse.Namespace, bar: tqdm, threads: int, ending: Event) -> None:
    """Run one worker process to its end; raise ValueError if it fails."""
    if ending.is_set():
        return
    command = node_command("bag_worker", "", *_settings(job))
    start = command.index("--ros-args")
    if args.params_file:
        # First, as later parameters override it.
        command[start + 1 : start + 1] = ["--params-file", str(args.params_file)]
    command.insert(start, job.to_json())
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        reason = "see its message above"
        for line in process.stdout or ():
            if line == "image\n":
                bar.update()
            elif line.startswith("error "):
                reason = line.removeprefix("error ").strip()
            if ending.is_set():
                process.terminate()
    if process.returncode and not ending.is_set():
        raise ValueError(f"{job.image} failed: {reason}")


def _settings(job: BagJob) -> tuple[dict[str, object], dict[str, str]]:
    """Return the parameters of a worker, and where its topics come from."""
    parameters: dict[str, object] = {
        "use_sim_time": True,
        "image_transport": "compressed" if job.is_compressed else "raw",
        "cameras": [""],
    }
    remaps = {"image": job.image, "camera_info": f"{folder_of(job.image)}/camera_info"}
    if job.is_compressed and not job.image.endswith(COMPRESSED):
        # The node appends the ending to any other name.
        remaps[job.image + COMPRESSED] = job.image
    if job.depth:
        remaps["depth"] = job.depth
    if job.detections:
        remaps["detections"] = job.detections
        parameters["use_detections"] = True
    return parameters, remaps
