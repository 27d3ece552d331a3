"""Series of times in few numbers."""

from collections.abc import Sequence

import numpy as np


def summarise(milliseconds: Sequence[float]) -> dict[str, float]:
    """Summarise a series of times, in the terms of ros2_benchmark, with percentiles.

    Args:
        milliseconds: One for each repetition.

    Returns:
        mean, min, max, p50, p95, p99 and jitter (standard deviation), ms, and repeats; only
        repeats if there were none.
    """
    if not len(milliseconds):
        return {"repeats": 0}
    times = np.asarray(milliseconds, float)
    values = {"mean": times.mean(), "min": times.min(), "max": times.max(), "jitter": times.std()}
    values |= {f"p{q}": np.percentile(times, q) for q in (50, 95, 99)}
    return {name: round(float(value), 3) for name, value in values.items()} | {
        "repeats": len(times)
    }
