"""MPI-INF-3DHP, from the npz files of P-STMO's preparation, with CA-PF's crops if they are in."""

import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.person_size import check_person_size
from pandapose_ros.data.safe_pickle import array_field, check_finite, field, read_npz_object
from pandapose_ros.geometry import project

Array = NDArray[np.floating]

_MM = 1000.0
_JOINTS = 17
# Where the joints of H36M-17 are in the file: head-top, neck, right arm, left arm, right leg,
# left leg, pelvis, spine, head. Its "head" stands for the nose.
_H36M_FROM_3DHP = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
_TRAIN_NAME, _TEST_NAME = re.compile(r"S(\d+) Seq(\d+)"), re.compile(r"TS(\d+)")
_GREATEST_RESIDUE_PX = 2.0
_CROP_RESIDUE_PX = 1.0


@dataclass(frozen=True)
class MpiInf3dhpSamples:
    """Hold N samples.

    Attributes:
        images: N files of crops of 192 x 256, or their names below the image tree if no folder
            was given.
        keypoints: [N, 17, 2], true, image pixels; the preparation has no detected ones.
        keypoints_crop: [N, 17, 2], true, pixels of the crop; NaN where the file has none.
        joints: [N, 17, 3], camera frame, metres.
        K: [N, 3, 3], pixels; NaN where joints and keypoints do not tell it.
        subjects: [N], 1 to 8, of the test set 1 to 6.
        sequences: N names such as "S1 Seq2" or "TS3", which stand for actions.
        cameras: [N], 0 to 8; -1 in the test set, which has one camera a sequence.
        frames: [N], from 0.
    """

    images: tuple[Path, ...]
    keypoints: Array
    keypoints_crop: Array
    joints: Array
    K: Array
    subjects: NDArray[np.int64]
    sequences: tuple[str, ...]
    cameras: NDArray[np.int64]
    frames: NDArray[np.int64]


@dataclass(frozen=True)
class _Take:
    """Hold what one camera saw of a sequence: its name, numbers and fields."""

    sequence: str
    subject: int
    camera: int
    folder: str
    label: object
    place: str


def read_mpi_inf_3dhp(path: Path, image_folder: Path | None) -> MpiInf3dhpSamples:
    """Read `data_train_3dhp.npz` or `data_test_3dhp.npz`.

    Args:
        path: The npz. Of test sequences, which have a field "valid", only valid frames are
            taken.
        image_folder: Holds the folders s_SS_seq_QQ_ca_CC or TSn; None if images are not wanted.

    Raises:
        FileNotFoundError: If the npz or the first image is missing.
        ValueError: If the npz holds more than plain data, or a field is missing, of another
            shape or unit, or NaN; names the file, the sequence, the field and what was expected.

    Source:
        The preparations of P-STMO and CA-PF. Our choice: K is fitted
        to joints and keypoints, and taken where it explains them to 2 px.
    """
    data = read_npz_object(path, "data")
    if not isinstance(data, dict) or not data:
        raise ValueError(
            f"{path}: expected a dict of sequences in 'data', got {reprlib.repr(data)}"
        )
    parts = [_read_take(take, image_folder) for take in _takes(data, path)]
    samples = MpiInf3dhpSamples(
        images=tuple(image for part in parts for image in part.images),
        keypoints=np.concatenate([part.keypoints for part in parts]),
        keypoints_crop=np.concatenate([part.keypoints_crop for part in parts]),
        joints=np.concatenate([part.joints for part in parts]),
        K=np.concatenate([part.K for part in parts]),
        subjects=np.concatenate([part.subjects for part in parts]),
        sequences=tuple(name for part in parts for name in part.sequences),
        cameras=np.concatenate([part.cameras for part in parts]),
        frames=np.concatenate([part.frames for part in parts]),
    )
    if image_folder is not None and samples.images and not samples.images[0].is_file():
        raise FileNotFoundError(
            f"no image {samples.images[0]}; expected the crops of MPI-INF-3DHP in {image_folder}"
        )
    return samples


def _takes(data: dict[str, object], path: Path) -> Iterator[_Take]:
    """Return all takes of a file."""
    for name, content in data.items():
        place = f"{path}, sequence '{name}'"
        if test := _TEST_NAME.fullmatch(str(name)):
            yield _Take(name, int(test[1]), -1, name, content, place)
        elif train := _TRAIN_NAME.fullmatch(str(name)):
            subject, sequence = int(train[1]), int(train[2])
            if not (
                isinstance(content, list | tuple) and content and isinstance(content[0], dict)
            ):
                raise ValueError(
                    f"{place}: expected a list [dict of cameras, frames a second], got "
                    f"{type(content).__name__}"
                )
            for camera, label in content[0].items():
                number = _camera_number(camera, place)
                folder = f"s_{subject:02d}_seq_{sequence:02d}_ca_{number:02d}"
                yield _Take(name, subject, number, folder, label, f"{place}, camera {number}")
        else:
            raise ValueError(
                f"{path}: expected sequences such as 'S1 Seq2' or 'TS3', got '{name}'"
            )


def _camera_number(camera: object, place: str) -> int:
    """Return the number of a camera."""
    if not str(camera).isdigit():
        raise ValueError(f"{place}: expected cameras '0' to '8', got {camera!r}")
    return int(str(camera))


def _read_take(take: _Take, image_folder: Path | None) -> MpiInf3dhpSamples:
    """Read the samples of one take."""
    joints = array_field(take.label, "data_3d", (None, _JOINTS, 3), take.place)
    count = len(joints)
    keypoints = array_field(take.label, "data_2d", (count, _JOINTS, 2), take.place)
    crop, known = np.full_like(keypoints, np.nan), {"data_3d": joints, "data_2d": keypoints}
    if isinstance(take.label, dict) and "data_2d_crop" in take.label:
        crop = array_field(take.label, "data_2d_crop", (count, _JOINTS, 2), take.place)
        known["data_2d_crop"] = crop
    valid = np.ones(count, bool)
    if take.camera < 0:
        flags = np.ravel(field(take.label, "valid", take.place))
        valid = array_field({"valid": flags}, "valid", (count,), take.place) > 0
    frames = np.flatnonzero(valid)
    for name, values in known.items():
        check_finite(values[frames], name, [f"{take.place}, frame {i}" for i in frames])
    order = np.array(_H36M_FROM_3DHP)
    joints = joints[frames][:, order] / _MM
    check_person_size(joints, f"{take.place}, field 'data_3d'", "millimetres")
    keypoints = keypoints[frames][:, order]
    folder = Path() if image_folder is None else image_folder
    names = (f"{take.folder}_{frame + 1:06d}.jpg" for frame in frames)
    return MpiInf3dhpSamples(
        images=tuple(folder / take.folder / name for name in names),
        keypoints=keypoints.astype(np.float32),
        keypoints_crop=crop[frames][:, order].astype(np.float32),
        joints=joints.astype(np.float32),
        K=np.tile(_fit_intrinsics(joints, keypoints), (len(frames), 1, 1)),
        subjects=np.full(len(frames), take.subject),
        sequences=(take.sequence,) * len(frames),
        cameras=np.full(len(frames), take.camera),
        frames=frames,
    )


def fit_crop(pixels: Array, crop: Array) -> Array | None:
    """Return the scaling and shift [2, 3] that takes pixels [17, 2] to the crop, if any does."""
    centred, target = pixels - pixels.mean(axis=0), crop - crop.mean(axis=0)
    spread = float((centred**2).sum())
    scale = float((centred * target).sum()) / spread if spread else 0.0
    if scale <= 0 or np.abs(scale * centred - target).max() > _CROP_RESIDUE_PX:
        return None
    shift = crop.mean(axis=0) - scale * pixels.mean(axis=0)
    return np.array(((scale, 0, shift[0]), (0, scale, shift[1])))


def _fit_intrinsics(joints: Array, keypoints: Array) -> Array:
    """Return the K [3, 3] that projects joints [N, 17, 3] to keypoints [N, 17, 2], or NaN."""
    unknown = np.full((3, 3), np.nan)
    points, pixels = joints.reshape(-1, 3), keypoints.reshape(-1, 2)
    known = (points[:, 2] > 0) & np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1)
    points, pixels = points[known], pixels[known]
    if len(points) < 2 * _JOINTS:
        return unknown
    K = np.eye(3)
    for row in range(2):
        rays = points[:, row] / points[:, 2]
        K[row, row], K[row, 2] = np.polyfit(rays, pixels[:, row], 1)
    residue = np.linalg.norm(project(points, K) - pixels, axis=1)
    return K if np.median(residue) < _GREATEST_RESIDUE_PX else unknown
