"""Training of the lifter: one step at a time, each a function of the weights and its number.

Chance is drawn anew for each step from (seed, step), so that a resumed run repeats what an
uninterrupted one would have done.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pandapose_ros.checkpoint import save_weights
from pandapose_ros.config import TrainConfig
from pandapose_ros.losses import training_loss
from pandapose_ros.model.decoder import DecoderLayer
from pandapose_ros.model.pandapose import PandaPose

WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
_MM = 1000.0


class Batch(NamedTuple):
    """Hold the samples of one step.

    Attributes:
        keypoints: [B, J, 2], crop pixels.
        joints: [B, J, 3], metres, root-relative, crop-camera axes.
        features: The backbone's levels, list of L tensors [B, C_l, H_l, W_l]; None: no images.
    """

    keypoints: Tensor
    joints: Tensor
    features: list[Tensor] | None


class StepResult(NamedTuple):
    """Report one step; None where a step has no images.

    Attributes:
        loss: Weighted sum of the parts.
        pose: Mean joint error, metres.
        depth: Ordinal depth loss.
    """

    loss: float
    pose: float
    depth: float | None

    @property
    def mpjpe_mm(self) -> float:
        """Mean joint error in millimetres."""
        return self.pose * _MM


class Trainer:
    """Train a network.

    Args:
        net: Its lifter is trained, in place.
        config: Schedule and optimiser.
        draw: Gives the batch of a step by the step's number; the same number, the same batch.

    Attributes:
        step: Steps done so far.

    Source:
        PandaPose, section 4.1: AdamW, learning rate 4e-4. Our choice: warm-up, a cosine to the
        end instead of 0.98 per epoch (short runs have no epochs to speak of), clipping, and the
        average of the weights over the steps as the result.
    """

    def __init__(self, net: PandaPose, config: TrainConfig, draw: Callable[[int], Batch]) -> None:
        self.net = net.train()
        self.config = config
        self.draw = draw
        self.step = 0
        self._parameters = [p for p in net.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._average = {k: v.clone() for k, v in net.lifter_state_dict().items()}

    def advance(self) -> StepResult:
        """Do one step.

        Raises:
            FloatingPointError: If the loss is not finite; the message shows its parts.
        """
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)  # for dropout
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        batch = self.draw(self.step)
        output = self.net.lift(batch.features, batch.keypoints)
        losses = training_loss(output, batch.joints, batch.keypoints, self.net.config)
        depth = None if losses.depth is None else losses.depth.item()
        result = StepResult(losses.total.item(), losses.pose.item(), depth)
        if not math.isfinite(result.loss):
            raise FloatingPointError(
                f"loss is not finite at step {self.step}: {result._asdict()}; "
                "lower the learning rate or look at the samples of this step"
            )
        self._optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self._optimizer.step()
        self.step += 1
        self._update_average()
        return result

    @contextmanager
    def averaged(self) -> Iterator[PandaPose]:
        """Lend the network with the averaged weights, in evaluation mode."""
        current = {key: tensor.clone() for key, tensor in self.net.lifter_state_dict().items()}
        self.net.load_lifter_state_dict(self._average)
        try:
            yield self.net.eval()
        finally:
            self.net.load_lifter_state_dict(current)
            self.net.train()

    def save(self, folder: Path, metadata: dict[str, str]) -> None:
        """Write the averaged weights and all that `resume` needs.

        Args:
            folder: Exists; each file in it is replaced at once, never half-written.
            metadata: To store with the weights.
        """
        with self.averaged() as net:
            save_weights(folder / WEIGHTS_FILE, net, metadata)
        tensors = {f"model.{k}": v for k, v in self.net.lifter_state_dict().items()}
        tensors |= {f"average.{k}": v.contiguous() for k, v in self._average.items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        about = {
            "step": str(self.step),
            "model": json.dumps(asdict(self.net.config)),
            "train": json.dumps(asdict(self.config)),
        }
        unfinished = folder / (STATE_FILE + ".part")
        save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished, about)
        unfinished.replace(folder / STATE_FILE)

    def resume(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Args:
            folder: Holds the state.

        Raises:
            FileNotFoundError: If there is no state.
            ValueError: If it is of another network or schedule; the message names what differs.
        """
        path = folder / STATE_FILE
        if not path.is_file():
            raise FileNotFoundError(f"nothing to resume: no {path}; start without --resume")
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        _check_same(path, "model", json.loads(about["model"]), asdict(self.net.config))
        _check_same(path, "train", json.loads(about["train"]), asdict(self.config))
        self.net.load_lifter_state_dict(_under("model.", tensors))
        self._average = _under("average.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step = int(about["step"])

    def _update_average(self) -> None:
        """Move the averaged weights a little towards the present ones; counters are copied."""
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        state = self.net.lifter_state_dict()
        with torch.no_grad():
            for key, tensor in state.items():
                if tensor.is_floating_point():
                    self._average[key].lerp_(tensor, 1 - keep)
                else:
                    self._average[key] = tensor.clone()


def silence_image_branches(net: PandaPose) -> None:
    """Let the branches that look at the image add nothing until they have learnt to.

    Args:
        net: A fresh network, changed in place: the attentions to depth and features answer zero.

    Source:
        Our choice: weights trained without images then serve with images, and training with
        images starts from what the 2D pose tells.
    """
    for layer in net.layers:
        if isinstance(layer, DecoderLayer):
            outputs = [layer.image_attention.output]
            if layer.depth_attention is not None:
                outputs.append(layer.depth_attention.out_proj)
            for output in outputs:
                nn.init.zeros_(output.weight)
                nn.init.zeros_(output.bias)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step: a straight rise, then half a cosine down.

    Args:
        step: From 0; past the end of the schedule the last rate stays.
        config: Rates, length of the rise and of the whole.
    """
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = min(1.0, (step - config.warm_up) / max(1, config.steps - config.warm_up))
    floor = config.final_learning_rate
    share = floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * share


def _check_same(path: Path, what: str, stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ValueError unless two configurations agree."""
    given = json.loads(json.dumps(given))  # tuples become lists, as in the file
    keys = [key for key in given | stored if stored.get(key) != given.get(key)]
    differences = "; ".join(f"{k}: expected {given.get(k)}, got {stored.get(k)}" for k in keys)
    if keys:
        raise ValueError(f"{path} is of another {what} configuration: {differences}")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose keys start with a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
