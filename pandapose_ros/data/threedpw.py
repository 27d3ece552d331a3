"""3DPW, from its sequence files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.safe_pickle import array_field, check_finite, field, read_pickle
from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]
# Joints of H36M-17 as the middle of joints of another skeleton.
_Middles = dict[str, tuple[int, ...]]

_SMPL_JOINTS, _COCO_JOINTS = 24, 18
_PER_PERSON = ("jointPositions", "poses2d", "campose_valid")
_FROM_SMPL: _Middles = {
    "pelvis": (1, 2),
    "right_hip": (2,),
    "right_knee": (5,),
    "right_ankle": (8,),
    "left_hip": (1,),
    "left_knee": (4,),
    "left_ankle": (7,),
    "spine": (1, 2, 16, 17),
    "thorax": (16, 17),
    "left_shoulder": (16,),
    "left_elbow": (18,),
    "left_wrist": (20,),
    "right_shoulder": (17,),
    "right_elbow": (19,),
    "right_wrist": (21,),
}
_FROM_COCO: _Middles = {
    "pelvis": (8, 11),
    "right_hip": (8,),
    "right_knee": (9,),
    "right_ankle": (10,),
    "left_hip": (11,),
    "left_knee": (12,),
    "left_ankle": (13,),
    "spine": (2, 5, 8, 11),
    "thorax": (2, 5),
    "nose": (0,),
    "left_shoulder": (5,),
    "left_elbow": (6,),
    "left_wrist": (7,),
    "right_shoulder": (2,),
    "right_elbow": (3,),
    "right_wrist": (4,),
}


@dataclass(frozen=True)
class ThreeDpwSamples:
    """Hold N samples, one per person and frame with a valid camera.

    Attributes:
        images: N files, or their names below the image tree if no folder was given.
        keypoints: [N, 17, 2], as the sequence file has them detected, image pixels; NaN for
            what was not found and for the top of the head.
        keypoint_scores: [N, 17], 0 for what was not found.
        true_keypoints: [N, 17, 2], image pixels; NaN as in `joints`.
        joints: [N, 17, 3], camera frame, metres; NaN for nose and top of the head, which SMPL's
            joints do not have.
        K: [N, 3, 3], pixels.
        sequences: N names, which stand for actions.
        people: [N], the person in the sequence, from 0; stands for the subject.
        frames: [N], from 0.
    """

    images: tuple[Path, ...]
    keypoints: Array
    keypoint_scores: Array
    true_keypoints: Array
    joints: Array
    K: Array
    sequences: tuple[str, ...]
    people: NDArray[np.int64]
    frames: NDArray[np.int64]


def read_threedpw(path: Path, image_folder: Path | None) -> ThreeDpwSamples:
    """Read a sequence file.

    Args:
        path: The pickle, as of Python 2.
        image_folder: The data set's imageFiles; None if images are not wanted.

    Raises:
        FileNotFoundError: If the pickle or the first image is missing.
        ValueError: If the pickle holds more than plain data, or a field is missing, of another
            shape or NaN; names the file, the field and what was expected.

    Source:
        The data set's description of its sequence files. Our choice, as the paper does not say:
        joints are those of SMPL itself, not regressed from its mesh, so that body models are
        not needed; pelvis, spine and thorax are middles of hips and shoulders.
    """
    record, place = read_pickle(path), str(path)
    name = str(field(record, "sequence", place))
    if Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"{place}: expected field 'sequence' to be a plain name, got '{name}'")
    cameras = array_field(record, "cam_poses", (None, 4, 4), place)
    K = array_field(record, "cam_intrinsics", (3, 3), place)
    check_finite(K, "cam_intrinsics", [place] * len(K))
    counts = {name: len(_per_person(record, name, place)) for name in _PER_PERSON}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{place}: expected fields of the same people, got {counts}")
    count = counts["jointPositions"]
    people = [_read_person(record, person, cameras, place) for person in range(count)]
    joints = np.concatenate([person[0] for person in people])
    frames = np.concatenate([person[2] for person in people])
    keypoints, scores = _detected(np.concatenate([person[1] for person in people]))
    folder = Path() if image_folder is None else image_folder
    images = tuple(folder / name / f"image_{frame:05d}.jpg" for frame in frames)
    if image_folder is not None and images and not images[0].is_file():
        raise FileNotFoundError(
            f"no image {images[0]}; expected 3DPW's imageFiles in {image_folder}"
        )
    return ThreeDpwSamples(
        images=images,
        keypoints=keypoints.astype(np.float32),
        keypoint_scores=scores.astype(np.float32),
        true_keypoints=project(joints, K).astype(np.float32),
        joints=joints.astype(np.float32),
        K=np.tile(K, (len(joints), 1, 1)),
        sequences=(name,) * len(joints),
        people=np.repeat(np.arange(len(people)), [len(person[2]) for person in people]),
        frames=frames,
    )


def _per_person(record: object, name: str, place: str) -> list[object]:
    """Return a field that has one entry per person."""
    values = field(record, name, place)
    if not isinstance(values, list | tuple | np.ndarray) or len(values) == 0:
        raise ValueError(f"{place}: expected field '{name}' to be a list, one entry per person")
    return list(values)


def _read_person(
    record: object, person: int, cameras: Array, place: str
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return joints [S, 17, 3], detections [S, 3, 18] and frames [S] of one person."""
    count = len(cameras)
    entries = {name: _per_person(record, name, place)[person] for name in _PER_PERSON}
    place = f"{place}, person {person}"
    world = array_field(entries, "jointPositions", (count, 3 * _SMPL_JOINTS), place)
    detected = array_field(entries, "poses2d", (count, 3, _COCO_JOINTS), place)
    valid = array_field(entries, "campose_valid", (count,), place)
    check_finite(valid, "campose_valid", [place] * count)
    frames = np.flatnonzero(valid)
    places = [f"{place}, frame {frame}" for frame in frames]
    check_finite(world[frames], "jointPositions", places)
    check_finite(cameras[frames], "cam_poses", places)
    world, cameras = world.reshape(count, _SMPL_JOINTS, 3)[frames], cameras[frames]
    joints = np.einsum("tij,tkj->tki", cameras[:, :3, :3], world) + cameras[:, None, :3, 3]
    return _middles(joints, _FROM_SMPL), detected[frames], frames


def _middles(points: Array, table: _Middles) -> Array:
    """Return [N, 17, C] from points [N, K, C]; NaN for joints that the table lacks."""
    middles = np.full((len(points), len(H36M_17.joint_names), points.shape[-1]), np.nan)
    for joint, name in enumerate(H36M_17.joint_names):
        if name in table:
            middles[:, joint] = points[:, table[name]].mean(axis=1)
    return middles


def _detected(detected: Array) -> tuple[Array, Array]:
    """Return keypoints [N, 17, 2] and their scores [N, 17] from COCO's [N, 3, 18]."""
    points = detected.swapaxes(1, 2).copy()
    points[points[..., 2] <= 0] = np.nan
    middles = _middles(points, _FROM_COCO)
    return middles[..., :2], np.nan_to_num(middles[..., 2])
