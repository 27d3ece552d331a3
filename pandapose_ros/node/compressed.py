"""CompressedImage messages to RGB arrays: JPEG and PNG, as compressed_image_transport sends them.

Its `format` is "jpeg" or "png" from old senders and many drivers, and "rgb8; jpeg compressed bgr8"
from newer ones: the encoding of the raw image, the codec, and in which order the colours lie in
the compressed data. The codec is read from the data themselves, the rest from `format`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from pandapose_ros.node.images import RgbImage, image_from_message, rgb_from_mosaic

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def decode(message: Image | CompressedImage) -> RgbImage:
    """Decode an image of either transport; see `image_from_message`, `image_from_compressed`."""
    if isinstance(message, CompressedImage):
        return image_from_compressed(message)
    return image_from_message(message)


def image_from_compressed(message: CompressedImage) -> RgbImage:
    """Decode a JPEG or PNG image.

    Orientation tags are ignored, since camera_info is about the pixels as they are stored.

    Args:
        message: The image. Its data are not written to.

    Returns:
        RGB uint8 [H, W, 3]; of 16 bits the higher ones.

    Raises:
        ValueError: If the data are empty, neither JPEG nor PNG, damaged, or cut short.
    """
    data = bytes(message.data)
    what = f"compressed image of format '{message.format}' with {len(data)} bytes"
    if data.startswith(_JPEG):
        # Without an end after the last scan OpenCV 4 shows the rest of the image in grey.
        if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
            raise ValueError(f"{what} is cut short: a JPEG without its end")
    elif not data.startswith(_PNG):
        raise ValueError(
            f"{what} is neither JPEG nor PNG: set the camera's image_transport to compressed "
            "(not compressedDepth or theora), its format to jpeg or png"
        )
    encoding, _, stored = message.format.replace(" ", "").partition(";")
    is_mosaic = encoding.startswith("bayer_") and "bgr" not in stored and "rgb" not in stored
    pixels = _decode(data, what, cv2.IMREAD_GRAYSCALE if is_mosaic else cv2.IMREAD_COLOR)
    if is_mosaic:
        return rgb_from_mosaic(pixels, encoding)
    if "compressedrgb" in stored:  # red and blue changed places before compression
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _decode(data: bytes, what: str, mode: int) -> NDArray[np.uint8]:
    reason = "the data are damaged or cut short"
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:  # a header that claims more pixels than OpenCV allows
        pixels, reason = None, str(error).strip()
    if pixels is None:
        raise ValueError(f"cannot decode the {what}: {reason}")
    return np.asarray(pixels, np.uint8)
