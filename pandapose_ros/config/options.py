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
        default: Its default; the type of it is the type of the parameter.
        doc: One line, with the unit in brackets if there is one.
        low: Least value allowed.
        high: Greatest value allowed.
        choices: The texts allowed; none: any.
        live: Whether it may change while the node runs; read at the next frame.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    return field(default=default, metadata=metadata)
