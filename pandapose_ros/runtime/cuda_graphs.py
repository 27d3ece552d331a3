"""Networks as CUDA graphs: recorded once for each of a few numbers of people, then replayed.

A replay is one call for the host instead of a thousand. A graph reads and writes the same memory
every time, so people are copied into it, and where they are fewer than it takes, the rest of it
is computed for nothing.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from pandapose_ros.runtime.device_faults import is_out_of_memory

SIZES = (1, 2, 4, 8, 16)
# Until kernels are loaded, convolutions chosen and tables made: none of these can be recorded.
_WARM_UPS = 3

Function = Callable[..., Tensor]


class FixedBatch:
    """Run a function for one number of people, from the same memory.

    Attributes:
        inputs: Where the function reads; to be written to.
        outputs: What `run` leaves, until it runs again.
    """

    outputs: Tensor

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        """Run nothing yet.

        Args:
            function: Of tensors [size, ...] to [size, ...]; a person's result must not depend
                on the others'.
            inputs: Kept as `inputs`.
        """
        self.inputs = list(inputs)
        self._function = function

    def run(self) -> None:
        """Compute the outputs of the present inputs."""
        self.outputs = self._function(*self.inputs)


class CapturedBatch(FixedBatch):
    """Do the same by replaying a CUDA graph."""

    def __init__(
        self, function: Function, inputs: Sequence[Tensor], stream: torch.cuda.Stream, pool: Any
    ) -> None:
        """Record the graph.

        Args:
            function: As for `FixedBatch`, and without any wait for the device in it.
            inputs: On a CUDA device.
            stream: To record on, not the one in use.
            pool: Memory that graphs share which never run at the same time.
        """
        self.inputs = list(inputs)
        self._graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(stream.device)
        stream.wait_stream(before)
        # The stream in use comes back with this context, even where a recording fails.
        with torch.cuda.device(stream.device), torch.cuda.stream(stream), _fastest_convolutions():
            for _ in range(_WARM_UPS):
                function(*self.inputs)
            # Other threads of a robot's process may use the GPU while this one records.
            with torch.cuda.graph(
                self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                self.outputs = function(*self.inputs)
        before.wait_stream(stream)

    def run(self) -> None:
        """Replay the graph on the present stream."""
        self._graph.replay()


class FixedBatches:
    """Run a function for any number of people in batches of `SIZES`: on CUDA as graphs.

    Not for two threads at a time.
    """

    def __init__(self, function: Function, one: Sequence[Tensor]) -> None:
        """Record nothing yet; each size is made when it is first needed.

        Args:
            function: As for `CapturedBatch`.
            one: Inputs of one person [1, ...], which tell shapes, types and device.
        """
        self._function = function
        self._one = list(one)
        self._batches: dict[int, FixedBatch] = {}
        self._pool: Any = None

    @property
    def captured(self) -> list[int]:
        """Return the sizes that are CUDA graphs by now."""
        batches = self._batches.items()
        return sorted(size for size, batch in batches if isinstance(batch, CapturedBatch))

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the results of people [B, ...], B at least 1, in memory of their own."""
        parts = [self._run([each[people] for each in inputs]) for people in _parts(len(inputs[0]))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the next greater batch."""
        people = len(inputs[0])
        batch = self._batch(padded_size(people))
        for kept, given in zip(batch.inputs, inputs, strict=True):
            kept[:people].copy_(given, non_blocking=True)
        batch.run()
        return batch.outputs[:people].clone()  # before the next run writes over it

    def _batch(self, size: int) -> FixedBatch:
        """Return the batch of a size, made if need be."""
        if size not in self._batches:
            inputs = [each.repeat(size, *(1 for _ in each.shape[1:])) for each in self._one]
            self._batches[size] = self._make(inputs)
        return self._batches[size]

    def _make(self, inputs: Sequence[Tensor]) -> FixedBatch:
        """Record a graph, or make a batch without where that cannot be."""
        if inputs[0].device.type != "cuda":
            return FixedBatch(self._function, inputs)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        stream = _recording_stream(inputs[0].device)
        try:
            return CapturedBatch(self._function, inputs, stream, self._pool)
        except RuntimeError as error:
            _end_recording(stream.device, self._pool)
            self._pool = None  # it may have been this graph's alone, and is gone then
            # The end of a failed recording fails too; what came first tells more.
            first = error.__context__ or error
            if is_out_of_memory(first):
                raise first from None
            reason = str(first).splitlines()[0]
            warnings.warn(f"no CUDA graph for {len(inputs[0])} people: {reason}", stacklevel=2)
            return FixedBatch(self._function, inputs)


def padded_size(people: int) -> int:
    """Return the least of `SIZES` that takes so many people, the greatest if none does."""
    return next((size for size in SIZES if size >= people), SIZES[-1])


def sizes_up_to(people: int) -> list[int]:
    """Return those of `SIZES` that are run for any number of people up to this."""
    return [size for size in SIZES if size <= padded_size(people)]


def _parts(people: int) -> Iterator[slice]:
    """Cut a number of people into parts that the greatest size takes."""
    for first in range(0, people, SIZES[-1]):
        yield slice(first, min(first + SIZES[-1], people))


@functools.cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream to record on: one for good, as cuBLAS keeps memory of each it was on."""
    return torch.cuda.Stream(device)


def _end_recording(device: torch.device, pool: tuple[int, int]) -> None:
    """Let go of what a failed recording wrote to, if it had got so far.

    Its end raises before that is done; PyTorch would then record nothing more in this process,
    nor give any memory back.
    """
    with suppress(RuntimeError):  # nothing is being recorded
        torch._C._cuda_endAllocateToPool(device.index, pool)
        torch._C._cuda_releasePool(device.index, pool)


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Have cuDNN try out its algorithms for the shapes that are run meanwhile."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
