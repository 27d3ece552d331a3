"""CameraInfo messages: to the core's intrinsics, from a calibration file or a field of view."""

from pathlib import Path

import numpy as np
import yaml
from sensor_msgs.msg import CameraInfo

from pandapose_ros.camera.lens import Distortion, check_distortion
from pandapose_ros.geometry import Array, check_intrinsics, intrinsics_from_field_of_view

_PINHOLE_MODELS = ("plumb_bob", "rational_polynomial")
_FISHEYE_MODELS = ("equidistant", "fisheye")


class OtherSizeError(ValueError):
    """A calibration is for images of another size."""


def intrinsics_from_message(
    message: CameraInfo, width: int, height: int, *, rectified: bool = False
) -> tuple[Array, Distortion | None]:
    """Return the intrinsics of an image, with the message's binning and region of interest.

    Args:
        message: Calibration of the camera.
        width: Columns of the image; the message has to be for this size.
        height: Rows of the image.
        rectified: The image is rectified, as by image_proc: then P is used, and K and the
            distortion, which are those of the raw image, are not.

    Returns:
        K [3, 3] in pixels of the image, and the distortion of the lens, if any.

    Raises:
        OtherSizeError: If the sizes disagree.
        ValueError: If the camera is not calibrated (K zero or NaN), or the distortion model is
            unknown.
    """
    matrix = np.array(message.p).reshape(3, 4)[:, :3] if rectified else np.array(message.k)
    K = check_intrinsics(matrix.astype(np.float64).reshape(3, 3)).copy()
    binning = np.array([max(message.binning_x, 1), max(message.binning_y, 1)], np.float64)
    roi = message.roi
    full = (message.width, message.height)
    size = (roi.width or full[0], roi.height or full[1])
    if all(full) and tuple(int(s // b) for s, b in zip(size, binning, strict=True)) != (
        width,
        height,
    ):
        raise OtherSizeError(
            f"it is for images of {size[0]}x{size[1]} pixels with binning {binning[0]:.0f}x"
            f"{binning[1]:.0f}, but the image has {width}x{height}; remap camera_info to "
            "the topic of the same camera"
        )
    K[:2, 2] -= (roi.x_offset, roi.y_offset)
    # Pixel centres are whole numbers, so binning moves the principal point by half a pixel too.
    K[:2, 2] = (K[:2, 2] + 0.5) / binning - 0.5
    K[:2, :2] /= binning[:, None]
    return K, None if rectified else _distortion(message)


def _distortion(message: CameraInfo) -> Distortion | None:
    model, coefficients = message.distortion_model, np.array(message.d, np.float64)
    try:
        if model in _FISHEYE_MODELS:
            return check_distortion(Distortion(coefficients, is_fisheye=True))
        if not coefficients.any() and model in ("", "none", *_PINHOLE_MODELS):
            return None
        if model in _PINHOLE_MODELS:
            return check_distortion(coefficients)
    except ValueError as error:
        raise ValueError(f"distortion model '{model}': {error}; calibrate the camera") from error
    raise ValueError(
        f"unknown distortion model '{model}', expected one of "
        f"{', '.join((*_PINHOLE_MODELS, *_FISHEYE_MODELS))}; or subscribe to the rectified image "
        "and set the parameter rectified"
    )


def camera_info_from_field_of_view(field_of_view: float, width: int, height: int) -> CameraInfo:
    """Return the calibration of an ideal pinhole camera.

    Args:
        field_of_view: Horizontal, in radians.
        width: Columns of the image.
        height: Rows of the image.
    """
    K = intrinsics_from_field_of_view(field_of_view, width, height)
    projection = np.hstack([K, np.zeros((3, 1))])
    return CameraInfo(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=K.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=projection.ravel().tolist(),
    )


def camera_info_from_file(path: str) -> CameraInfo:
    """Read a calibration file as written by camera_calibration.

    Args:
        path: YAML with image_width, image_height, distortion_model and the matrices
            camera_matrix, distortion_coefficients and, optionally, rectification_matrix and
            projection_matrix, each with its `data`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an entry is missing or has the wrong length.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a calibration written by camera_calibration")
    try:
        K = _matrix(content["camera_matrix"], 9)
        projection = np.hstack([np.reshape(K, (3, 3)), np.zeros((3, 1))]).ravel().tolist()
        return CameraInfo(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            distortion_model=str(content["distortion_model"]),
            d=_matrix(content["distortion_coefficients"]),
            k=K,
            r=_matrix(content.get("rectification_matrix", {"data": np.eye(3).ravel()}), 9),
            p=_matrix(content.get("projection_matrix", {"data": projection}), 12),
        )
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing from the calibration") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _matrix(entry: dict[str, list[float]], length: int | None = None) -> list[float]:
    values = [float(value) for value in entry["data"]]
    if length is not None and len(values) != length:
        raise ValueError(f"expected {length} numbers, got {len(values)}")
    return values
