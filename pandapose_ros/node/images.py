"""Image messages to RGB arrays, without a copy where possible and without cv_bridge.

In: `sensor_msgs/Image` as any driver sends it. Out: RGB uint8 [H, W, 3]. Measured on 640x480:
rgb8 costs nothing, bgr8 0.07 ms by OpenCV. A reversed view of bgr8 would cost nothing here, but
3 ms in every later warp, because OpenCV copies it each time.
"""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

RgbImage = NDArray[np.uint8]


def _colour(code: int) -> Callable[[NDArray[Any]], RgbImage]:
    """Return a decoder that is one OpenCV conversion."""

    def decode(rows: NDArray[Any]) -> RgbImage:
        return cv2.cvtColor(rows, code).astype(np.uint8, copy=False)

    return decode


def _as_is(rows: NDArray[Any]) -> RgbImage:
    return rows


# Encoding -> (bytes per pixel, how its rows [H, W, bytes] become RGB). OpenCV names a Bayer
# pattern by its second row, so ROS's rggb is OpenCV's BG. ROS's yuv422 is U Y V Y.
_PACKED: dict[str, tuple[int, Callable[[NDArray[Any]], RgbImage]]] = {
    "rgb8": (3, _as_is),
    "bgr8": (3, _colour(cv2.COLOR_BGR2RGB)),
    "8UC3": (3, _colour(cv2.COLOR_BGR2RGB)),
    "rgba8": (4, _colour(cv2.COLOR_RGBA2RGB)),
    "bgra8": (4, _colour(cv2.COLOR_BGRA2RGB)),
    "8UC4": (4, _colour(cv2.COLOR_BGRA2RGB)),
    "mono8": (1, _colour(cv2.COLOR_GRAY2RGB)),
    "8UC1": (1, _colour(cv2.COLOR_GRAY2RGB)),
    "yuv422": (2, _colour(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": (2, _colour(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": (2, _colour(cv2.COLOR_YUV2RGB_YUYV)),
    "yuyv": (2, _colour(cv2.COLOR_YUV2RGB_YUYV)),
    "bayer_rggb8": (1, _colour(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr8": (1, _colour(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg8": (1, _colour(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg8": (1, _colour(cv2.COLOR_BayerGB2RGB)),
}
# Of 16 bits the higher 8, then as the encoding named. 16UC1 is left out: it is a depth image.
_DEEP = {
    "mono16": "mono8",
    "rgb16": "rgb8",
    "bgr16": "bgr8",
    "16UC3": "8UC3",
    "rgba16": "rgba8",
    "bgra16": "bgra8",
    "16UC4": "8UC4",
    "bayer_rggb16": "bayer_rggb8",
    "bayer_bggr16": "bayer_bggr8",
    "bayer_gbrg16": "bayer_gbrg8",
    "bayer_grbg16": "bayer_grbg8",
}
# A plane of luma, then half as many rows of interleaved chroma; in nv24 twice as many.
_SEMIPLANAR = {
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
    "nv24": cv2.COLOR_YUV2RGB_NV12,
}
_EVEN_WIDTH = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv", *_SEMIPLANAR)

ENCODINGS = (*_PACKED, *_DEEP, *_SEMIPLANAR)


def image_from_message(message: Image) -> RgbImage:
    """Decode an image message, honouring its encoding, row step and byte order.

    Args:
        message: The image. Its pixels are not written to.

    Returns:
        RGB uint8 [H, W, 3]. For rgb8 a view of the message's memory, rows `step` bytes apart.

    Raises:
        ValueError: If the size is zero, the step too small, the data too short, or the encoding
            is neither one of `ENCODINGS` nor known to an installed cv_bridge.
    """
    if message.width == 0 or message.height == 0:
        raise ValueError(f"expected an image with pixels, got {message.width}x{message.height}")
    encoding = message.encoding
    if encoding in _EVEN_WIDTH and message.width % 2:
        raise ValueError(f"{encoding} needs an even width, got {message.width}x{message.height}")
    if encoding in _SEMIPLANAR:
        return _colour(_SEMIPLANAR[encoding])(_planes(message))
    if encoding in _PACKED:
        bytes_per_pixel, decode = _PACKED[encoding]
        return decode(rows_of(message, message.height, bytes_per_pixel))
    if encoding in _DEEP:
        bytes_per_pixel, decode = _PACKED[_DEEP[encoding]]
        rows = rows_of(message, message.height, 2 * bytes_per_pixel)
        high = rows[..., 0 if message.is_bigendian else 1 :: 2]
        return decode(np.ascontiguousarray(high))
    return _decode_with_cv_bridge(message)


def rgb_from_mosaic(pixels: NDArray[np.uint8], encoding: str) -> RgbImage:
    """Interpolate the colours of a Bayer image.

    Args:
        pixels: [H, W].
        encoding: Its pattern, as in `Image.encoding`.

    Raises:
        ValueError: If the encoding is not a Bayer pattern.
    """
    eight_bits = _DEEP.get(encoding, encoding)
    if not eight_bits.startswith("bayer_") or eight_bits not in _PACKED:
        raise ValueError(f"unknown Bayer pattern '{encoding}'")
    return _PACKED[eight_bits][1](pixels[..., None])


def _planes(message: Image) -> NDArray[np.uint8]:
    """Return luma and chroma of a semiplanar image as rows [1.5 H, W]."""
    if message.height % 2:
        raise ValueError(f"{message.encoding} needs an even height, got {message.height}")
    if message.encoding != "nv24":
        return rows_of(message, message.height * 3 // 2, 1)[..., 0]
    rows = rows_of(message, message.height * 3, 1)[..., 0]  # as long as luma and chroma
    chroma = np.ndarray(
        (message.height, message.width, 2),
        np.uint8,
        buffer=memoryview(message.data),
        offset=message.height * message.step,
        strides=(2 * message.step, 2, 1),
    )
    # A quarter of the colours, as nv12 has them: people look the same.
    quarter = chroma[::2, ::2].reshape(message.height // 2, message.width)
    return np.concatenate((rows[: message.height], quarter))


def rows_of(message: Image, height: int, bytes_per_pixel: int) -> NDArray[np.uint8]:
    """Return an image message's memory without a copy.

    Args:
        message: The image.
        height: How many rows it has.
        bytes_per_pixel: In a row.

    Returns:
        [height, W, bytes_per_pixel], rows `step` bytes apart.

    Raises:
        ValueError: If the step is too small or the data are too short.
    """
    line = message.width * bytes_per_pixel
    if message.step < line:
        raise ValueError(
            f"step of {message.step} bytes is too small: {message.width} pixels of "
            f"{message.encoding} take {line}"
        )
    needed = (height - 1) * message.step + line
    if len(message.data) < needed:
        raise ValueError(
            f"data is too short: {message.width}x{message.height} {message.encoding} with step "
            f"{message.step} takes {needed} bytes, got {len(message.data)}"
        )
    return np.ndarray(
        (height, message.width, bytes_per_pixel),
        np.uint8,
        buffer=memoryview(message.data),
        strides=(message.step, bytes_per_pixel, 1),
    )


@functools.cache
def _cv_bridge() -> ModuleType | str:
    """Import cv_bridge when first needed; or return why that fails."""
    try:
        return importlib.import_module("cv_bridge")
    except ModuleNotFoundError:
        return "cv_bridge is not installed (sudo apt install ros-$ROS_DISTRO-cv-bridge)"
    except (ImportError, AttributeError, SystemError) as error:
        # If it was compiled for the other major version of numpy, it raises any of these.
        return f"cv_bridge cannot be loaded ({error}); it may be built for another numpy"


def _decode_with_cv_bridge(message: Image) -> RgbImage:
    if message.encoding in ("16UC1", "32FC1"):
        raise ValueError(
            f"'{message.encoding}' is a depth image's encoding: remap depth to its topic, and "
            "image to that of the colours"
        )
    bridge = _cv_bridge()
    known = f"set the camera to one of {', '.join(ENCODINGS)}"
    if isinstance(bridge, str):
        raise ValueError(f"cannot decode encoding '{message.encoding}': {bridge}; or {known}")
    try:
        return np.asarray(bridge.CvBridge().imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:  # cv_bridge raises its own, OpenCV's and Python's errors
        raise ValueError(
            f"cannot decode encoding '{message.encoding}': cv_bridge says: {error}; {known}"
        ) from error
