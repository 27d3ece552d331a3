"""Features of images on disk: rendered people and data sets, through the landmark net once."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pandapose_ros.camera.lens import ImageUndistorter
from pandapose_ros.config import SkeletonSampleConfig, TrainDataConfig
from pandapose_ros.data.dataset import Dataset, Sample, human36m, mpi_inf_3dhp, read_image
from pandapose_ros.data.image_files import check_images
from pandapose_ros.data.image_samples import (
    ImageSamples,
    hands_share,
    make_image_samples,
    save_image_samples,
)
from pandapose_ros.data.rendered_images import RenderedImage, chunk_files, read_chunk
from pandapose_ros.landmark_weights import backbone_sha256, open_landmark_net
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.whole_files import write_shared

_IMAGES_AT_ONCE = 20
_SAMPLES_PER_FILE = 500
_ABOUT = "made_from.json"  # in the folder, what its samples are of
_LABELS = "label_files"  # of data sets: their sizes and times of change
_MEDIAPIPE = {"landmarks_sha256": "", "with_hands": hands_share(is_tuned=False)}

# The name of a file to be, and what gives its images.
Source = tuple[str, Callable[[], Iterable[RenderedImage]]]


def make_features(data: TrainDataConfig, folder: Path) -> None:
    """Run the landmark net on all images that were not looked at before.

    Args:
        data: Names rendered images and data sets.
        folder: Gets one file of samples for each file of rendered images, and for every 500
            samples of a data set.

    Raises:
        FileNotFoundError: If there are no images, or a data set lacks some.
        ValueError: If the folder holds samples of other images, of images that were deleted, or
            made in another way, or a data set lacks what is needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_samples(data, folder)
    _refuse_samples_of_nothing(data, folder)
    landmark_net: BlazePose | None = None
    for name, read in tqdm(_sources(data), desc="features", unit="file"):
        target = folder / f"{Path(name).stem}.safetensors"
        if _is_done(target, Path(data.images) / name):
            continue
        landmark_net = landmark_net or open_landmark_net(data.landmarks)
        rng = np.random.default_rng(list(name.encode()))
        images, parts = iter(read()), []
        while some := list(islice(images, _IMAGES_AT_ONCE)):
            part = make_image_samples(some, landmark_net, SkeletonSampleConfig(), rng, data.views)
            parts.append(vars(part))
        if parts:
            joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
            save_image_samples(target, ImageSamples(**joined))


def check_features(data: TrainDataConfig, folder: Path) -> None:
    """Refuse features of another landmark net, where there are no images to make them anew from.

    Args:
        data: Names the landmark net.
        folder: Holds what `make_features` wrote.

    Raises:
        ValueError: If they are of another landmark net, or do not tell of which.
    """
    if not (folder / _ABOUT).is_file() and any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} does not tell of which landmark net it is: no {_ABOUT} in it")
    _compare(folder, {"landmarks_sha256": landmarks_sha256(data)})


def parts_of(dataset: Dataset, kind: str) -> Iterator[Source]:
    """Divide a data set.

    Args:
        dataset: Its images are read only when those of a part are asked for.
        kind: How names begin.

    Returns:
        Parts of 500 samples; those whose camera is unknown are left out.

    Raises:
        ValueError: Where a sample has no image, or joints that are unknown.
    """
    samples = dataset.read()
    for number in count():
        some = list(islice(samples, _SAMPLES_PER_FILE))
        if not some:
            return
        yield f"{kind}_{number:05}", partial(_as_images, some, dataset.name)


def _sources(data: TrainDataConfig) -> Iterator[Source]:
    """Return all that there is to look at; data sets are opened first, as they may lack images."""
    folder, datasets = Path(data.photographs), {}
    if data.human36m:
        datasets["human36m"] = human36m([Path(data.human36m)], folder)
    if data.mpi_inf_3dhp:
        datasets["mpi_inf_3dhp"] = mpi_inf_3dhp([Path(data.mpi_inf_3dhp)], folder)
    for dataset in datasets.values():
        check_images(dataset.name, dataset.images)
    if data.images:
        for path in chunk_files(Path(data.images)):
            yield path.name, partial(read_chunk, path)
    for kind, dataset in datasets.items():
        yield from parts_of(dataset, kind)


def _as_images(samples: list[Sample], name: str) -> Iterator[RenderedImage]:
    """Return samples of a data set as an ideal camera shows them."""
    undistorter = ImageUndistorter()
    for sample in samples:
        if sample.K is None:
            continue
        image = read_image(sample)
        if image is None or not np.isfinite(sample.joints).all():
            raise ValueError(f"{name}: expected images and all 17 joints; some are unknown")
        if sample.distortion is not None:
            image = undistorter.undistort(image, sample.K, sample.distortion)
        yield RenderedImage(image, sample.joints, sample.K)


def _is_done(target: Path, images: Path) -> bool:
    """Return whether samples are there, of images as they are: a chunk may be rendered again."""
    if not target.is_file():
        return False
    return not images.is_file() or images.stat().st_mtime_ns <= target.stat().st_mtime_ns


def landmarks_sha256(data: TrainDataConfig) -> str:
    """Return a digest of the landmark net to see with; empty for MediaPipe's."""
    return backbone_sha256(Path(data.landmarks)) if data.landmarks else ""


def _refuse_other_samples(data: TrainDataConfig, folder: Path) -> None:
    """Raise ValueError if the folder keeps samples of other images, or made in another way."""
    paths = {
        "images": data.images,
        "human36m": data.human36m,
        "mpi_inf_3dhp": data.mpi_inf_3dhp,
        "photographs": data.photographs,
    }
    digest = landmarks_sha256(data)
    labels = {
        key: Path(paths[key]).stat()
        for key in ("human36m", "mpi_inf_3dhp")
        if Path(paths[key]).is_file()
    }
    made_from = {
        **{key: str(Path(path).resolve()) for key, path in paths.items() if path},
        _LABELS: {key: [stat.st_size, stat.st_mtime_ns] for key, stat in labels.items()},
        "views": data.views,
        "jitter": asdict(SkeletonSampleConfig()),
        "landmarks_sha256": digest,
        "with_hands": hands_share(is_tuned=bool(digest)),
    }
    _compare(folder, made_from, is_all=True)
    write_shared(folder / _ABOUT, json.dumps(made_from, indent=1).encode())


def _refuse_samples_of_nothing(data: TrainDataConfig, folder: Path) -> None:
    """Raise ValueError if the folder keeps samples of files of images that are there no longer."""
    files = chunk_files(Path(data.images)) if data.images else []
    there = {path.stem for path in files}
    gone = [path for path in sorted(folder.glob("chunk_*.safetensors")) if path.stem not in there]
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise ValueError(
            f"{folder} keeps samples of images that are gone: {gone[0]}{more}; delete "
            "these, or give another --features"
        )


def _compare(folder: Path, expected: dict[str, Any], *, is_all: bool = False) -> None:
    """Raise ValueError if a folder tells other things of its samples; all that it tells may count.

    Folders of older versions tell the landmark net's path, unless it is MediaPipe's, and nothing
    of the files of labels.
    """
    about = folder / _ABOUT
    if not about.is_file():
        return
    stored = json.loads(about.read_text())
    if "landmarks" not in stored:
        stored = _MEDIAPIPE | stored
    expected = json.loads(json.dumps(expected))  # tuples become lists, as in the file
    stored = {_LABELS: expected.get(_LABELS)} | stored
    keys = {**expected, **stored} if is_all else expected
    differences = "; ".join(
        f"{key}: expected {expected.get(key)}, got {stored.get(key)}"
        for key in keys
        if expected.get(key) != stored.get(key)
    )
    if differences:
        raise ValueError(
            f"{folder} keeps samples of something else ({about}: {differences}); delete it, or "
            "give another --features"
        )
