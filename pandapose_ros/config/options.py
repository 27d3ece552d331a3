"""How an option of a configuration is declared: its default, what it means, its bounds."""

from dataclasses import field, fields
from typing import Any


def option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare one field of a frozen dataclass.

    Args:
        default: Its default, whose type is the parameter's.
        doc: What it means, in a few words, with the unit in brackets if there is one.
        low: Minimum.
        high: Maximum.
        choices: Allowed texts; empty: any.
        live: Whether it may change while the node runs; takes effect with the next image.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    return field(default=default, metadata=metadata)


def check_options(config: Any) -> None:
    """Raise ValueError if a field of a configuration is out of its bounds.

    Args:
        config: Instance of a dataclass of fields that `option` declared.
    """
    for item in fields(config):
        value = getattr(config, item.name)
        low, high = item.metadata["low"], item.metadata["high"]
        choices = item.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"{item.name} must be one of {', '.join(choices)}, got '{value}'")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (
                high is not None
            )
            raise ValueError(f"{item.name} must be {' and '.join(bounds)}, got {value}")
