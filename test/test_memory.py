import subprocess
import sys

import torch

from pandapose_ros.runtime.memory import device_memory

# In a process of its own: here, what earlier tests have left comes and goes meanwhile.
GROW = """
import mmap
from pandapose_ros.runtime.memory import resident_memory
before = resident_memory()
held = mmap.mmap(-1, 64 << 20)
for start in range(0, len(held), 4096):
    held[start] = 1
print(resident_memory() - before)
"""


def test_resident_memory_follows_what_is_held():
    grown = int(subprocess.check_output([sys.executable, "-c", GROW]))
    assert 60 << 20 < grown < 70 << 20


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
