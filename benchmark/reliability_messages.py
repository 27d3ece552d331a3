"""Messages as broken, miscalibrated and hostile cameras send them, made with hypothesis."""

import array
from collections.abc import Callable

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from pandapose_ros.node.images import ENCODINGS
from pandapose_ros.node.intrinsics import camera_info_from_field_of_view

WIDTH, HEIGHT = 320, 240  # of the images that camera_info and depth belong to
_MOST_BYTES = 1 << 18  # however large an image says that it is
_UINT32 = 2**32 - 1
_DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")
_TEXT = st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=20)
_SIZES = st.one_of(
    st.integers(1, 64), st.integers(1, 64), st.sampled_from([0, 1, 65535, 2**31, _UINT32])
)
_STAMPS = st.builds(
    Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, _UINT32)
) | st.sampled_from([Time(), Time(sec=1), Time(sec=2**31 - 1, nanosec=999_999_999)])
_HEADERS = st.builds(Header, stamp=_STAMPS, frame_id=_TEXT | st.just("lens"))
_NUMBERS = st.floats(width=64) | st.floats(-1e4, 1e4) | st.integers(-9, 999).map(float)


def draw(strategy: st.SearchStrategy, count: int) -> list:
    """Return `count` messages, the same each time."""
    drawn: list = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(strategy)
    def keep(message: object) -> None:
        drawn.append(message)

    while len(drawn) < count:  # a small space of messages ends early
        keep()
    return drawn[:count]


def _bytes_per_pixel(encoding: str) -> int:
    """Return roughly how many bytes a pixel takes."""
    channels = 1 if "bayer" in encoding or "mono" in encoding else 3
    channels = 4 if "a8" in encoding or "a16" in encoding or encoding == "32FC1" else channels
    channels = 2 if "yuv" in encoding or "yuyv" in encoding or encoding == "16UC1" else channels
    return channels * (2 if "16" in encoding and "UC1" not in encoding else 1)


@st.composite
def images(draw_from: Callable, encodings: tuple[str, ...] = ENCODINGS) -> Image:
    """Make an image: of any size, step, encoding and length of data, which rarely agree."""
    encoding = draw_from(st.sampled_from(encodings) | st.sampled_from(encodings) | _TEXT)
    width, height = draw_from(_SIZES), draw_from(_SIZES)
    line = width * _bytes_per_pixel(encoding)
    step = draw_from(
        st.just(line) | st.integers(0, 64).map(lambda more: line + more) | st.integers(0, _UINT32)
    )
    right = step * height * draw_from(st.sampled_from([1, 1, 2, 3]))
    length = draw_from(st.just(right) | st.just(right) | st.integers(0, 5000))
    noise = np.random.default_rng(draw_from(st.integers(0, 2**32)))
    return Image(
        header=draw_from(_HEADERS),
        width=width,
        height=height,
        encoding=encoding,
        step=min(step, _UINT32),
        is_bigendian=draw_from(st.sampled_from([0, 1, 255])),
        data=array.array("B", noise.bytes(min(length, _MOST_BYTES))),
    )


def whole_image(stamp: Time) -> CompressedImage:
    """Return a JPEG image with nothing wrong."""
    _done, file = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))
    data = array.array("B", file.tobytes())
    return CompressedImage(header=Header(stamp=stamp, frame_id="lens"), format="jpeg", data=data)


@st.composite
def compressed_images(draw_from: Callable) -> CompressedImage:
    """Make a JPEG or PNG image: whole, cut short, with bits turned over, or no image at all."""
    suffix = draw_from(st.sampled_from([".jpg", ".png"]))
    shape = (draw_from(st.integers(1, 48)), draw_from(st.integers(1, 48)), 3)
    noise = np.random.default_rng(draw_from(st.integers(0, 2**32)))
    _done, file = cv2.imencode(suffix, noise.integers(0, 256, shape).astype(np.uint8))
    data = file.copy().ravel()
    for place, value in draw_from(
        st.just([]) | st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=8)
    ):
        data[place % len(data)] = value
    if draw_from(st.booleans()) and suffix == ".png":  # sizes that a header can declare
        data[16:24] = draw_from(st.lists(st.integers(0, 255), min_size=8, max_size=8))
    cut = draw_from(st.just(None) | st.just(None) | st.integers(0, len(data)))
    forms = ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed ", ""]
    return CompressedImage(
        header=draw_from(_HEADERS),
        format=draw_from(st.sampled_from(forms) | _TEXT),
        data=draw_from(
            st.just(data[:cut].tobytes()) | st.just(data[:cut].tobytes()) | st.binary()
        ),
    )


@st.composite
def camera_infos(draw_from: Callable) -> CameraInfo:
    """Make a calibration: a good one with up to three faults in it, or nothing but numbers."""
    good = camera_info_from_field_of_view(1.0, WIDTH, HEIGHT)
    faults: dict[str, st.SearchStrategy] = {
        "width": _SIZES,
        "height": _SIZES,
        "k": st.lists(_NUMBERS, min_size=9, max_size=9),
        "p": st.lists(_NUMBERS, min_size=12, max_size=12),
        "d": st.lists(_NUMBERS, max_size=16),
        "distortion_model": st.sampled_from(
            ["", "none", "plumb_bob", "rational_polynomial", "equidistant", "fisheye"]
        )
        | _TEXT,
        "binning_x": st.integers(0, _UINT32),
        "binning_y": st.integers(0, _UINT32),
        "roi": st.builds(RegionOfInterest, x_offset=_SIZES, width=_SIZES, height=_SIZES),
    }
    for name in draw_from(st.lists(st.sampled_from(sorted(faults)), max_size=3, unique=True)):
        setattr(good, name, draw_from(faults[name]))
    if draw_from(st.booleans()):  # one wrong number in K
        place, value = draw_from(st.integers(0, 8)), draw_from(_NUMBERS)
        good.k[place] = value
    return good


@st.composite
def depths(draw_from: Callable) -> Image:
    """Make a depth image: of the image's size and of noise, or wrong in any way."""
    if draw_from(st.booleans()):
        return draw_from(images(_DEPTH_ENCODINGS))
    noise = np.random.default_rng(draw_from(st.integers(0, 2**32)))
    encoding = draw_from(st.sampled_from(_DEPTH_ENCODINGS))
    step = WIDTH * (4 if encoding == "32FC1" else 2)
    return Image(
        header=Header(frame_id="lens"),
        width=WIDTH,
        height=HEIGHT,
        encoding=encoding,
        step=step,
        data=array.array("B", noise.bytes(step * HEIGHT)),
    )
