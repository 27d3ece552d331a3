"""Views on disk: the results of detector and backbone are the same for every lifter."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.data.dataset import Dataset
from pandapose_ros.evaluation.views import KeypointSource, Views
from pandapose_ros.whole_files import write_shared

_VERSION = 4  # of what is kept; raised when views come to be made in another way
_FINISHED = "finished.json"
_LEVELS = ("features", "mirrored_features")
_ARRAYS = [each.name for each in fields(Views) if each.name not in (*_LEVELS, "people")]


def views_folder(
    cache: Path,
    dataset: Dataset,
    config: ModelConfig,
    source: KeypointSource,
    backbone_sha256: str,
    *,
    mirrored: bool,
) -> Path:
    """Return the folder for the views of a data set; another one when anything has changed.

    Args:
        cache: Folder that holds the views of all data sets.
        dataset: Its name counts, its files with their sizes and times of change, and how many
            people an image shows; of a folder its path only.
        config: Its backbone and crop count.
        source: Where the keypoints come from.
        backbone_sha256: Of the backbone's weights, by `landmark_weights.net_sha256`.
        mirrored: Whether mirrored crops were looked at too.
    """
    told = (
        _VERSION,
        dataset.name,
        dataset.max_people,
        [(str(path.resolve()), *_change(path)) for path in dataset.files],
        (config.backbone, config.crop_width, config.crop_height),
        source.value,
        mirrored,
        backbone_sha256,
    )
    return cache / hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def keep_views(
    folder: Path, make: Iterable[Views | None], device: torch.device
) -> Iterator[Views]:
    """Return the views kept in a folder; make and keep them if they are not there, or not all.

    Args:
        folder: Of `views_folder`.
        make: Makes the views, of one crop each; not touched if they are kept.
        device: For features, which are rounded to half precision in any case.
    """
    if not (folder / _FINISHED).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        for views in make:
            if views is not None:
                # Whole, as another evaluation may keep the same views at this time.
                write_shared(folder / f"{number:06d}.safetensors", save(_tensors(views)))
                yield _views(folder / f"{number:06d}.safetensors", device)
                number += 1
        write_shared(folder / _FINISHED, json.dumps({"files": number}).encode())
        return
    count = json.loads((folder / _FINISHED).read_text())["files"]
    for number in range(count):
        yield _views(folder / f"{number:06d}.safetensors", device)


def _change(path: Path) -> tuple[int, ...]:
    """Return what changes with a file; nothing of a folder, to which anything may be added."""
    if path.is_dir():
        return ()
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _tensors(views: Views) -> dict[str, Tensor]:
    """Return views as named tensors."""
    # Copied: those of motion clips are the same in crop and image, which files refuse.
    tensors = {name: torch.from_numpy(getattr(views, name).copy()) for name in _ARRAYS}
    for name in _LEVELS:
        for i, level in enumerate(getattr(views, name) or ()):
            tensors[f"{name}.{i}"] = level.cpu().half().contiguous()
    return tensors


def _views(path: Path, device: torch.device) -> Views:
    """Read views."""
    tensors = load_file(path)
    levels = {
        name: [
            tensors[key].to(device).float()
            for key in sorted(tensors)
            if key.startswith(name + ".")
        ]
        for name in _LEVELS
    }
    arrays = {name: tensors[name].numpy() for name in _ARRAYS}
    views = Views(**arrays, features=None, mirrored_features=None, people=None)
    return replace(views, **{name: maps or None for name, maps in levels.items()})
