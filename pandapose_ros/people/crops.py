"""People's regions cut out of images as the landmark net takes them, on host or device."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.model.blazepose import CROP_SIZE

Array = NDArray[np.floating]
Image = NDArray[np.uint8]


def crops_on_host(
    images: Sequence[Image], homographies: Sequence[Sequence[Array]], device: torch.device
) -> Tensor:
    """Cut regions out with OpenCV and bring them to the device.

    Args:
        images: [H, W, 3] each, RGB uint8, contiguous.
        homographies: Of each image, from its pixels to those of a crop [3, 3].
        device: Where the crops shall be.

    Returns:
        [B, 3, 256, 256], in [0, 1], image after image; 0 outside of the image.
    """
    crops = [
        cv2.warpPerspective(image, homography, (CROP_SIZE, CROP_SIZE))
        for image, each in zip(images, homographies, strict=True)
        for homography in each
    ]
    # By numpy: threads that PyTorch starts wait in a loop and slow the networks down.
    planes = np.stack(crops).transpose(0, 3, 1, 2) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(planes)).to(device)


def crops_on_device(
    images: Sequence[Image], homographies: Sequence[Sequence[Array]], device: torch.device
) -> Tensor:
    """Bring the images to the device and cut all regions out there, without waiting for it.

    Args:
        images: As for `crops_on_host`.
        homographies: As there.
        device: As there.

    Returns:
        As there, but for rounding.
    """
    return torch.cat(
        [
            _cut(_upload(image, device), np.stack(each), device)
            for image, each in zip(images, homographies, strict=True)
            if len(each)
        ]
    )


def _cut(image: Tensor, homographies: Array, device: torch.device) -> Tensor:
    """Cut regions [P, 3, 3] out of an image [H, W, 3] on the device."""
    height, width = image.shape[:2]
    # From the crop's pixels to the image's, and on to grid units.
    to_grid = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    maps = _upload((to_grid @ np.linalg.inv(homographies)).astype(np.float32), device)
    steps = torch.arange(CROP_SIZE, device=device, dtype=torch.float32)
    # Not as a matrix product, which a GPU may round to ten bits.
    along_u, along_v, shift = maps[..., None, None].unbind(2)  # each [P, 3, 1, 1]
    points = along_u * steps + along_v * steps[:, None] + shift  # [P, 3, 256, 256]
    grid = (points[:, :2] / points[:, 2:]).permute(0, 2, 3, 1).reshape(1, -1, CROP_SIZE, 2)
    planes = image.permute(2, 0, 1)[None].float() / 255
    cut = F.grid_sample(planes, grid, align_corners=False)  # [1, 3, P * 256, 256]
    return cut.view(3, -1, CROP_SIZE, CROP_SIZE).transpose(0, 1)


def _upload(array: NDArray, device: torch.device) -> Tensor:
    """Copy an array to a device; for a GPU by pinned memory, so that the host need not wait."""
    # Of a cache that gives pinned memory out again only when the copy has been made.
    dtype = getattr(torch, array.dtype.name)
    copied = torch.empty(array.shape, dtype=dtype, pin_memory=device.type == "cuda")
    copied.numpy()[...] = array  # by numpy, as the images of messages are read-only
    return copied.to(device, non_blocking=True)
