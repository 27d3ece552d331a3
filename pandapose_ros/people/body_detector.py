"""MediaPipe's object detector, run by LiteRT: image to boxes round whole bodies.

It sees people whom BlazePose's detector misses: who sit, lie, overlap or turn away.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.people.ssd_net import SsdNet

Array = NDArray[np.floating]

_INPUT_SIZE = 300
_CLASSES, _PERSON = 24, 4
# Cells along a side of the six output layers.
_GRIDS = (19, 10, 5, 3, 2, 1)
_LEAST_SCALE, _GREATEST_SCALE = 0.2, 0.95
_RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
# By how much the net multiplies offsets of centres and logarithms of extents.
_CENTRE_GAIN, _EXTENT_GAIN = 10.0, 5.0
# Boxes that share more are of one body.
_SAME_BODY_OVERLAP = 0.6
_GREY = 127


class BodyDetector:
    """Find people with `object_detection_ssd_mobilenetv2_oidv4_fp16.tflite`.

    Args:
        model_path: The TFLite file; see `model_files.find_model_file`.
        threads: CPU threads; 0: as many as PyTorch uses.

    Raises:
        ValueError: If the file is another network.

    Source:
        Liu et al., SSD (arXiv 1512.02325), on MobileNetV2; the classes' order and the anchors'
        scales and ratios are those of MediaPipe's Objectron. Our choice: the image keeps its
        shape (grey bars); of 47 people in photographs 38 instead of 34 have a box then,
        with a score of at least 0.3.
    """

    def __init__(self, model_path: str | Path, threads: int = 0) -> None:
        self._anchors = _anchors()
        self._net = SsdNet(
            model_path,
            threads,
            side=_INPUT_SIZE,
            shape=(len(self._anchors), 4, _CLASSES),
            wanted_class=_PERSON,
            bars=_GREY,
        )
        self._thread = ThreadPoolExecutor(1, "bodies")  # starts when it is first needed

    def start(self, image: NDArray[np.uint8], score: float) -> Future[Array]:
        """Begin to find the people in an image, in a thread of the detector's own.

        Args:
            image: As for `detect`; it may be written to when this returns.
            score: As for `detect`.
        """
        return self._thread.submit(self.detect, image.copy(), score)

    def detect(self, image: NDArray[np.uint8], score: float) -> Array:
        """Find the people in an image.

        Args:
            image: [H, W, 3], RGB uint8; not written to.
            score: Least score of a box, [0, 1]. Scores are low: of 47 people 7 have more than 0.5.

        Returns:
            Boxes [P, 4], xyxy, pixels inside the image, best first; none for an image without
            pixels.
        """
        if image.size == 0:
            return np.empty((0, 4))
        values, scores, (scale, shift) = self._net.run(image)
        likely = scores >= score
        corners = _decode(values[likely], self._anchors[likely]) * _INPUT_SIZE * scale + shift
        return _best(corners, scores[likely], (image.shape[1], image.shape[0]))


def _anchors() -> Array:
    """Return the anchors [A, 4]: centre u, v, width, height, as shares of the input's side."""
    scales = [*np.linspace(_LEAST_SCALE, _GREATEST_SCALE, len(_GRIDS)).tolist(), 1.0]
    found = []
    for layer, cells in enumerate(_GRIDS):
        shapes = [(scales[layer], ratio) for ratio in _RATIOS]
        shapes.append((float(np.sqrt(scales[layer] * scales[layer + 1])), 1.0))
        if layer == 0:  # fewer, as there are so many cells
            shapes = [(_LEAST_SCALE / 2, 1.0), *shapes[1:3]]
        centres = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        extents = [(scale * np.sqrt(ratio), scale / np.sqrt(ratio)) for scale, ratio in shapes]
        found.append(
            np.hstack((np.repeat(grid, len(shapes), axis=0), np.tile(extents, (len(grid), 1))))
        )
    return np.concatenate(found).astype(np.float32)


def _decode(values: Array, anchors: Array) -> Array:
    """Turn outputs [N, 4] (v, u, height, width) into corners [N, 2, 2], shares of the input."""
    centre = values[:, 1::-1] / _CENTRE_GAIN * anchors[:, 2:] + anchors[:, :2]
    extent = np.exp(values[:, :1:-1] / _EXTENT_GAIN) * anchors[:, 2:]
    return np.stack((centre - extent / 2, centre + extent / 2), axis=1)


def _best(corners: Array, scores: Array, image_size: tuple[int, int]) -> Array:
    """Return one box xyxy for each body, the best first, clipped to the image."""
    low = np.clip(corners[:, 0], 0, np.subtract(image_size, 1))
    extents = np.clip(corners[:, 1], 0, np.subtract(image_size, 1)) - low
    boxes = np.hstack((low, extents))[(extents > 0).all(axis=1)]
    scores = scores[(extents > 0).all(axis=1)]
    chosen = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, _SAME_BODY_OVERLAP)
    boxes = boxes[np.asarray(chosen, np.int64).ravel()]
    return np.hstack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
