"""Measure the memory that training the lifter takes, in the paper's configuration.

python benchmark/training_memory.py --out benchmark/results/training_memory.json

On a GPU: the peak of a step of the whole batch. Without one: the bytes that autograd keeps from
the forward to the backward pass, at small batches, and from them what a sample takes; without
dropout, as only CUDA's attention does that without storing the attention maps.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.training.losses import training_loss

BATCH = 176  # the paper's
SMALL_BATCHES = (2, 4)
GIB = 2**30
J = 17


def random_batch(config: ModelConfig, batch: int, device: str) -> tuple[list[Tensor], ...]:
    """Draw features, keypoints and joints: sizes matter here, values do not."""
    features = [
        torch.rand(batch, c, config.crop_height // s, config.crop_width // s, device=device)
        for c, s in zip(config.level_channels, config.level_strides, strict=True)
    ]
    size = torch.tensor([config.crop_width, config.crop_height], device=device)
    keypoints = torch.rand(batch, J, 2, device=device) * size
    return features, [keypoints, torch.rand(batch, J, 3, device=device) - 0.5]


def forward(net: PandaPose, batch: int, device: str) -> Tensor:
    """Compute the loss of one random batch in bfloat16 where autocast allows."""
    features, (keypoints, joints) = random_batch(net.config, batch, device)
    with torch.autocast(device, torch.bfloat16):
        output = net.lift(features, keypoints)
    return training_loss(output, joints, keypoints, net.config).total


def kept_bytes(net: PandaPose, batch: int) -> int:
    """Count the bytes kept for the backward pass, each storage once, parameters not."""
    parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward(net, batch, "cpu")
    size = sum(kept.values())
    del loss  # until here it keeps all storages alive, so that no address comes twice
    return size


def measure_gpu(net: PandaPose) -> dict[str, float]:
    """Run a step of the whole batch and read the peak."""
    net.cuda()
    torch.cuda.reset_peak_memory_stats()
    forward(net, BATCH, "cuda").backward()
    return {"batch": BATCH, "peak_gib": torch.cuda.max_memory_allocated() / GIB}


def measure_cpu(net: PandaPose) -> dict[str, object]:
    """Count what is kept at small batches; the slope is what a sample takes."""
    kept = {batch: kept_bytes(net, batch) for batch in SMALL_BATCHES}
    first, last = SMALL_BATCHES[0], SMALL_BATCHES[-1]
    sample = (kept[last] - kept[first]) / (last - first)
    # One layer at a time samples its volume again in the backward pass.
    net.layers[0].get_submodule("image_attention").eval()
    again = (kept_bytes(net, first) - kept[first]) / first
    parameters = sum(p.numel() for p in net.parameters()) * 4
    fixed = kept[first] - first * sample + 4 * parameters  # with gradients and AdamW's state
    return {
        "kept_mib": {str(batch): round(size / 2**20, 1) for batch, size in kept.items()},
        "kept_per_sample_mib": round(sample / 2**20, 1),
        "sampled_again_per_sample_mib": round(again / 2**20, 1),
        f"extrapolated_gib_batch_{BATCH}": round((fixed + BATCH * (sample + again)) / GIB, 1),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    torch.manual_seed(0)
    on_gpu = torch.cuda.is_available()
    config = ModelConfig.paper() if on_gpu else replace(ModelConfig.paper(), dropout=0.0)
    net = PandaPose(config, nn.Identity()).train()
    result = {
        "what": "lifter, paper's configuration, forward and backward, bfloat16 autocast",
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {os.cpu_count()} cores",
        "torch": torch.__version__,
        **(measure_gpu(net) if on_gpu else measure_cpu(net)),
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
