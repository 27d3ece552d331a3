"""Defaults of the benchmark."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class ProbeConfig:
    """Set what `probe`, the benchmark's camera and subscriber, sends and measures."""

    images: str = option("images.npy", "Images to send in turn, BGR uint8 [N, H, W, 3]")
    out: str = option("probe.json", "File to write at the end")
    rate: float = option(
        30.0, "Images per second; 0: each after the answer to the last [Hz]", low=0.0, high=1000.0
    )
    seconds: float = option(10.0, "How long to measure [s]", low=0.1)
    people: int = option(1, "Wait for a message with this many people before the warm-up", low=1)
    warm_up: float = option(2.0, "Time from that message to the measurement [s]", low=0.0)
    answers: int = option(3, "Measure at least this many answers, however long it takes", low=1)
    timeout: float = option(120.0, "Longest wait for the first answer, or for enough [s]", low=1.0)
    pid: int = option(0, "Process of the node, for its CPU time and memory; 0: unknown", low=0)
    started: float = option(0.0, "When it was started, wall clock; 0: unknown [s]", low=0.0)
