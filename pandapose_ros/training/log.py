"""What a training reports: numbers for the bar, scores over time, TensorBoard scalars."""

import json
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pandapose_ros.training.loop import StepResult
from pandapose_ros.whole_files import replace_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

HISTORY_FILE = "history.json"
SCALARS_FOLDER = "tensorboard"
_SHOWN_STEPS = 50  # over which numbers are averaged
_SCALAR_STEPS = 10  # between scalars


class TrainLog:
    """Gather the results of the steps.

    Args:
        folder: Of the run.
        scalars: Whether to write TensorBoard scalars to a folder below.

    Raises:
        ValueError: If TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, *, scalars: bool) -> None:
        self._folder = folder
        self._recent: deque[StepResult] = deque(maxlen=_SHOWN_STEPS)
        self._ends: deque[float] = deque([time.monotonic()], maxlen=_SHOWN_STEPS + 1)
        self._writer = require_tensorboard()(str(folder / SCALARS_FOLDER)) if scalars else None

    def add(self, step: int, result: StepResult, learning_rate: float) -> None:
        """Take in the result of a step, which is done now.

        Args:
            step: How many are done.
            result: Of the last one.
            learning_rate: Of the last one.
        """
        self._recent.append(result)
        self._ends.append(time.monotonic())
        if self._writer is not None and step % _SCALAR_STEPS == 0:
            self._writer.add_scalar("train/learning_rate", learning_rate, step)
            self._writer.add_scalar("train/samples_per_second", self.samples_per_second(), step)
            for name, value in self.means().items():
                self._writer.add_scalar(f"train/{name}", value, step)

    def means(self) -> dict[str, float]:
        """Return means over the last steps: loss, mpjpe_mm and, over image steps, depth."""
        depths = [result.depth for result in self._recent if result.depth is not None]
        means = {
            "loss": float(np.mean([result.loss for result in self._recent])),
            "mpjpe_mm": float(np.mean([result.mpjpe_mm for result in self._recent])),
        }
        return means | ({"depth": float(np.mean(depths))} if depths else {})

    def samples_per_second(self) -> float:
        """Return how many samples the last steps took in a second, all processes together."""
        seconds = self._ends[-1] - self._ends[0]
        return sum(result.samples for result in self._recent) / max(seconds, 1e-9)

    def shown(self) -> dict[str, str]:
        """Return the numbers of the bar."""
        means = self.means()
        shown = {"loss": f"{means['loss']:.3f}", "mpjpe": f"{means['mpjpe_mm']:.0f} mm"}
        if "depth" in means:
            shown["depth"] = f"{means['depth']:.2f}"
        return shown | {"speed": f"{self.samples_per_second():.0f} samples/s"}

    def score(self, step: int, scores: dict[str, float]) -> None:
        """Add scores on held-out samples to the run's history.

        Args:
            step: How many are done; later records, of a run that was cut off, go.
            scores: By name.
        """
        add_to_history(self._folder, step, self.means(), scores)
        if self._writer is not None:
            for name, value in scores.items():
                self._writer.add_scalar(f"held_out/{name}", value, step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is not yet on disk."""
        if self._writer is not None:
            self._writer.close()


def add_to_history(
    folder: Path, step: int, means: dict[str, float], scores: dict[str, float]
) -> None:
    """Add a record to the history of a run.

    Args:
        folder: Of the run.
        step: How many are done; later records, of a run that was cut off, go.
        means: Over the last steps, by name.
        scores: On held-out samples, by name.
    """
    path = folder / HISTORY_FILE
    history = json.loads(path.read_text()) if path.exists() else []
    history = [record for record in history if record["step"] < step]
    history.append({"step": step, **means, "held_out": scores})
    replace_file(path, json.dumps(history, indent=1).encode())


def require_tensorboard() -> type["SummaryWriter"]:
    """Return what writes scalars for TensorBoard.

    Raises:
        ValueError: If it is not installed; the message says how to.
    """
    try:
        # Takes a second to load, and is not there for everyone.
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--tensorboard needs TensorBoard ({error}): pip install -r requirements-train.txt"
        ) from error
    return SummaryWriter
