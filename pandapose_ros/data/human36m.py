"""Human3.6M, from the label pickles and the image tree that CA-PF's preparation writes."""

import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.person_size import check_person_size
from pandapose_ros.data.safe_pickle import array_field, check_finite, field, read_pickle
from pandapose_ros.geometry import project, transform_points

Array = NDArray[np.floating]

METRIC_CROP_SIZE = (192, 256)  # width, height

_SCALE_PX = 200.0
_BOX = np.array(((-1.0, -0.9, 0.0), (1.0, 1.1, 0.0)))  # round the pelvis, metres
# Of the cameras 54138969, 55011271, 58860488 and 60457274.
_IMAGE_WIDTH, _IMAGE_HEIGHTS = 1000, (1002, 1000, 1000, 1002)
# From 2 on.
_ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "TakingPhoto", "Waiting", "Walking", "WalkingDog", "WalkTogether",
)  # fmt: skip
_NUMBERS = {"subject": "subjects", "action": "actions", "subaction": "subactions"}
# Of what has to be known of each sample, the field that tells it.
_KNOWN = {
    **{ours: theirs for theirs, ours in _NUMBERS.items()},
    "joints": "joints_3d",
    "true_keypoints": "joints_2d_gt",
    "true_keypoints_crop": "joints_2d_gt_crop",
    "K": "camera",
    "distortion": "camera",
    "crop_from_image": "center' or 'scale",
}


@dataclass(frozen=True)
class Human36mSamples:
    """Hold N samples.

    Attributes:
        images: N files, or their names below the image tree if no folder was given.
        keypoints: [N, 17, 2], as detected, image pixels.
        true_keypoints: [N, 17, 2], image pixels.
        keypoints_crop: [N, 17, 2], as detected, pixels of the 192 x 256 crop.
        true_keypoints_crop: [N, 17, 2], pixels of the crop.
        joints: [N, 17, 3], camera frame, metres.
        K: [N, 3, 3], pixels.
        distortion: [N, 5], k1, k2, p1, p2, k3.
        crop_from_image: [N, 2, 3]. The crop was made with the true pelvis' depth.
        subjects: [N], 1 to 11.
        actions: [N], 2 to 16.
        subactions: [N], 1 or 2.
        cameras: [N], 0 to 3.
    """

    images: tuple[Path, ...]
    keypoints: Array
    true_keypoints: Array
    keypoints_crop: Array
    true_keypoints_crop: Array
    joints: Array
    K: Array
    distortion: Array
    crop_from_image: Array
    subjects: NDArray[np.int64]
    actions: NDArray[np.int64]
    subactions: NDArray[np.int64]
    cameras: NDArray[np.int64]


def read_human36m(path: Path, image_folder: Path | None, detector: str) -> Human36mSamples:
    """Read `h36m_train.pkl` or `h36m_validation.pkl`.

    Args:
        path: The pickle: a list of dictionaries, one per sample.
        image_folder: Holds the folders s_SS_act_AA_subact_BB_ca_CC; None if images are not
            wanted.
        detector: Whose keypoints: "cpn" or, where the file has them, "hrnet".

    Raises:
        FileNotFoundError: If the pickle or the first image is missing.
        ValueError: If the pickle holds more than plain data, or a field is missing, of another
            shape or unit, or NaN; names the file, the sample, the field and what was expected.

    Source:
        The preparation of CA-PF.
    """
    labels = read_pickle(path)
    if not isinstance(labels, list) or not labels:
        raise ValueError(f"{path}: expected a list of samples, got {reprlib.repr(labels)}")
    places = [f"{path}, sample {i}" for i in range(len(labels))]
    rows = [
        _read_sample(label, detector, place) for label, place in zip(labels, places, strict=True)
    ]
    images = tuple(
        _image_path(label, image_folder, place)
        for label, place in zip(labels, places, strict=True)
    )
    if image_folder is not None and not images[0].is_file():
        raise FileNotFoundError(
            f"no image {images[0]}; expected the image tree of Human3.6M in {image_folder}"
        )
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    _check_known(columns, places)
    check_person_size(columns["joints"], f"{path}, field 'joints_3d'", "metres")
    for name in (*_NUMBERS.values(), "cameras"):
        columns[name] = columns[name].astype(np.int64)
    return Human36mSamples(images, **columns)


def _check_known(columns: dict[str, NDArray], places: list[str]) -> None:
    """Raise ValueError if numbers are NaN, a crop is turned round or a joint is not in sight."""
    for ours, theirs in _KNOWN.items():
        check_finite(columns[ours], theirs, places)
    for what, values in (
        ("field 'scale' above 0.005", columns["crop_from_image"][:, 0, 0]),
        ("fields 'fx' and 'fy' above 0 in 'camera'", columns["K"][:, (0, 1), (0, 1)].min(1)),
        ("joints before the camera in field 'joints_3d', not from the pelvis on",
         columns["joints"][:, :, 2].min(axis=1)),
    ):  # fmt: skip
        if values.min() <= 0:
            raise ValueError(f"{places[int(np.argmin(values))]}: expected {what}")


def _image_path(label: object, image_folder: Path | None, place: str) -> Path:
    """Return a sample's image."""
    name = Path(str(field(label, "image", place)))
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{place}: expected field 'image' to stay in its folder, got '{name}'")
    return name if image_folder is None else image_folder / name


def _read_sample(label: object, detector: str, place: str) -> dict[str, NDArray]:
    """Return the fields of a sample, but for its image."""
    sample: dict[str, NDArray] = {
        ours: array_field(label, theirs, (), place) for theirs, ours in _NUMBERS.items()
    }
    camera_id = float(array_field(label, "camera_id", (), place))
    if camera_id not in range(len(_IMAGE_HEIGHTS)):
        raise ValueError(f"{place}: expected field 'camera_id' from 0 to 3, got {camera_id:g}")
    camera = int(camera_id)
    sample["cameras"] = np.array(camera)
    sample["joints"] = array_field(label, "joints_3d", (17, 3), place).astype(np.float32)
    crop_from_image = _crop_from_image(
        array_field(label, "center", (2,), place), array_field(label, "scale", (2,), place)
    )
    sample["crop_from_image"] = crop_from_image
    for ours, theirs in (("keypoints", detector), ("true_keypoints", "gt")):
        screen = array_field(label, f"joints_2d_{theirs}", (17, 2), place)
        pixels = _pixels_from_screen(screen, _IMAGE_HEIGHTS[camera])
        sample[ours] = pixels.astype(np.float32)
        name = f"joints_2d_{theirs}_crop"
        # Files with other detections than CPN's may have them in the image only.
        if isinstance(label, dict) and name not in label and theirs != "gt":
            crop = transform_points(crop_from_image, pixels)
        else:
            crop = array_field(label, name, (17, 2), place)
        sample[f"{ours}_crop"] = crop.astype(np.float32)
    camera_field = field(label, "camera", place)
    sample["K"], sample["distortion"] = _read_camera(camera_field, f"{place}, field 'camera'")
    return sample


def image_size(camera: int) -> tuple[int, int]:
    """Return width and height of the images of a camera, 0 to 3, pixels."""
    return _IMAGE_WIDTH, _IMAGE_HEIGHTS[camera]


def action_name(number: int) -> str:
    """Return the name of an action, 2 to 16."""
    known = 0 <= number - 2 < len(_ACTIONS)
    return _ACTIONS[number - 2] if known else f"action {number}"


def metric_crop(pelvis: Array, K: Array) -> Array:
    """Return the crop of 192 x 256 that spans 2 m at a pelvis' depth, as CA-PF makes it.

    Args:
        pelvis: [3], camera frame, metres.
        K: [3, 3], pixels.

    Returns:
        `crop_from_image` [2, 3].

    Source:
        The preparation of CA-PF: a box from 1 m left of the pelvis and
        0.9 m above it to 1 m right and 1.1 m below.
    """
    corners = project(pelvis + _BOX, K)
    return _crop_from_image(corners.mean(axis=0), (corners[1] - corners[0]) / _SCALE_PX)


def _crop_from_image(centre: Array, scale: Array) -> Array:
    """Return the transform [2, 3] that CA-PF crops by: the box's width fills the crop."""
    width, height = METRIC_CROP_SIZE
    factor = (width - 1) / (scale[0] * _SCALE_PX - 1)
    shift = np.array((width - 1, height - 1)) / 2 - factor * centre
    return np.array(((factor, 0, shift[0]), (0, factor, shift[1])))


def _pixels_from_screen(points: Array, height: int) -> Array:
    """Return image pixels of points that were scaled to x in [-1, 1]."""
    return (points + np.array((1, height / _IMAGE_WIDTH))) * (_IMAGE_WIDTH / 2)


def _read_camera(camera: object, place: str) -> tuple[Array, Array]:
    """Return K [3, 3] and distortion [5]."""
    fx, fy, cx, cy = (_number(camera, name, place) for name in ("fx", "fy", "cx", "cy"))
    radial = np.ravel(field(camera, "k", place))
    tangential = np.ravel(field(camera, "p", place))
    k1, k2, k3 = array_field({"k": radial}, "k", (3,), place)
    p1, p2 = array_field({"p": tangential}, "p", (2,), place)
    K = np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)))
    return K, np.array((k1, k2, p1, p2, k3))


def _number(record: object, name: str, place: str) -> float:
    """Return a field's only number; some files have it in an array of one."""
    return float(array_field({name: np.ravel(field(record, name, place))}, name, (1,), place)[0])
