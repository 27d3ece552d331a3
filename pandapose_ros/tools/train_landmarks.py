"""Fine-tune the landmark net on rendered people, before the lifter is trained on its features."""

import argparse
import copy
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pandapose_ros.config import LandmarkTrainConfig, SkeletonSampleConfig
from pandapose_ros.config.options import check_options
from pandapose_ros.data.file_identity import identity
from pandapose_ros.data.landmark_crops import LandmarkCrops, LandmarkCropSource
from pandapose_ros.data.picture_crops import picture_files, read_pictures, with_places
from pandapose_ros.data.rendered_images import chunk_files
from pandapose_ros.estimator import select_device
from pandapose_ros.evaluation.landmark_scores import score_landmarks, share_of_wrong_turns
from pandapose_ros.landmark_weights import blend, open_landmark_net
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.tools.time_limit import add_time_limit
from pandapose_ros.training.landmarks import LandmarkTrainer
from pandapose_ros.training.log import add_to_history
from pandapose_ros.training.state import STATE_FILE, refuse_started, require_started
from pandapose_ros.whole_files import prepare_replacement

_SHOWN_STEPS = 50  # over which numbers are averaged
_SCORED_CROPS = 240


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose train-landmarks`."""
    parser.add_argument("images", type=Path, help="output folder of `pandapose synthesize`")
    parser.add_argument("--out", type=Path, required=True, help="folder for landmarks and state")
    parser.add_argument(
        "--pictures", type=Path, help="folder of pictures without people, as negatives"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        help="output folder of `pandapose synthesize --test`, to score each checkpoint on "
        "(OUT/history.json)",
    )
    _add_starts(parser)
    add_time_limit(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    parser.add_argument(
        "--readers",
        type=int,
        default=0,
        help="threads that prepare crops; a GPU needs several; 0: none, as they take more time "
        "from training on a CPU than they save (0)",
    )
    for field in fields(LandmarkTrainConfig):
        name, text = "--" + field.name.replace("_", "-"), field.metadata["doc"]
        if field.type is bool:
            parser.add_argument(name, action="store_true", help=text)
            continue
        text = f"{text} ({field.default})"
        parser.add_argument(name, type=type(field.default), default=field.default, help=text)


def _add_starts(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which net a run begins with."""
    parser.add_argument(
        "--start",
        type=Path,
        help="landmarks.safetensors to start from instead of MediaPipe's; needed with --resume "
        "too",
    )
    parser.add_argument(
        "--towards-original",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="start from weights that are this share of the way from those of --start to "
        "MediaPipe's, which know photographs better (0)",
    )
    parser.add_argument(
        "--net",
        type=Path,
        help="another landmark net of MediaPipe, pose_landmark_heavy.tflite, instead of the one "
        "that is installed",
    )


def run(args: argparse.Namespace) -> int:
    """Train, with a bar and checkpoints.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code: 0 at the end of the schedule or of the time, 1 if the loss is not finite.
    """
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    if args.resume:
        require_started(args.out)
    else:
        refuse_started(args.out)
    values: dict[str, Any] = {f.name: getattr(args, f.name) for f in fields(LandmarkTrainConfig)}
    config = LandmarkTrainConfig(**values)
    check_options(config)
    if not 0 <= args.towards_original <= 1:
        raise ValueError(f"--towards-original: expected 0 to 1, got {args.towards_original}")
    if args.towards_original and args.start is None:
        raise ValueError("--towards-original is without effect if there is no --start")
    net, before = _opened(args.net, args.start)
    blend(net, before, args.towards_original)
    pictures = []
    if args.pictures:
        detector = PersonDetector(find_model_file(PERSON_DETECTOR), args.threads)
        pictures = with_places(read_pictures(args.pictures), detector, net)
    source = LandmarkCropSource(args.images, config, SkeletonSampleConfig(), pictures)
    held_out = _HeldOut(args.held_out, config) if args.held_out else None
    prepare_replacement(args.out / STATE_FILE)  # before the first steps, not after them
    device = select_device(args.device)
    draw, data = _ahead(source.batch, args.readers), _identities(args.images, args.pictures)
    trainer = LandmarkTrainer(net, before, config, draw, device, data)
    if args.resume:
        trainer.resume(args.out)
    try:
        _train(trainer, args.out, args.minutes, held_out, {"images": str(len(source))})
    except FloatingPointError as error:
        print(f"pandapose train-landmarks: {error}")
        return 1
    return 0


def _opened(file: Path | None, start: Path | None) -> tuple[BlazePose, BlazePose]:
    """Open the landmark net to start from, and the same as MediaPipe gives it.

    Args:
        file: MediaPipe's; None: the one that is installed.
        start: Weights to start from; None: MediaPipe's own.

    Raises:
        ValueError: If the weights are of a net that was made from another file.
    """
    before = BlazePose(file.read_bytes()) if file else open_landmark_net()
    if start is None:
        return copy.deepcopy(before), before
    net = open_landmark_net(start)
    if net.graph_text != before.graph_text:
        raise ValueError(
            f"{start} is of another landmark net: give the file that it was made from by --net"
        )
    return net, before


def _identities(images: Path, pictures: Path | None) -> dict[str, str]:
    """Identify the images and pictures that are trained on, wherever they are."""
    others = picture_files(pictures) if pictures else []
    return {
        "images": identity(chunk_files(images), images),
        "pictures": identity(others, pictures or images),
    }


class _HeldOut:
    """Score nets, always on the same crops, of people with nothing in front of them."""

    def __init__(self, folder: Path, config: LandmarkTrainConfig) -> None:
        placed = replace(config, background=0.0, covered=0.0, misplaced=0.0, cut=0.0, seed=0)
        views = SkeletonSampleConfig(mirrored=0.0)
        self._placed = LandmarkCropSource(folder, placed, views)
        self._misplaced = LandmarkCropSource(folder, replace(placed, misplaced=1.0), views)
        self._batches = range(-(-min(_SCORED_CROPS, len(self._placed)) // config.batch))

    def scores(self, net: BlazePose) -> dict[str, float]:
        """Score a net; on misplaced crops only its turns."""
        sources = {"": self._placed, "misplaced_": self._misplaced}
        turns = {
            f"{name}wrong_turns": share_of_wrong_turns(net, map(source.batch, self._batches))
            for name, source in sources.items()
        }
        return score_landmarks(net, map(self._placed.batch, self._batches)) | turns


def _train(
    trainer: LandmarkTrainer,
    out: Path,
    minutes: float,
    held_out: _HeldOut | None,
    told: dict[str, str],
) -> None:
    """Do the steps that are left, or as many as fit the time."""
    config, end = trainer.config, time.monotonic() + minutes * 60
    recent: deque[tuple[float, float]] = deque(maxlen=_SHOWN_STEPS)
    with tqdm(total=config.steps, initial=trainer.step, unit="step", smoothing=0.05) as bar:
        while trainer.step < config.steps:
            losses = trainer.advance()
            recent.append((losses.keypoints_px.item(), 1000 * losses.joints_m.item()))
            px, mm = (sum(part) / len(recent) for part in zip(*recent, strict=True))
            bar.update()
            bar.set_postfix({"2D": f"{px:.1f} px", "3D": f"{mm:.0f} mm"}, refresh=False)
            late = minutes > 0 and time.monotonic() > end
            if late or trainer.step % config.save_every == 0 or trainer.step == config.steps:
                trainer.save(out, told | {"steps": str(trainer.step)})
                means = {"keypoints_px": round(px, 3), "joints_mm": round(mm, 2)}
                scores = held_out.scores(trainer.averaged()) if held_out else {}
                add_to_history(out, trainer.step, means, scores)
            if late:
                tqdm.write(f"stopped at step {trainer.step} of {config.steps}; see --resume")
                return


def _ahead(draw: Callable[[int], LandmarkCrops], readers: int) -> Callable[[int], LandmarkCrops]:
    """Return a source that draws the next batches in threads while this one is worked on."""
    if readers == 0:
        return draw
    pool = ThreadPoolExecutor(readers)
    waiting: dict[int, Future[LandmarkCrops]] = {}

    def take(number: int) -> LandmarkCrops:
        for later in range(number, number + readers + 1):
            if later not in waiting:
                waiting[later] = pool.submit(draw, later)
        return waiting.pop(number).result()

    return take
