import gc
import mmap

import torch

from pandapose_ros.runtime.memory import device_memory, resident_memory


def test_resident_memory_follows_what_is_held():
    gc.collect()
    before = resident_memory()
    # Mapped, not allocated: malloc may serve an array from memory that earlier tests have freed.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * len(held))
        grown = resident_memory() - before
    assert 50 << 20 < grown < 80 << 20


def test_memory_is_asked_of_gpus_only():
    assert device_memory(torch.device("cpu")) is None
    if not torch.cuda.is_available():
        # What does not answer is not known, and raises nothing.
        assert device_memory(torch.device("cuda")) is None
        return
    before = device_memory(torch.device("cuda"))
    held = torch.ones(64 << 18, device="cuda")
    after = device_memory(torch.device("cuda"))
    assert after.allocated - before.allocated == held.numel() * 4
    assert after.allocated <= after.reserved <= after.total - after.free
