"""Networks that detect by anchors (SSD), run by LiteRT: what the two detectors share."""

import threading
from pathlib import Path

import cv2
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

Array = NDArray[np.floating]


class SsdNet:
    """Run one of these networks on whole images; from any thread, one image at a time.

    Args:
        model_path: The TFLite file.
        threads: CPU threads; 0: as many as PyTorch uses.
        side: Of its square input, pixels.
        shape: Numbers of its A anchors, of the values of each, and of its classes.
        wanted_class: Which class is looked for.
        bars: Grey value of what is beside the image in the input, 0 to 255.

    Raises:
        ValueError: If the file is another network.
    """

    def __init__(
        self,
        model_path: str | Path,
        threads: int,
        *,
        side: int,
        shape: tuple[int, int, int],
        wanted_class: int,
        bars: int,
    ) -> None:
        self._interpreter = Interpreter(
            model_path=str(model_path), num_threads=threads or torch.get_num_threads()
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {
            tuple(output["shape"].tolist()): output["index"]
            for output in self._interpreter.get_output_details()
        }
        anchors, values, classes = shape
        shapes = ((1, anchors, values), (1, anchors, classes))
        if not set(shapes) <= set(outputs):
            raise ValueError(
                f"{model_path} is another network: expected outputs {shapes}, got {list(outputs)}"
            )
        self._values, self._logits = (outputs[each] for each in shapes)
        self._side, self._class, self._bars = side, wanted_class, bars
        self._lock = threading.Lock()

    def run(self, image: NDArray[np.uint8]) -> tuple[Array, Array, tuple[Array, Array]]:
        """Look at an image.

        Args:
            image: [H, W, 3], RGB uint8, with pixels.

        Returns:
            The anchors' values [A, V], the scores [A], 0 to 1, of the class that is looked for,
            and scale and shift, [2] each, from the input's pixels, counted from its edge, to image
            pixels.
        """
        pixels, image_from_input = _letterbox(image, self._side, self._bars)
        with self._lock:
            self._interpreter.set_tensor(self._input, pixels[None])
            self._interpreter.invoke()
            logits = self._interpreter.get_tensor(self._logits)[0, :, self._class]
            values = self._interpreter.get_tensor(self._values)[0]
        return values, 1 / (1 + np.exp(-np.clip(logits, -80, 80))), image_from_input


def _letterbox(
    image: NDArray[np.uint8], side: int, bars: int
) -> tuple[NDArray[np.float32], tuple[Array, Array]]:
    """Fit an image into a square input [side, side, 3] in [-1, 1], bars beside it.

    Also returns the scale and shift from the input's pixels to the image's.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = np.maximum(np.round([width * scale, height * scale]).astype(int), 1)
    left, top = (side - size) // 2
    small = cv2.resize(image, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    pixels = np.full((side, side, 3), bars * np.float32(1 / 127.5) - 1, np.float32)
    pixels[top : top + size[1], left : left + size[0]] = small * np.float32(1 / 127.5) - 1
    image_scale = np.array([width, height]) / size
    return pixels, (image_scale, -np.array([left, top]) * image_scale - 0.5)
