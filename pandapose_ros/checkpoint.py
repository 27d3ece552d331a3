"""Weights on disk: safetensors, with the configuration and the skeleton in the metadata.

The lifter's, and the backbone's if they differ from those of the public file.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pandapose_ros.config import ModelConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.landmark_weights import (
    about_backbone,
    backbone_state,
    check_finite_weights,
    load_backbone,
)
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.pandapose import BACKBONE_PREFIX, PandaPose
from pandapose_ros.whole_files import replace_file

CONFIG_KEY = "config"
SKELETON_KEY = "skeleton"
# Of weights on HRNet, which is not stored with them.
HRNET_KEY = "backbone_sha256"
# Share of the motion clips that neither this training nor those it started from have seen.
HELD_OUT_KEY = "held_out_share"
# The motion files of these trainings.
MOTION_KEY = "motion"
# Fields that do not change what trained weights compute.
TRAINING_FIELDS = ("dropout",)
# Fields that older files lack; they were trained with the defaults.
LATER_FIELDS = ("anchors", "joint_places", "lifting", "depth_head", "sampling")


def save_weights(path: Path, net: PandaPose, metadata: dict[str, str]) -> None:
    """Write weights; an existing file is replaced atomically.

    Args:
        path: File to write; its folder exists.
        net: Its lifter is written, with its configuration and skeleton name; its backbone too if
            that is a fine-tuned landmark net.
        metadata: Further entries, such as name, version, data and measured error.

    Raises:
        ValueError: If the metadata has the keys "config" or "skeleton", which are taken.
    """
    _refuse_taken(metadata)
    described = {
        **metadata,
        CONFIG_KEY: json.dumps(asdict(net.config), sort_keys=True),
        SKELETON_KEY: net.skeleton.name,
    }
    state = {key: value.contiguous() for key, value in net.lifter_state_dict().items()}
    if isinstance(net.backbone, BlazePose) and net.backbone.is_tuned:
        state |= backbone_state(net.backbone)
        described |= about_backbone(net.backbone)
    replace_file(path, save(state, described))  # save_file's can be read by their owner only


def hrnet_sha256(path: Path) -> str:
    """Return the sha256 of the HRNet file that weights were trained on; empty if it is not told.

    Of BlazePose it is empty, and of weights that were trained before it was stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file that `save_weights` wrote.
    """
    return read_metadata(path).get(HRNET_KEY, "")


def check_hrnet(path: Path, coco_weights: Path) -> None:
    """Raise ValueError if weights were trained on another HRNet file; not all tell on which."""
    if hrnet_sha256(path) not in ("", file_sha256(coco_weights)):
        raise ValueError(
            f"{path} was trained with another file than {coco_weights}: give that one"
        )


def _refuse_taken(metadata: dict[str, str]) -> None:
    """Raise ValueError if metadata has keys of ours."""
    taken = {CONFIG_KEY, SKELETON_KEY} & metadata.keys()
    if taken:
        raise ValueError(f"expected metadata without the keys {sorted(taken)}; choose others")


def load_weights(path: Path, net: PandaPose) -> dict[str, str]:
    """Load the lifter's weights, and a fine-tuned landmark net's if the file has them.

    Args:
        path: A file that `save_weights` wrote.
        net: The network to fill; its configuration and skeleton are those of the file. Without
            a BlazePose of its own it gets the lifter only.

    Returns:
        The file's metadata, with "config" (JSON) and "skeleton" (its name).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such a file, or configuration, skeleton, keys or shapes
            differ, or weights are not finite; the message names them.
    """
    metadata = read_metadata(path)
    _check_fits(path, metadata, net)
    with safe_open(path, framework="pt") as file:
        keys = [key for key in file.keys() if not key.startswith(BACKBONE_PREFIX)]  # noqa: SIM118
        state = {key: file.get_tensor(key) for key in keys}
    check_finite_weights(path, state)
    try:
        net.load_lifter_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if isinstance(net.backbone, BlazePose):
        load_backbone(path, net.backbone)
    return metadata


def add_metadata(path: Path, metadata: dict[str, str]) -> None:
    """Write more metadata into a file of weights; the weights stay the same bit for bit.

    Args:
        path: A file that `save_weights` wrote.
        metadata: What to add or to replace.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of weights, or the keys "config" or "skeleton" are given.
    """
    _refuse_taken(metadata)
    described = read_metadata(path) | metadata
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    replace_file(path, save(state, described))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file of weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file that `save_weights` wrote.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a file that `pandapose train` wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    missing = {CONFIG_KEY, SKELETON_KEY} - metadata.keys()
    if missing:
        raise ValueError(
            f"{path} lacks the metadata {sorted(missing)}; "
            "give a file that `pandapose train` wrote"
        )
    return metadata


def read_config(path: Path) -> ModelConfig:
    """Return the configuration of the network whose weights are in a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of weights, or its configuration is of another version or
            damaged.
    """
    try:
        stored = dict(json.loads(read_metadata(path)[CONFIG_KEY]))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path}: its configuration is damaged: {error}") from error
    known = {option.name for option in fields(ModelConfig)}
    stored = {option: getattr(ModelConfig(), option) for option in LATER_FIELDS} | stored
    if stored.keys() != known:
        raise ValueError(
            f"{path} is of another version: its configuration lacks "
            f"{sorted(known - stored.keys())} and has unknown {sorted(stored.keys() - known)}"
        )
    # JSON knows no tuples.
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
    }
    try:
        return ModelConfig(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: its configuration is damaged: {error}") from error


def _check_fits(path: Path, metadata: dict[str, str], net: PandaPose) -> None:
    """Raise ValueError if skeleton or configuration are not those of the network."""
    if metadata[SKELETON_KEY] != net.skeleton.name:
        raise ValueError(
            f"{path}: expected the skeleton {net.skeleton.name}, got {metadata[SKELETON_KEY]}"
        )
    stored = asdict(read_config(path))
    differences = [
        f"{key}: expected {value}, got {stored[key]}"
        for key, value in asdict(net.config).items()
        if stored[key] != value and key not in TRAINING_FIELDS
    ]
    if differences:
        raise ValueError(f"{path} is for another configuration: " + "; ".join(differences))
