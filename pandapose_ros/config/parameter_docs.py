"""The parameters' reference page, written from the configuration dataclasses."""

import math
from dataclasses import Field, fields

from pandapose_ros.config import (
    EstimatorConfig,
    NodeConfig,
    PictureConfig,
    VideoCameraConfig,
    ViewerConfig,
    WorldConfig,
)

_NODES = {
    "pose_node": (EstimatorConfig, NodeConfig, WorldConfig, PictureConfig),
    "video_camera": (VideoCameraConfig,),
    "viewer": (ViewerConfig,),
}
_ROS_TYPES = {bool: "bool", int: "integer", float: "double", str: "string", tuple: "string array"}
_HEAD = """# Parameters

Written by `pandapose parameters --out docs/parameters.md` from `pandapose_ros/config/`; do not
edit. A *live* parameter may be changed while the node runs and takes effect with the next image;
the others are read-only. `ros2 param describe NODE NAME` tells the same.
"""
_COLUMNS = ("name", "type", "default", "range", "live", "meaning")


def parameters_page() -> str:
    """Return Markdown with a table of the parameters of each node."""
    return "\n".join([_HEAD, *(_section(name, configs) for name, configs in _NODES.items())])


def _section(node: str, configs: tuple[type, ...]) -> str:
    """Return one node's heading and table."""
    rows = [_row(item) for config in configs for item in fields(config)]
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {node}\n\n{table}\n"


def _row(item: Field) -> tuple[str, ...]:
    default, metadata = item.default, item.metadata
    return (
        f"`{item.name}`",
        _ROS_TYPES[type(default)],
        f"`{_literal(default)}`",
        _one_of(metadata["choices"]) or _range(metadata["low"], metadata["high"]),
        "live" if metadata["live"] else "",
        metadata["doc"].replace("|", "\\|"),
    )


def _literal(value: object) -> str:
    """Write a value as YAML does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _one_of(choices: tuple[str, ...]) -> str:
    """List the texts allowed; empty if any is."""
    return ", ".join(f"`{_literal(choice)}`" for choice in choices)


def _range(low: float | None, high: float | None) -> str:
    """Write inclusive bounds; empty if there are none."""
    lower, upper = (None if v is None or math.isinf(v) else f"{v:g}" for v in (low, high))
    if lower is not None and upper is not None:
        return f"{lower} to {upper}"
    if lower is not None:
        return f"at least {lower}"
    return f"at most {upper}" if upper is not None else ""
