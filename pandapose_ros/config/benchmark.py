"""Defaults of the benchmark."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class ProbeConfig:
    """Set what `probe`, camera and listener of the benchmark, sends and measures."""

    images: str = option("images.npy", "Images to send in turn, BGR uint8 [N, H, W, 3]")
    out: str = option("probe.json", "File to write at the end")
    rate: float = option(
        30.0, "Images per second; 0: the next when the last is answered [Hz]", low=0.0, high=1000.0
    )
    seconds: float = option(10.0, "How long to measure [s]", low=0.1)
    people: int = option(1, "So many seen is the first answer, if they are all found", low=1)
    warm_up: float = option(2.0, "Time from the first answer until then [s]", low=0.0)
    answers: int = option(3, "Least answers to measure, however long that takes", low=1)
    timeout: float = option(120.0, "Longest time to wait for the first or enough [s]", low=1.0)
    pid: int = option(0, "Process of the node, for its CPU time and memory; 0: unknown", low=0)
    started: float = option(0.0, "When that was started, wall clock; 0: unknown [s]", low=0.0)
