import warnings

import numpy as np
import pytest
import torch

from pandapose_ros import geometry
from pandapose_ros.people.crops import crops_on_device, crops_on_host
from pandapose_ros.people.region import Region

CPU = torch.device("cpu")


def homography(image, centre, size, angle):
    K = geometry.intrinsics_from_field_of_view(1.0, image.shape[1], image.shape[0])
    crop_from_image = Region(centre, size, angle).crop_from_image()
    return geometry.perspective_crop(crop_from_image, (256, 256), K)[0]


def test_device_cuts_as_opencv_does(walker):
    smooth = np.ascontiguousarray(walker[::3, ::2])
    images = [walker, smooth, walker]
    looks = [
        [
            homography(walker, (300.0, 250.0), 300.0, 0.1),
            homography(walker, (620.0, 20.0), 400.0, -0.8),  # half of it outside
        ],
        [homography(smooth, (100.0, 60.0), 90.0, 2.0)],
        [],
    ]
    expected = crops_on_host(images, looks, CPU)
    crops = crops_on_device(images, looks, CPU)
    assert crops.shape == expected.shape == (3, 3, 256, 256)
    # OpenCV rounds places to a 32nd of a pixel, and results to whole numbers.
    assert 255 * (crops - expected).abs().mean() < 0.6
    assert 255 * (crops - expected).abs().quantile(0.999) < 8


def test_images_of_messages_are_cut_without_a_word(walker):
    image = walker.copy()
    image.flags.writeable = False
    look = [[homography(image, (300.0, 250.0), 300.0, 0.0)]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crops = crops_on_device([image], look, CPU)
    torch.testing.assert_close(crops, crops_on_device([walker], look, CPU))


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_a_pixel_is_cut_from_its_place(shift):
    columns = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 40, axis=0)
    image = np.ascontiguousarray(np.concatenate((columns, columns[:, ::-1], 0 * columns), axis=2))
    move = np.array([[1.0, 0, -10 - shift], [0, 1.0, 0], [0, 0, 1]])
    (crop,) = crops_on_device([image], [[move]], CPU)
    u = torch.arange(150) + 10 + shift
    torch.testing.assert_close(255 * crop[0, 5, :150], u, atol=0.01, rtol=0)
    torch.testing.assert_close(255 * crop[1, 39, :150], 199 - u, atol=0.01, rtol=0)
    assert crop[:, 41:].max() == 0 and crop[2].max() == 0
