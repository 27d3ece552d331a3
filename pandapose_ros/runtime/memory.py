"""How much memory the process and its device hold."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class DeviceMemory:
    """Hold the memory of a GPU, in bytes.

    Attributes:
        allocated: Held by this process' tensors.
        reserved: Held by this process' cache of PyTorch, the tensors' included.
        free: Of the whole device, whoever holds the rest.
        total: Of the whole device.
    """

    allocated: int
    reserved: int
    free: int
    total: int


def device_memory(device: torch.device) -> DeviceMemory | None:
    """Return what a device holds; None for a CPU, or for a GPU that no longer answers.

    Args:
        device: Where the networks run.
    """
    if device.type != "cuda" or not torch.cuda.is_available():
        return None
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError:  # after a CUDA error every call fails
        return None
    return DeviceMemory(
        allocated=torch.cuda.memory_allocated(device),
        reserved=torch.cuda.memory_reserved(device),
        free=free,
        total=total,
    )


def resident_memory() -> int | None:
    """Return the bytes of memory the process occupies; None if the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
