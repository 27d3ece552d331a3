"""BlazePose's person detector, run by LiteRT: image to rough regions, one per person."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.region import (
    Region,
    intersection_over_union,
    is_same_place,
    region_from_points,
)
from pandapose_ros.people.ssd_net import SsdNet
from pandapose_ros.people.tiles import TILE_SCORE, Tile

Array = NDArray[np.floating]

INPUT_SIZE = 224
# Strides of the net's five output layers; each cell has two anchors a layer.
_STRIDES = (8, 16, 32, 32, 32)
_ANCHORS_PER_CELL = 2
_VALUES = 12  # of an anchor: two corners, four key points
# MediaPipe's values: boxes that share more are the same person, those that score more are sure.
_SAME_PERSON_OVERLAP = 0.3
SURE_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Detection:
    """Hold one person that the detector found.

    Attributes:
        region: Where to look for the landmarks. Rough: good enough for a first pass.
        box_xyxy: [4], image pixels; BlazePose's box, round head and shoulders, not the body.
        score: [0, 1].
        is_enlarged: Found in a square of the image only.
    """

    region: Region
    box_xyxy: Array
    score: float
    is_enlarged: bool = False


class PersonDetector:
    """Find people with `pose_detection.tflite`.

    In the whole image it misses people smaller than about a fifth of the longer side.

    Args:
        model_path: The TFLite file; see `model_files.find_model_file`.
        threads: CPU threads; 0: as many as PyTorch uses.

    Raises:
        ValueError: If the file is another network.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204), section 3; anchors and thresholds from
        MediaPipe 0.10.21.
    """

    def __init__(self, model_path: str | Path, threads: int = 0) -> None:
        self._anchors = _anchors()
        self._net = SsdNet(
            model_path,
            threads,
            side=INPUT_SIZE,
            shape=(len(self._anchors), _VALUES, 1),
            wanted_class=0,
            bars=0,
        )
        self._thread = ThreadPoolExecutor(1, "detector")  # starts when it is first needed

    def start(
        self,
        image: NDArray[np.uint8],
        score: float,
        tiles: Sequence[Tile] = (),
        *,
        whole: bool = True,
    ) -> Future[list[Detection]]:
        """Begin to find the people in an image, in a thread of the detector's own.

        Args:
            image: As for `detect`; it may be written to when this returns.
            score: As for `detect`.
            tiles: As for `detect`.
            whole: As for `detect`.
        """
        return self._thread.submit(self.detect, image.copy(), score, tiles, whole=whole)

    def detect(
        self,
        image: NDArray[np.uint8],
        score: float,
        tiles: Sequence[Tile] = (),
        *,
        whole: bool = True,
    ) -> list[Detection]:
        """Find the people in an image.

        Args:
            image: [H, W, 3], RGB uint8; not written to.
            score: Least score of a detection, [0, 1].
            tiles: Squares of it to look at; there the least score is `TILE_SCORE`.
            whole: Look at the whole image.

        Returns:
            Detections, best first, then those of the squares alone, best first; none for an image
            without pixels.
        """
        if image.size == 0:
            return []
        people, enlarged = self._detect(image, score) if whole else [], []
        for left, top, side in tiles:
            square = image[top : top + side, left : left + side]
            for found in self._detect(square, max(score, TILE_SCORE)):
                enlarged.append(_moved(found, left, top))
        for found in sorted(enlarged, key=lambda found: -found.score):
            if not any(is_same_place(found.region, known.region) for known in people):
                people.append(found)
        return people

    def _detect(self, image: NDArray[np.uint8], score: float) -> list[Detection]:
        """Find the people in an image, by one run of the net."""
        values, scores, image_from_letterbox = self._net.run(image)
        likely = scores >= score
        values = values[likely]
        points = _decode(values, self._anchors[likely]) * image_from_letterbox[0]
        points += image_from_letterbox[1]  # [N, 6, 2]
        return [
            Detection(region_from_points(person[2], person[3]), person[:2].ravel(), best)
            for person, best in _merge(points, scores[likely])
        ]


def _anchors() -> Array:
    """Return the anchors' centres [A, 2], letterbox pixels counted from its edge."""
    centres = []
    for stride in dict.fromkeys(_STRIDES):
        cells = (np.arange(INPUT_SIZE // stride) + 0.5) * stride
        grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
        # Layers of the same stride share one run over the cells.
        centres.append(np.repeat(grid, _ANCHORS_PER_CELL * _STRIDES.count(stride), axis=0))
    return np.concatenate(centres).astype(np.float32)


def _decode(values: Array, anchors: Array) -> Array:
    """Turn outputs [N, 12] into points [N, 6, 2]: the box's two corners, then the key points.

    Key points: hip centre, circle point of the body, shoulder centre, circle point of the upper
    body. Letterbox pixels counted from its edge.
    """
    centre, extent = values[:, :2] + anchors, values[:, 2:4]
    key_points = values[:, 4:].reshape(-1, 4, 2) + anchors[:, None]
    corners = np.stack((centre - extent / 2, centre + extent / 2), axis=1)
    return np.concatenate((corners, key_points), axis=1)


def _moved(found: Detection, left: int, top: int) -> Detection:
    """Return a detection of a square as one of the image in which the square begins there."""
    u, v = found.region.centre
    region = replace(found.region, centre=(u + left, v + top))
    box_xyxy = found.box_xyxy + np.array((left, top, left, top))
    return Detection(region, box_xyxy, found.score, is_enlarged=True)


def _merge(points: Array, scores: Array) -> list[tuple[Array, float]]:
    """Average what overlaps (weighted non-maximum suppression, as in MediaPipe); best first."""
    people = []
    boxes = points[:, :2].reshape(-1, 4)
    left = np.argsort(-scores)
    while len(left):
        overlap = intersection_over_union(boxes[left[0]], boxes[left]) > _SAME_PERSON_OVERLAP
        overlap[0] = True  # an empty box overlaps nothing, not even itself
        same = left[overlap]
        # What is sure is not made worse by what is not.
        counted = same[scores[same] >= SURE_SCORE] if scores[same[0]] >= SURE_SCORE else same
        people.append(
            (np.average(points[counted], axis=0, weights=scores[counted]), float(scores[same[0]]))
        )
        left = left[~overlap]
    return people
