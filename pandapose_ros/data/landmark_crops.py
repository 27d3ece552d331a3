"""Crops of rendered people to fine-tune the landmark net on, with all that is known of them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import LandmarkTrainConfig, SkeletonSampleConfig
from pandapose_ros.data.image_files import decode_image
from pandapose_ros.data.image_samples import order_of_round, random_view
from pandapose_ros.data.picture_crops import Picture, region_without
from pandapose_ros.data.rendered_images import (
    RenderedImage,
    chunk_files,
    mirrored,
    read_chunk,
    region_round_person,
)
from pandapose_ros.geometry import project, transform_pixels
from pandapose_ros.model.blazepose import CROP_SIZE
from pandapose_ros.people.region import (
    REGION_MARGIN,
    Region,
    quarter_turns,
    region_from_points,
)

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

_PICTURES_SHARE = 0.75  # of the crops that show nobody, where there are pictures
_LEAST_SEEN = 6  # joints in the crop, of 17, for somebody to be there
# Rows or columns, the last of them or the first: below, right, left, above.
_EDGES = ((0, True), (1, True), (1, False), (0, False))
_EDGE_SHARES = (0.7, 0.1, 0.1, 0.1)
# Of regions that are far off. The detector takes the feet for the head now and then.
_MISPLACED = {
    "region_angle_jitter": math.pi,
    "region_size_jitter": 0.5,
    "region_centre_jitter": 0.12,
}


class LandmarkCrops(NamedTuple):
    """Hold B crops.

    Attributes:
        crops: [B, 3, 256, 256], RGB in [0, 1].
        keypoints: Of the true joints [B, 17, 2], crop pixels; may lie outside the crop.
        joints: True joints [B, 17, 3], metres, root-relative, the crop's axes.
        region: [B, 2, 2], crop pixels: the two points that give the region of the next image.
        quarter_turns: [B], by how many the person is turned clockwise against the crop, 0 to 3.
        shows_person: [B], 1 or 0.
        is_placed: [B], 1, or 0 where the crop is far off: upside down, too large, too small.
    """

    crops: Tensor
    keypoints: Tensor
    joints: Tensor
    region: Tensor
    quarter_turns: Tensor
    shows_person: Tensor
    is_placed: Tensor


class LandmarkCropSource:
    """Draw crops from the images of `pandapose synthesize`; the same number, the same crops.

    Args:
        folder: Holds chunk_*.npz.
        config: Seed, share of crops that show nobody.
        views: Jitter of the regions, share of mirrored images.
        pictures: Without people; three quarters of the crops that show nobody are cut from them,
            the others beside the people.

    Raises:
        FileNotFoundError: If there are no images.
    """

    def __init__(
        self,
        folder: Path,
        config: LandmarkTrainConfig,
        views: SkeletonSampleConfig,
        pictures: Sequence[Picture] = (),
    ) -> None:
        # Decoded they would not fit into memory.
        self._images = [packed for path in chunk_files(folder) for packed in _packed(path)]
        self._pictures = pictures
        self._config = config
        self._views = views
        self._misplaced_views = replace(views, **_MISPLACED)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def batch(self, number: int) -> LandmarkCrops:
        """Return the batch of a step; each image comes once per round, rounds differ in order."""
        config = self._config
        rng = np.random.default_rng((config.seed, number))
        first = number * config.batch
        chosen = [self._at(first + i) for i in range(config.batch)]
        drawn = [self._draw(_unpack(packed), rng) for packed in chosen]
        crops, *parts = zip(*drawn, strict=True)
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        numbers = [torch.from_numpy(np.stack(part).astype(np.float32)) for part in parts]
        return LandmarkCrops(pixels.float() / 255, *numbers)

    def _at(self, place: int) -> "_Packed":
        """Return an image by its place in the sequence of all rounds."""
        turn, index = divmod(place, len(self._images))
        return self._images[order_of_round(len(self._images), turn, self._config.seed)[index]]

    def _draw(
        self, item: RenderedImage, rng: np.random.Generator
    ) -> tuple[Image, Array, Array, Array, Array, Array, Array]:
        """Cut one crop out of an image, of its person or of nobody; as in `LandmarkCrops`."""
        shown = mirrored(item) if rng.random() < self._views.mirrored else item
        points = project(shown.joints, shown.K)
        is_placed = rng.random() >= self._config.misplaced
        views = self._views if is_placed else self._misplaced_views
        # The net that is taught will ask for such regions.
        homography, axes = random_view(shown.joints, shown.K, views, rng, is_tuned=True)
        image, is_person = shown.image, True
        if rng.random() < self._config.background:
            if self._pictures and rng.random() < _PICTURES_SHARE:
                picture = self._pictures[int(rng.integers(len(self._pictures)))]
                image, elsewhere = picture.image, picture.draw(rng)
            else:
                elsewhere = region_without(points, image.shape, rng)
            if elsewhere is not None:
                homography = np.vstack((elsewhere.crop_from_image(CROP_SIZE), (0, 0, 1)))
                is_person = False
        crop = cv2.warpPerspective(image, homography, (CROP_SIZE, CROP_SIZE))
        keypoints = transform_pixels(homography, points)
        if rng.random() < self._config.covered:
            crop = cover(np.asarray(crop, np.uint8), keypoints, rng)
        inside = ((keypoints > 0) & (keypoints < CROP_SIZE - 1)).all(axis=1)
        if rng.random() < self._config.cut:
            crop = cut_off(np.asarray(crop, np.uint8), keypoints, rng)
        region = region_round_person(shown.joints, shown.K, with_hands=True)
        region_points = transform_pixels(homography, _region_points(region))
        return (
            change_light(np.asarray(crop, np.uint8), rng),
            keypoints,
            (shown.joints - shown.joints[0]) @ axes,
            region_points,
            np.array(quarter_turns(region_from_points(*region_points).angle)),
            np.array(is_person and inside.sum() >= _LEAST_SEEN),
            np.array(is_placed),
        )


class _Packed(NamedTuple):
    """An image as JPEG, with its truth."""

    jpeg: Image
    joints: Array
    K: Array


def change_light(image: Image, rng: np.random.Generator) -> Image:
    """Return an RGB image [H, W, 3] in other light: brightness, contrast, cast, or grey."""
    if rng.random() < 0.1:
        image = np.asarray(cv2.transform(image, np.full((3, 3), 1 / 3)), np.uint8)
    gain = rng.uniform(0.65, 1.35) * rng.uniform(0.88, 1.12, 3)
    mean = np.mean(cv2.mean(image)[:3])
    values = np.arange(256)[:, None]
    table = (values - mean) * gain + mean * rng.uniform(0.7, 1.3) + rng.uniform(-12, 12)
    return np.asarray(cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)


def cover(image: Image, keypoints: Array, rng: np.random.Generator) -> Image:
    """Put plain or noisy rectangles before some joints.

    Args:
        image: RGB [H, W, 3].
        keypoints: [17, 2], pixels.
        rng: Source of chance.
    """
    image = image.copy()
    for u, v in keypoints[rng.choice(len(keypoints), rng.integers(1, 4), replace=False)]:
        if not (0 <= u < image.shape[1] and 0 <= v < image.shape[0]):
            continue
        low = np.maximum(np.array((u, v)) - rng.uniform(4, 36, 2), 0).astype(int)
        high = (np.array((u, v)) + rng.uniform(4, 36, 2)).astype(int) + 1
        patch = image[low[1] : high[1], low[0] : high[0]]
        colour = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 40), patch.shape)
        patch[:] = np.clip(colour, 0, 255).astype(np.uint8)
    return image


def cut_off(image: Image, keypoints: Array, rng: np.random.Generator) -> Image:
    """Let the edge of the image cut off a crop, as of people who are near; a few joints are left.

    Args:
        image: RGB [S, S, 3].
        keypoints: [17, 2], pixels; those outside the crop are not among the joints that are left.
        rng: Source of chance.
    """
    image = image.copy()
    axis, is_far = _EDGES[int(rng.choice(len(_EDGES), p=_EDGE_SHARES))]
    size = image.shape[axis]
    inside = keypoints[((keypoints > 0) & (keypoints < size - 1)).all(axis=1), 1 - axis]
    places = np.sort(inside if is_far else size - 1 - inside)
    least = size / 2  # where nobody is
    if len(places):
        least = places[_LEAST_SEEN] if len(places) > _LEAST_SEEN else size
    edge = math.ceil(least + (size - least) * rng.random() ** 2)
    lines = image.swapaxes(0, axis)
    (lines if is_far else lines[::-1])[edge:] = 0
    return image


def _packed(path: Path) -> list[_Packed]:
    """Read a file of rendered images without decoding them."""
    next(read_chunk(path))  # complains of what is wrong with the file
    with np.load(path, allow_pickle=False) as file:
        jpeg, offsets, joints, K = (file[name] for name in ("jpeg", "offsets", "joints", "K"))
    return [
        _Packed(jpeg[low:high], joints[i], K[i]) for i, (low, high) in enumerate(pairwise(offsets))
    ]


def _unpack(packed: _Packed) -> RenderedImage:
    """Decode an image."""
    return RenderedImage(decode_image(packed.jpeg), packed.joints, packed.K)


def _region_points(region: Region) -> Array:
    """Return the two points [2, 2] that `region_from_points` makes a region of."""
    radius = region.size / (2 * REGION_MARGIN)
    up = np.array((np.sin(region.angle), -np.cos(region.angle)))
    centre = np.asarray(region.centre)
    return np.stack((centre, centre + radius * up))
