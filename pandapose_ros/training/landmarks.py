"""Fine-tuning of the landmark net, step by step; a resumed run repeats an uninterrupted one."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pandapose_ros.config import LandmarkTrainConfig
from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.landmark_weights import net_sha256, save_backbone
from pandapose_ros.model.blazepose import LANDMARKS, BlazePose
from pandapose_ros.training.gradients import clip_gradients
from pandapose_ros.training.landmark_losses import (
    KEPT_EVERY,
    FeatureProbes,
    LandmarkLosses,
    landmark_loss,
)
from pandapose_ros.training.loop import cosine_rate
from pandapose_ros.training.state import (
    optimizer_tensors,
    read_state,
    restore_optimizer,
    under,
    write_state,
)

LANDMARKS_FILE = "landmarks.safetensors"

# The net's batch norms are folded into its weights, whose sizes differ by orders of magnitude:
# every tensor takes steps in proportion to its own.
_LEAST_SIZE = 1e-3
_PROBE_SHARE = 0.5
_NEW_SHARE = 10.0


class LandmarkTrainer:
    """Fine-tune a landmark net.

    Args:
        net: To start from; a copy is trained.
        before: MediaPipe's original net, whose outputs are kept where there is no ground truth.
        config: Schedule and optimiser.
        draw: Gives the batch of a step; the same number, the same batch.
        device: Where to compute.
        data: Identity of the images; a run is resumed only with the same.

    Attributes:
        net: What is trained.
        step: Steps done so far.

    Raises:
        ValueError: If the configuration asks for two kinds of weights, each alone.

    Source:
        Our choice. The paper's detector (CPN) is fine-tuned on its training images too, as is
        customary for lifting on Human3.6M, and frozen when the lifter is trained.
    """

    def __init__(
        self,
        net: BlazePose,
        before: BlazePose,
        config: LandmarkTrainConfig,
        draw: Callable[[int], LandmarkCrops],
        device: torch.device,
        data: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if config.visibilities_only + config.keypoints_only + config.presence_only > 1:
            raise ValueError(
                "expected one of visibilities_only, keypoints_only and presence_only at most"
            )
        torch.manual_seed(config.seed)
        self.config = config
        self.step = 0
        # What is frozen is in no state: it has to be that of the same start.
        start = {"start_sha256": net_sha256(net)}
        self._about = {"landmarks": asdict(config) | start, "data": dict(data)}
        self._draw = draw
        self._device = device
        self._before = before.to(device)
        self.net = copy.deepcopy(net).to(device)
        self.net.is_tuned = True
        self._is_refined = config.keypoints_only or config.refined
        if config.visibilities_only:
            _ask_for_visibilities(self.net)
        elif config.keypoints_only:
            (self.net.refiner or self.net.add_refiner()).requires_grad_(True)
        elif config.presence_only:
            (self.net.verifier or self.net.add_verifier()).requires_grad_(True)
        else:
            self.net.verifier = None  # it would be of features that were
            self._ask_for_all()
        self._probes = FeatureProbes().to(device)
        named = [(name, p) for name, p in self.net.named_parameters() if p.requires_grad]
        self._parameters: list[Tensor] = [p for _, p in named]
        self._optimizer = torch.optim.AdamW(
            [
                *({"params": p, "share": self._share(name, p)} for name, p in named),
                {"params": list(self._probes.parameters()), "share": _PROBE_SHARE},
            ],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self._average: list[Tensor] = [p.detach().clone() for p in self._parameters]

    def advance(self) -> LandmarkLosses:
        """Do one step.

        Raises:
            FloatingPointError: If the loss is not finite; the message shows its parts. Or if the
                gradient is not; the weights are those of before then.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = cosine_rate(self.step, self.config) * group["share"]
        batch = LandmarkCrops(*(part.to(self._device) for part in self._draw(self.step)))
        early = self.net.early_steps
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.bfloat16):
            with torch.no_grad():  # the first steps are the same in both
                begun = self._before.begin(batch.crops, early)
                some = {key: tensor[::KEPT_EVERY] for key, tensor in begun.items()}
                before = self._before.finish(some, early)
            seen = self.net.finish(begun, early)
        seen = replace(seen, features=[level.float() for level in seen.features])
        losses = landmark_loss(
            seen, before, batch, self.config.teacher_weight, is_refined=self._is_refined
        )
        loss = losses.total + self._probes(seen.features, batch)
        if not math.isfinite(loss.item()):
            parts = {name: part.item() for name, part in losses._asdict().items()}
            raise FloatingPointError(f"loss is not finite at step {self.step}: {parts}")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(self._parameters, self.config.clip, self.step)
        clip_gradients(list(self._probes.parameters()), math.inf, self.step)
        self._optimizer.step()
        self.step += 1
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            get_ema_multi_avg_fn(keep)(self._average, self._parameters, 0)
        return losses

    def _ask_for_all(self) -> None:
        """Let the whole net have gradients, but for its first steps.

        Down to stride 8 it stays as it is: half of its time goes there, and what edges and
        patches are was learnt on photographs, of which there are none here.
        """
        late = self.net.steps[self.net.early_steps :].requires_grad_(True)
        if self.config.fixed_filters:
            for layer in late.modules():
                if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                    layer.requires_grad_(False)
        if self.config.refined:
            (self.net.refiner or self.net.add_refiner()).requires_grad_(True)
        else:
            self.net.refiner = None

    def averaged(self) -> BlazePose:
        """Return a copy of the net with the averaged weights."""
        net = copy.deepcopy(self.net)
        trained = [p for p in net.parameters() if p.requires_grad]
        net.requires_grad_(False)
        with torch.no_grad():
            for parameter, value in zip(trained, self._average, strict=True):
                parameter.copy_(value)
        return net

    def save(self, folder: Path, metadata: dict[str, str]) -> None:
        """Write the averaged net, and all that `resume` needs.

        Args:
            folder: Exists; each file in it is replaced at once, never half-written.
            metadata: To store with the net.
        """
        save_backbone(folder / LANDMARKS_FILE, self.averaged(), metadata)
        tensors = {f"net.{i}": p.detach() for i, p in enumerate(self._parameters)}
        tensors |= {f"average.{i}": value for i, value in enumerate(self._average)}
        tensors |= {f"probes.{k}": v for k, v in self._probes.state_dict().items()}
        tensors |= optimizer_tensors(self._optimizer, self._optimized())
        write_state(folder, self.step, tensors, self._about)

    def resume(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            FileNotFoundError: If there is no state.
            ValueError: If it is of another schedule or other images, or began with another net;
                the message names what differs.
        """
        step, tensors = read_state(folder, self._about)
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(tensors[f"net.{i}"])
                self._average[i].copy_(tensors[f"average.{i}"])
        self._probes.load_state_dict(under("probes.", tensors))
        restore_optimizer(self._optimizer, self._optimized(), tensors)
        self.step = step

    def _share(self, name: str, parameter: Tensor) -> float:
        """Return a parameter's share of the rate: its root mean square; of a new head, all of it.

        New weights, with norms between them, bear ten times the rate of the net's.
        """
        if self.config.keypoints_only or self.config.presence_only:
            return 1.0
        if name.startswith("refiner."):
            return _NEW_SHARE
        return max(float(parameter.detach().square().mean().sqrt()), _LEAST_SIZE)

    def _optimized(self) -> list[Tensor]:
        """Return all that the optimiser moves, in its order."""
        return [p for group in self._optimizer.param_groups for p in group["params"]]


def _ask_for_visibilities(net: BlazePose) -> None:
    """Let only what gives the visibilities have gradients."""
    for parameter in net.landmark_head().requires_grad_(True).parameters():
        counts = torch.zeros(LANDMARKS, 5, device=parameter.device)
        counts[:, 3] = 1
        mask = counts.reshape(-1, *[1] * (parameter.ndim - 1))
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
