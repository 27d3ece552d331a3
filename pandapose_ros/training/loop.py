"""Training of the lifter: one step at a time, each a function of the weights and its number.

Chance is drawn anew for each step from (seed, step), so that a resumed run repeats what an
uninterrupted one would have done.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pandapose_ros.checkpoint import save_weights
from pandapose_ros.config import LandmarkTrainConfig, LossConfig, TrainConfig
from pandapose_ros.model.decoder import DecoderLayer
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.gradients import clip_gradients
from pandapose_ros.training.losses import Losses, training_loss
from pandapose_ros.training.state import (
    optimizer_tensors,
    read_state,
    restore_optimizer,
    share_of,
    under,
    write_state,
)

WEIGHTS_FILE = "weights.safetensors"
_MM = 1000.0
_OFFSETS = "sampling_offsets"  # in the names of the layers that move sampling points


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

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        levels = self.features
        moved = None if levels is None else [level.to(device).float() for level in levels]
        return Batch(self.keypoints.to(device), self.joints.to(device), moved)


class StepResult(NamedTuple):
    """Report one step, the mean over all processes; None where a step has no images.

    Attributes:
        loss: Weighted sum of the parts.
        pose: Mean joint error, metres.
        depth: Depth loss.
        samples: How many there were.
    """

    loss: float
    pose: float
    depth: float | None
    samples: int

    @property
    def mpjpe_mm(self) -> float:
        """Mean joint error in millimetres."""
        return self.pose * _MM


class Trainer:
    """Train a network.

    Args:
        net: Its lifter is trained, in place.
        config: Schedule and optimiser.
        draw: Gives this process' part of the batch of a step by the step's number; the same
            number, the same batch.
        loss: What is minimised.
        share: Which process this is of how many, and its device; None: alone, on the CPU.
        data: Identity of the samples; a run is resumed only with the same.

    Attributes:
        step: Steps done so far.

    Source:
        PandaPose, section 4.1: AdamW, learning rate 4e-4, 0.98 per epoch. Our choice: warm-up,
        by default a cosine (short runs have no epochs to speak of), clipping, and the average of
        the weights over the steps as the result.
    """

    def __init__(
        self,
        net: PandaPose,
        config: TrainConfig,
        draw: Callable[[int], Batch],
        loss: LossConfig = LossConfig(),
        share: Share | None = None,
        data: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        share = share or Share()
        self.net = net.to(share.device).train()
        self.config = config
        self.draw = draw
        self.step = 0
        self._share = share
        self._about = {"model": asdict(net.config), "train": asdict(config), "loss": asdict(loss)}
        self._about |= {"skeleton": {"name": net.skeleton.name}, "data": dict(data)}
        self._about |= share_of(share.count)
        self._objective = share.parallel(_Objective(self.net, config, loss))
        self._parameters = [p for p in net.parameters() if p.requires_grad]
        self._optimizer = _optimizer(net, config)
        self._average = {k: v.clone() for k, v in net.lifter_state_dict().items()}

    def advance(self) -> StepResult:
        """Do one step.

        Raises:
            FloatingPointError: If the loss is not finite; the message shows its parts. Or if the
                gradient is not; the weights are those of before then.
        """
        # For dropout, of which every process has its own.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step + self._share.rank * 7_368_787)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config) * group["share"]
        batch = self.draw(self.step).to(self._share.device)
        losses: Losses = self._objective(batch)
        result = self._report(losses, len(batch.joints))
        self._optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        clip_gradients(self._parameters, self.config.clip, self.step)
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
        tensors |= {f"average.{k}": v for k, v in self._average.items()}
        tensors |= optimizer_tensors(self._optimizer, self._parameters)
        write_state(folder, self.step, tensors, self._about)

    def resume(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Args:
            folder: Holds the state.

        Raises:
            FileNotFoundError: If there is no state.
            ValueError: If it is of another network, skeleton, loss, schedule, kind of data or
                number of processes; the message names what differs.
        """
        step, tensors = read_state(folder, self._about)
        self.net.load_lifter_state_dict(under("model.", tensors))
        for key, tensor in under("average.", tensors).items():
            self._average[key].copy_(tensor)
        restore_optimizer(self._optimizer, self._parameters, tensors)
        self.step = step

    def _report(self, losses: Losses, samples: int) -> StepResult:
        """Return the losses over all processes, if they are finite."""
        parts = [part.detach().float() for part in losses if part is not None]
        total, pose, *depth = self._share.mean(torch.stack(parts)).tolist()
        samples *= self._share.count
        result = StepResult(total, pose, depth[0] if depth else None, samples)
        if not math.isfinite(total):
            raise FloatingPointError(
                f"loss is not finite at step {self.step}: {result._asdict()}; "
                "lower the learning rate or look at the samples of this step"
            )
        return result

    def _update_average(self) -> None:
        """Move the averaged weights a little towards the present ones; counters are copied."""
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        state = self.net.lifter_state_dict()
        moving = [key for key, tensor in state.items() if tensor.is_floating_point()]
        with torch.no_grad():
            move = get_ema_multi_avg_fn(keep)
            move([self._average[key] for key in moving], [state[key] for key in moving], 0)
            for key in state.keys() - set(moving):
                self._average[key].copy_(state[key])


class _Objective(nn.Module):
    """Compute the losses of a batch: what processes share must be a module."""

    def __init__(self, net: PandaPose, config: TrainConfig, loss: LossConfig) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.casts = config.bfloat16

    def forward(self, batch: Batch) -> Losses:
        device = batch.joints.device.type
        with torch.autocast(device, torch.bfloat16, self.casts and device == "cuda"):
            output = self.net.lift(batch.features, batch.keypoints)
        return training_loss(output, batch.joints, batch.keypoints, self.net.config, self.loss)


def _optimizer(net: PandaPose, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW; a group's share is that of the learning rate."""
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    offsets = [p for name, p in named if _OFFSETS in name]
    others = [p for name, p in named if _OFFSETS not in name]
    return torch.optim.AdamW(
        [{"params": others, "share": 1.0}, {"params": offsets, "share": config.offset_rate}],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )


def silence_image_branches(net: PandaPose) -> None:
    """Let the branches that read the image add nothing at first.

    Args:
        net: A fresh network, changed in place: the attentions to depth and features give zero.

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
    """Return the learning rate of a step: a straight rise, then down as the schedule has it.

    Args:
        step: From 0; past the end of a cosine its last rate stays.
        config: Schedule, rates, length of the rise and of the whole.

    Source:
        PandaPose, section 4.1: the "weight decay of 0.98" read as the learning rate's, per epoch.
    """
    if config.schedule == "exponential":
        rise = min(1.0, (step + 1) / config.warm_up)
        return config.learning_rate * rise * config.epoch_decay ** (step // config.epoch_steps)
    return cosine_rate(step, config)


def cosine_rate(step: int, config: TrainConfig | LandmarkTrainConfig) -> float:
    """Return the learning rate of a step: a straight rise, then down a cosine.

    Args:
        step: From 0; past the end the last rate stays.
        config: Rates, length of the rise and of the whole.
    """
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = min(1.0, (step - config.warm_up) / max(1, config.steps - config.warm_up))
    floor = config.final_learning_rate
    share = floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * share
