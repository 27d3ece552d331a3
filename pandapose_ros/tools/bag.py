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

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError
from tqdm import tqdm

from pandapose_ros.bags import STORAGES, BagJob, Losses, join_bags
from pandapose_ros.tools.processes import check_parameters, find_shared, node_command

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_DEPTH = _IMAGES[0]
_COMPRESSED = "/compressed"


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
    """
    if args.output.exists():
        raise FileExistsError(f"{args.output} exists already; remove it or give another name")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    counts = count_images(args.input, args.image, args.depth)
    depths = choose_depths(args.input, list(counts), args.depth)
    folder = args.output.parent / f".{args.output.name}.parts-{fingerprint(args)}"
    jobs = make_jobs(args, depths, folder)
    for job in jobs if args.params_file else ():
        check_parameters(args.params_file, f"{job.namespace}/pose_node")
    folder.mkdir(exist_ok=True)
    left = [job for job in jobs if not Path(job.out).exists()]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} topics are already done")
    try:
        run_jobs(left, counts, args)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue with the remaining topics")
        raise
    messages = join_bags([Path(job.out) for job in jobs], args.output, args.storage)
    for job in jobs:
        for line in explain_losses(job, counts[job.image]):
            print(line)
    shutil.rmtree(folder)
    print(f"{messages} messages written to {args.output}")
    return 0


def make_jobs(args: argparse.Namespace, depths: Mapping[str, str], folder: Path) -> list[BagJob]:
    """Return a job for each image topic.

    Args:
        args: As declared by `add_arguments`.
        depths: Topic of the depth images for each of the images; empty: the node's own.
        folder: Where to write the parts.
    """
    namespaces = choose_namespaces(list(depths))
    return [
        BagJob(
            bag=str(args.input),
            image=topic,
            # Topics have no dots, so that no two of them get the same file.
            out=str(folder / topic.strip("/").replace("/", ".")),
            storage=args.storage,
            definitions=str(find_shared(Path("msg"))),
            namespace=namespaces[topic],
            depth=depth,
            anchors=args.anchors,
        )
        for topic, depth in depths.items()
    ]


def count_images(bag: Path, topics: Sequence[str], depths: Sequence[str] = ()) -> dict[str, int]:
    """Return the number of images on each topic to process.

    Args:
        bag: The recording.
        topics: Those asked for; empty: the only one there is.
        depths: Topics of depth images, which are left out.

    Raises:
        ValueError: If the recording cannot be read, or a topic is missing or ambiguous.
    """
    found = {
        c.topic: c.msgcount
        for c in _connections(bag)
        if c.msgtype in _IMAGES and c.topic not in depths
    }
    listing = ", ".join(sorted(found)) or "none"
    for topic in topics:
        if topic not in found:
            raise ValueError(f"{bag} has no images on {topic}; its image topics: {listing}")
    if not topics and len(found) != 1:
        raise ValueError(f"choose topics with --image; image topics of {bag}: {listing}")
    return {topic: found[topic] for topic in topics or found}


def choose_depths(bag: Path, images: Sequence[str], depths: Sequence[str]) -> dict[str, str]:
    """Return the topic of the depth images for each of the images; empty where none is given.

    Args:
        bag: The recording.
        images: Topics of the images.
        depths: Topics asked for, in the same order; empty: none.

    Raises:
        ValueError: If their number differs, or one is not of depth images.
    """
    if not depths:
        return dict.fromkeys(images, "")
    if len(depths) != len(images):
        raise ValueError(
            f"--depth needs one topic for each image topic, in the same order: {len(images)} "
            f"image topics, {len(depths)} of depth"
        )
    kinds = {c.topic: c.msgtype for c in _connections(bag)}
    listing = ", ".join(t for t in sorted(kinds) if kinds[t] == _DEPTH and t not in images)
    for topic in depths:
        if topic not in kinds:
            raise ValueError(
                f"{bag} has no topic {topic} for --depth; its other topics of {_DEPTH}: "
                f"{listing or 'none'}"
            )
        if kinds[topic] != _DEPTH:
            raise ValueError(
                f"{topic} is of {kinds[topic]}, but --depth needs {_DEPTH} (16UC1 or 32FC1); "
                f"other topics of that type: {listing or 'none'}"
            )
    return dict(zip(images, depths, strict=True))


def _connections(bag: Path) -> list[Connection]:
    try:
        with Reader(bag) as reader:
            return list(reader.connections)
    except (ReaderError, OSError) as error:
        remedy = "; was it cut off? `ros2 bag reindex` repairs that" if bag.is_dir() else ""
        raise ValueError(f"cannot read the recording {bag}: {error}{remedy}") from error


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
        lines.append(f"{job.image}: images without their depth or camera_info: {impaired}")
    return lines


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in counts.items())


def choose_namespaces(topics: Sequence[str]) -> dict[str, str]:
    """Return the namespace of each topic's skeletons: none for one, beside the images for several.

    Args:
        topics: Of the images.
    """
    if len(topics) == 1:
        return {topics[0]: ""}
    folders = [_folder(topic) for topic in topics]
    is_clear = all(folders) and len(set(folders)) == len(folders)
    return dict(zip(topics, folders if is_clear else topics, strict=True))


def _folder(topic: str) -> str:
    return topic.removesuffix(_COMPRESSED).rsplit("/", 1)[0]


def fingerprint(args: argparse.Namespace) -> str:
    """Return a digest of input, options and parameters: parts of other runs must not be mixed."""
    files = sorted(path for path in args.input.rglob("*") if path.is_file())
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    parameters = args.params_file.read_bytes() if args.params_file else b""
    depths = sorted(zip(args.image or [""], args.depth, strict=False))
    # All image topics, as the namespace of each depends on the others.
    options = (args.storage, args.anchors, sorted(args.image), depths)
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
    is_compressed = _is_compressed(job)
    parameters = {
        "use_sim_time": True,
        "image_transport": "compressed" if is_compressed else "raw",
        "cameras": [""],
    }
    remaps = {"image": job.image, "camera_info": f"{_folder(job.image)}/camera_info"}
    if is_compressed and not job.image.endswith(_COMPRESSED):
        # The node appends the ending to any other name.
        remaps[job.image + _COMPRESSED] = job.image
    if job.depth:
        remaps["depth"] = job.depth
    command = node_command("bag_worker", "", parameters, remaps)
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


def _is_compressed(job: BagJob) -> bool:
    with Reader(Path(job.bag)) as reader:
        return any(c.topic == job.image and c.msgtype == _IMAGES[1] for c in reader.connections)
