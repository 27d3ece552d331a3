"""Training in several processes, on one machine or several, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pandapose_ros.estimator import select_device

# The process, and how many there are, on all machines; which of this machine's devices.
_RANK, _COUNT, _LOCAL = "RANK", "WORLD_SIZE", "LOCAL_RANK"
# The others wait while process 0 makes the features of all images, which can take hours; NCCL
# would give up after ten minutes, gloo after thirty. `torchrun` ends them where one dies.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Share:
    """Say which part of every batch this process computes, and where.

    Attributes:
        rank: Number of the process, from 0; process 0 writes files.
        count: How many processes there are.
        device: Where this one computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def of(self, size: int) -> slice:
        """Return this process' part of a batch.

        Raises:
            ValueError: If the batch cannot be divided equally.
        """
        if size % self.count:
            raise ValueError(
                f"expected batches that {self.count} processes can share equally, got {size}"
            )
        part = size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, the same in each."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values / self.count

    def agree(self, flag: bool) -> bool:
        """Return what process 0 says."""
        if self.count == 1:
            return flag
        said = torch.tensor(float(flag), device=self.device)
        distributed.broadcast(said, src=0)
        return bool(said.item())

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean over all processes.

        Its batch normalisation is over the whole batch on CUDA. On CPU, where PyTorch has none
        such, each process normalises by its own part, and process 0 keeps the statistics.
        """
        if self.count == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        # Steps without images leave what looks at images without gradients.
        return DistributedDataParallel(module, find_unused_parameters=True)


@contextmanager
def shared_training(device: str) -> Iterator[Share]:
    """Join the other processes if `torchrun` started this one.

    Args:
        device: auto, cpu, cuda or cuda:N; of several processes each takes a CUDA device of its
            own.

    Raises:
        ValueError: If there is no such device.
    """
    count = int(os.environ.get(_COUNT, "1"))
    if count == 1:
        yield Share(device=select_device(device))
        return
    chosen = select_device(device)
    if chosen.type == "cuda":
        chosen = select_device(f"cuda:{os.environ.get(_LOCAL, '0')}")
        torch.cuda.set_device(chosen)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Share(int(os.environ[_RANK]), count, chosen)
    finally:
        distributed.destroy_process_group()
