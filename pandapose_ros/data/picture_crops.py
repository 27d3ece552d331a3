"""Places in pictures without people, above all those where somebody is detected nevertheless."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pandapose_ros.data.image_files import load_image
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.landmarks import Look, find_landmarks
from pandapose_ros.people.region import Region, is_same_place
from pandapose_ros.people.tiles import tiles_of
from pandapose_ros.runtime.protocols import LandmarkNet

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

_LONGEST_SIDE_PX = 640
_DETECTION_SCORE = 0.1
_LOOKS = 3  # how often a region is put where the landmark net says
_PRESENCE = 0.02  # below that a place teaches nothing
_MOST_PLACES = 40  # of a picture
_RAYS = 0.01  # rad: all but parallel

_TRIES = 20  # to find a place where nobody is
_FOUND_SHARE = 0.75  # of the crops, where there are such places
_JITTER = (0.05, 0.12, 0.15)  # of the region's size, as a ratio, rad


class Picture(NamedTuple):
    """Hold a picture without people.

    Attributes:
        image: [H, W, 3], RGB.
        places: Where somebody is detected although nobody is there.
    """

    image: Image
    places: tuple[Region, ...] = ()

    def draw(self, rng: np.random.Generator) -> Region | None:
        """Draw a place, one of `places` or any other."""
        if not self.places or rng.random() >= _FOUND_SHARE:
            return region_without(np.full((1, 2), -np.inf), self.image.shape, rng)
        place = self.places[rng.integers(len(self.places))]
        shift, ratio, turn = _JITTER
        centre = np.asarray(place.centre) + rng.uniform(-shift, shift, 2) * place.size
        return replace(
            place,
            centre=(float(centre[0]), float(centre[1])),
            size=place.size * rng.uniform(1 - ratio, 1 + ratio),
            angle=place.angle + rng.uniform(-turn, turn),
        )


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder, in order.

    Raises:
        FileNotFoundError: If there are none.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise FileNotFoundError(f"no pictures (.jpg, .png) in {folder}")
    return paths


def read_pictures(folder: Path) -> list[Picture]:
    """Read all pictures of a folder, no larger than a camera's images.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If one cannot be read; the message names it.
    """
    return [Picture(_shrunk(_read(path))) for path in picture_files(folder)]


def with_places(
    pictures: Sequence[Picture], detector: PersonDetector, landmark_net: LandmarkNet
) -> list[Picture]:
    """Find the places in pictures where somebody is detected: where a net has most to learn.

    Args:
        pictures: Without people.
        detector: Proposes regions, in the whole picture and in squares of it.
        landmark_net: Says where people would be in them, and how surely; as it is before it is
            taught.

    Returns:
        The pictures, each with its places.
    """
    return [
        picture._replace(places=_places(picture.image, detector, landmark_net))
        for picture in tqdm(pictures, "places", unit="picture")
    ]


def _places(
    image: Image, detector: PersonDetector, landmark_net: LandmarkNet
) -> tuple[Region, ...]:
    """Return where somebody is seen in a picture."""
    size = (image.shape[1], image.shape[0])
    K = intrinsics_from_field_of_view(_RAYS, *size)
    regions: list[Region] = []
    for found in detector.detect(image, _DETECTION_SCORE, tiles_of(size)):
        if not any(is_same_place(found.region, other) for other in regions):
            regions.append(found.region)
    places: list[Region] = []
    for _ in range(_LOOKS):
        people = find_landmarks(landmark_net, [Look(image, K, regions, _PRESENCE)])[0]
        places += [person.region for person in people]
        regions = [person.next_region for person in people]
    return tuple(places[:_MOST_PLACES])


def region_without(
    points: Array, shape: tuple[int, ...], rng: np.random.Generator
) -> Region | None:
    """Find a region in which no point is; None if they leave no room.

    Args:
        points: [N, 2], pixels.
        shape: Of the image: rows, columns, channels.
        rng: Source of chance.
    """
    for _ in range(_TRIES):
        size = min(shape[:2]) * rng.uniform(0.15, 0.7)
        centre = rng.uniform(0, (shape[1], shape[0]))
        half = size * 0.6  # a little more than the square
        if (np.abs(points - centre).max(axis=1) > half).all():
            return Region((centre[0], centre[1]), size, rng.uniform(-0.6, 0.6))
    return None


def _read(path: Path) -> Image:
    """Read a picture, RGB."""
    image = load_image(path)
    if image is None:
        raise ValueError(f"{path} is no picture, or damaged: take it out of the folder")
    return image


def _shrunk(image: Image) -> Image:
    """Make a picture smaller if it is larger than a camera's images."""
    scale = _LONGEST_SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
