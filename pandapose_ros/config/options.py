"""How an option of a configuration is declared: its default, what it means, its bounds."""

from dataclasses import field
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
        doc: One line, with the unit in brackets if there is one.
        low: Minimum.
        high: Maximum.
        choices: The texts allowed; empty: any.
        live: Whether it may change while the node runs; takes effect with the next frame.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    return field(default=default, metadata=metadata)
