"""The option of trainings that limits their time."""

import argparse
import math


def add_time_limit(parser: argparse.ArgumentParser) -> None:
    """Declare `--minutes`."""
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=0.0,
        help="stop after this time; continue with --resume (0: no limit)",
    )


def _minutes(text: str) -> float:
    """Return a time that ends; of what is no number or below 0, a training would never stop."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected minutes, 0 for no limit; got '{text}'")
    return value
