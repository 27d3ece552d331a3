"""Identity of a training's data, kept in its state: a run is resumed only with the same data."""

from pathlib import Path

from pandapose_ros.config import TrainDataConfig
from pandapose_ros.data.file_identity import file_sha256, identity
from pandapose_ros.data.image_features import landmarks_sha256
from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.rendered_images import chunk_files


def has_images(data: TrainDataConfig) -> bool:
    """Return whether there are images to look at."""
    return bool(data.images or data.human36m or data.mpi_inf_3dhp)


def data_identity(data: TrainDataConfig) -> dict[str, bool | str]:
    """Identify the data by their content, not by their paths.

    Args:
        data: Names files that exist.

    Returns:
        By name, as `Trainer` takes it. If only features are named, the images that they were made
        from are unknown, and left out.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    told: dict[str, bool | str] = {
        "images": has_images(data) or bool(data.features),
        "bodies": bool(data.bodies),
        "landmarks_sha256": landmarks_sha256(data),
        "motion": _of(data.motion, motion_files(Path(data.motion))) if data.motion else _of(""),
        "body_file": _of(data.bodies),
        "backbone_sha256": (
            file_sha256(Path(data.backbone_weights)) if data.backbone_weights else ""
        ),
        "detections": data.detections,
    }
    if has_images(data) or not data.features:
        chunks = chunk_files(Path(data.images)) if data.images else []
        told["image_files"] = _of(data.images, chunks)
        told["human36m"] = _of(data.human36m)
        told["mpi_inf_3dhp"] = _of(data.mpi_inf_3dhp)
    return told


def _of(path: str, files: list[Path] | None = None) -> str:
    """Identify the files that a path stands for; without a list, the one that it names."""
    if files is None:
        files = [Path(path)] if path else []
    return identity(files, Path(path))
