import array
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage

from pandapose_ros.node.compressed import image_from_compressed


@pytest.fixture(scope="module")
def rgb():
    """Smooth and coloured, so that JPEG keeps it."""
    rows, columns = np.mgrid[:48, :64]
    return np.stack((4 * columns, 255 - 5 * rows, 2 * rows + columns), -1).astype(np.uint8)


def encoded(pixels, suffix):
    done, data = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert done
    return data.tobytes()


def message(data, form):
    return CompressedImage(format=form, data=array.array("B", data))


@pytest.mark.parametrize(
    ("form", "suffix", "is_swapped"),
    [
        ("jpeg", ".jpg", False),
        ("png", ".png", False),
        ("", ".jpg", False),
        ("jpg", ".jpg", False),
        ("rgb8; jpeg compressed bgr8", ".jpg", False),
        ("bgr8; jpeg compressed bgr8", ".jpg", False),
        ("bgra8; png compressed bgr8", ".png", False),
        ("rgb8; png compressed rgb8", ".png", True),
        ("rgb8; jpeg compressed rgb8", ".jpg", True),
    ],
)
def test_formats_of_compressed_image_transport(rgb, form, suffix, is_swapped):
    data = encoded(rgb if is_swapped else rgb[..., ::-1], suffix)
    decoded = image_from_compressed(message(data, form))
    assert decoded.dtype == np.uint8
    tolerance = 0 if suffix == ".png" else 12
    assert np.abs(decoded.astype(int) - rgb).max() <= tolerance


def test_grey_and_16_bits_become_rgb(rgb):
    grey = rgb[..., 0]
    decoded = image_from_compressed(message(encoded(grey, ".png"), "mono8; png compressed "))
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))
    deep = (rgb[..., ::-1].astype(np.uint16) << 8) + 200
    data = encoded(deep, ".png")
    decoded = image_from_compressed(message(data, "rgb16; png compressed bgr16"))
    assert np.abs(decoded.astype(int) - rgb).max() <= 1


def test_a_compressed_mosaic_gets_its_colours():
    colour = np.array([200, 90, 30], np.uint8)
    mosaic = colour[np.tile(np.array([[0, 1], [1, 2]]), (16, 24))]
    for encoding in ("bayer_rggb8", "bayer_rggb16"):
        form = f"{encoding}; png compressed"
        decoded = image_from_compressed(message(encoded(mosaic, ".png"), form))
        assert (decoded == colour).all()
    with pytest.raises(ValueError, match="unknown Bayer pattern 'bayer_9'"):
        image_from_compressed(message(encoded(mosaic, ".png"), "bayer_9; png compressed "))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_data_that_are_cut_short_are_refused(rgb, suffix, kept):
    data = encoded(rgb, suffix)
    with pytest.raises(ValueError, match="cut short"):
        image_from_compressed(message(data[: int(kept * len(data))], "jpeg"))


def test_filling_after_the_end_of_a_jpeg_does_no_harm(rgb):
    data = encoded(rgb[..., ::-1], ".jpg") + bytes(500)
    assert image_from_compressed(message(data, "jpeg")).shape == rgb.shape


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"", "jpeg"),
        (b"RIFF0000WEBPVP8 ", "webp"),
        (bytes(12) + b"\x89PNG\r\n\x1a\n", "16UC1; compressedDepth png"),
    ],
)
def test_other_data_are_refused_with_what_to_set(data, form):
    text = f"'{form}' with {len(data)} bytes is neither JPEG nor PNG: set the camera's"
    with pytest.raises(ValueError, match=text):
        image_from_compressed(message(data, form))


def test_a_camera_held_askew_is_not_turned(rgb):
    # Exif with orientation 6 in front of the image's own segments.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = encoded(rgb, ".jpg")
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    as_held = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert as_held is not None
    assert as_held.shape == (64, 48, 3)
    assert image_from_compressed(message(turned, "jpeg")).shape == rgb.shape


@given(
    suffix=st.sampled_from([".jpg", ".png"]),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=40)), max_size=4),
    form=st.text(st.characters(codec="ascii"), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_damaged_data_give_an_image_or_a_reason(rgb, suffix, changes, form):
    data = bytearray(encoded(rgb, suffix))
    for place, what in changes:
        start = int(place * len(data))
        data[start : start + len(what)] = what
    try:
        decoded = image_from_compressed(message(bytes(data), form))
    except ValueError as error:
        assert "compressed image of format" in str(error) or "Bayer" in str(error)
    else:
        assert decoded.dtype == np.uint8
        assert decoded.shape[2] == 3


def test_a_small_message_cannot_ask_for_gigabytes():
    # The limit is read when OpenCV is loaded, as the node's process does it.
    code = """
import struct, zlib
from sensor_msgs.msg import CompressedImage
from pandapose_ros.node.compressed import image_from_compressed

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

pixels = chunk(b"IDAT", zlib.compress(bytes(900)))
head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
data = b"\\x89PNG\\r\\n\\x1a\\n" + head + pixels + chunk(b"IEND", b"")
try:
    image_from_compressed(CompressedImage(format="png", data=data))
except ValueError as error:
    assert "IMAGE_PIXELS" in str(error), error
else:
    raise SystemExit("decoded")
"""
    environment = {k: v for k, v in os.environ.items() if k != "OPENCV_IO_MAX_IMAGE_PIXELS"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
