import array
import re
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from pandapose_ros.node import images
from pandapose_ros.node.images import image_from_message


def message(pixels, encoding, *, height=None, padding=0, big_endian=False):
    """Pack rows of bytes, with `padding` bytes of 255 after each."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return Image(
        height=height or len(pixels),
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=int(big_endian),
        data=array.array("B", rows.tobytes()),
    )


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


@pytest.fixture
def smooth():
    """An image that survives chroma subsampling and mosaics."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[...] = (200, 90, 30)
    return image


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", [0, 1, 2]),
        ("bgr8", [2, 1, 0]),
        ("8UC3", [2, 1, 0]),
        ("rgba8", [0, 1, 2, 0]),
        ("bgra8", [2, 1, 0, 0]),
        ("8UC4", [2, 1, 0, 0]),
    ],
)
def test_colour_orders_and_row_steps_are_honoured(rgb, encoding, order, padding):
    decoded = image_from_message(message(rgb[..., order], encoding, padding=padding))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, rgb)


@pytest.mark.parametrize("padding", [0, 7])
def test_rgb8_is_a_view_of_the_message(rgb, padding):
    packed = message(rgb, "rgb8", padding=padding)
    decoded = image_from_message(packed)
    assert np.shares_memory(decoded, np.frombuffer(memoryview(packed.data), np.uint8))


def test_the_message_is_not_changed(rgb):
    for encoding, width in (("bgr8", 3), ("mono8", 1), ("bayer_rggb8", 1), ("yuv422", 2)):
        packed = message(rgb[..., :width], encoding)
        before = bytes(packed.data)
        image_from_message(packed)
        assert bytes(packed.data) == before


def test_grey_becomes_equal_channels(rgb):
    for encoding in ("mono8", "8UC1"):
        decoded = image_from_message(message(rgb[..., 0], encoding, padding=3))
        np.testing.assert_array_equal(decoded, np.repeat(rgb[..., :1], 3, axis=2))


@pytest.mark.parametrize("big_endian", [False, True])
def test_mono16_keeps_the_high_byte_in_either_byte_order(big_endian):
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    packed = message(
        values.astype(">u2" if big_endian else "<u2"), "mono16", big_endian=big_endian
    )
    np.testing.assert_array_equal(image_from_message(packed)[..., 1], values >> 8)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb16", [0, 1, 2]),
        ("bgr16", [2, 1, 0]),
        ("16UC3", [2, 1, 0]),
        ("rgba16", [0, 1, 2, 0]),
        ("bgra16", [2, 1, 0, 0]),
        ("16UC4", [2, 1, 0, 0]),
    ],
)
def test_colours_of_16_bits_keep_the_high_byte(rgb, encoding, order, big_endian):
    deep = (rgb[..., order].astype(np.uint16) << 8) + 77
    packed = message(
        np.ascontiguousarray(deep, ">u2" if big_endian else "<u2"),
        encoding,
        padding=3,
        big_endian=big_endian,
    )
    np.testing.assert_array_equal(image_from_message(packed), rgb)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_packed_yuv(smooth, encoding):
    y, u, v = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV)[0, 0]
    # OpenCV's conversion from YUV 4:2:2 expects the studio range of BT.601.
    luma = round(16 + 219 / 255 * y)
    u, v = (round(128 + 224 / 255 * (int(c) - 128) * s) for c, s in ((u, 1.147), (v, 0.813)))
    pair = [u, luma, v, luma] if encoding in ("yuv422", "uyvy") else [luma, u, luma, v]
    rows = np.tile(np.array(pair, np.uint8), (32, 24)).reshape(32, 48, 2)
    decoded = image_from_message(message(rows, encoding, padding=4))
    assert np.abs(decoded.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_semiplanar_yuv(smooth, encoding):
    planar = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV_I420)
    chroma = planar[32:].reshape(2, -1)
    pair = chroma if encoding == "nv12" else chroma[::-1]
    rows = np.vstack([planar[:32], np.stack(pair, -1).reshape(-1, 48)])
    decoded = image_from_message(message(rows, encoding, height=32))
    assert decoded.shape == smooth.shape
    assert np.abs(decoded.astype(int) - smooth).max() <= 3


def test_nv24_has_a_colour_for_every_pixel(smooth):
    planar = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV_I420)
    u, v = planar[32:].reshape(2, -1)[:, 0]
    chroma = np.tile(np.array([u, v], np.uint8), (32, 48))
    for padding in (0, 16):  # a row of chroma is twice as long as one of luma, and so is its step
        luma = np.pad(planar[:32], ((0, 0), (0, padding)))
        padded = np.pad(chroma, ((0, 0), (0, 2 * padding)), constant_values=77)
        image = message(np.vstack([luma, padded.reshape(64, -1)]), "nv24", height=32)
        image.width = 48
        decoded = image_from_message(image)
        assert decoded.shape == smooth.shape
        assert np.abs(decoded.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(
    ("encoding", "pattern"),
    [
        ("bayer_rggb8", [[0, 1], [1, 2]]),
        ("bayer_bggr8", [[2, 1], [1, 0]]),
        ("bayer_gbrg8", [[1, 2], [0, 1]]),
        ("bayer_grbg8", [[1, 0], [2, 1]]),
    ],
)
def test_bayer_patterns(smooth, encoding, pattern):
    channel = np.tile(np.array(pattern), (16, 24))
    mosaic = np.take_along_axis(smooth, channel[..., None], axis=2)[..., 0]
    np.testing.assert_array_equal(image_from_message(message(mosaic, encoding)), smooth)
    deep = message(mosaic.astype("<u2") << 8, encoding.replace("8", "16"))
    np.testing.assert_array_equal(image_from_message(deep), smooth)


def test_every_encoding_has_a_test():
    tested = {
        *("rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "8UC4", "mono8", "8UC1", "mono16"),
        *("rgb16", "bgr16", "16UC3", "rgba16", "bgra16", "16UC4"),
        *("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "nv24"),
        *("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"),
        *("bayer_rggb16", "bayer_bggr16", "bayer_gbrg16", "bayer_grbg16"),
    }
    assert tested == set(images.ENCODINGS)


@given(
    height=st.integers(1, 9), width=st.integers(1, 9), padding=st.integers(0, 9), cut=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_last_row_needs_no_padding_but_every_pixel(height, width, padding, cut):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    packed = message(pixels, "rgb8", padding=padding)
    packed.data = packed.data[: len(packed.data) - padding - int(cut)]
    if cut:
        with pytest.raises(ValueError, match="too short"):
            image_from_message(packed)
    else:
        np.testing.assert_array_equal(image_from_message(packed), pixels)


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "yuv422", "nv12", "32FC7"])
@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
def test_an_image_without_pixels_is_refused(encoding, size):
    packed = Image(height=size[0], width=size[1], encoding=encoding, step=64)
    with pytest.raises(ValueError, match=f"with pixels, got {size[1]}x{size[0]}"):
        image_from_message(packed)


def test_a_short_or_wrong_step_is_refused_with_the_numbers(rgb):
    packed = message(rgb, "bgr8")
    packed.step = 23
    with pytest.raises(ValueError, match=r"step of 23 bytes .* 8 pixels of bgr8 take 24"):
        image_from_message(packed)
    packed.step = 30
    with pytest.raises(ValueError, match=r"step 30 takes 174 bytes, got 144"):
        image_from_message(packed)


@pytest.mark.parametrize(("encoding", "shape"), [("yuv422", (4, 5, 2)), ("nv12", (6, 5))])
def test_subsampled_colours_need_an_even_width(encoding, shape):
    with pytest.raises(ValueError, match="even width, got 5x"):
        image_from_message(message(np.zeros(shape, np.uint8), encoding))


def test_nv12_needs_an_even_height():
    with pytest.raises(ValueError, match="even height, got 3"):
        image_from_message(message(np.zeros((5, 4), np.uint8), "nv12", height=3))


@pytest.fixture
def cv_bridge_afresh(monkeypatch):
    """Forget what was found out about cv_bridge, before and after."""
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    images._cv_bridge.cache_clear()
    yield
    sys.modules.pop("cv_bridge", None)
    images._cv_bridge.cache_clear()


@pytest.mark.usefixtures("cv_bridge_afresh")
def test_unknown_encoding_names_itself_and_the_known_ones(rgb):
    text = "cannot decode encoding '32FC3'.*cv_bridge.*rgb8, bgr8"
    with pytest.raises(ValueError, match=re.compile(text)):
        image_from_message(message(rgb, "32FC3"))


def test_a_depth_image_is_told_where_it_belongs(rgb):
    with pytest.raises(ValueError, match="'16UC1' is a depth image's encoding: remap depth to"):
        image_from_message(message(rgb, "16UC1"))


@pytest.mark.usefixtures("cv_bridge_afresh")
def test_a_cv_bridge_built_for_another_numpy_is_explained(rgb, tmp_path, monkeypatch):
    crash = "raise ImportError('numpy.core.multiarray failed to import')"
    (tmp_path / "cv_bridge.py").write_text(crash)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"multiarray failed .* another numpy.* set the camera"):
        image_from_message(message(rgb, "32FC3"))
    np.testing.assert_array_equal(image_from_message(message(rgb, "rgb8")), rgb)


@pytest.mark.usefixtures("cv_bridge_afresh")
def test_known_encodings_do_not_import_cv_bridge(rgb, tmp_path, monkeypatch):
    (tmp_path / "cv_bridge.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(image_from_message(message(rgb, "rgb8")), rgb)
    with pytest.raises(SystemExit):
        image_from_message(message(rgb, "32FC3"))
