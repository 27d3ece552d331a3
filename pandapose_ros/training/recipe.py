"""Recipes of training: YAML files that hold only what differs from the defaults."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from pandapose_ros.config import LossConfig, ModelConfig, TrainConfig, TrainDataConfig


@dataclass(frozen=True)
class Recipe:
    """Hold all that decides what comes of a training.

    Attributes:
        model: The network; its dropout is that of `train`.
        train: Schedule and optimiser.
        loss: What is minimised.
        data: What is trained on.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: TrainDataConfig = field(default_factory=TrainDataConfig)


def read_recipe(path: Path | None, changes: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML with the sections model, train, loss and data; None: the defaults.
        changes: By section and key, what wins over the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no YAML, or a section, key or value is unknown or out of range; the
            message names it, and the nearest that is known.
    """
    stored = {} if path is None else _read_yaml(path)
    place = "the options" if path is None else str(path)
    sections = {part.name: type(getattr(Recipe(), part.name)) for part in fields(Recipe)}
    for name in (*stored, *changes):
        _check_known(name, sections, "section", place)
    parts = {}
    for name, kind in sections.items():
        given = stored.get(name) or {}
        if not isinstance(given, dict):
            raise ValueError(f"{place}: expected keys and values in '{name}', got {given!r}")
        parts[name] = _fill(kind, {**given, **changes.get(name, {})}, f"{place}: {name}")
    if "dropout" in (*(stored.get("model") or {}), *changes.get("model", {})):
        raise ValueError(f"{place}: model: set 'dropout' in 'train'")
    recipe = Recipe(**parts)
    return replace(recipe, model=replace(recipe.model, dropout=recipe.train.dropout))


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the sections of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"no recipe at {path}; there are some in config/train")
    try:
        stored = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(stored or {}, dict):
        raise ValueError(f"{path}: expected the sections model, train, loss, data; got {stored!r}")
    return stored or {}


def _check_known(name: object, known: Mapping[str, object], what: str, place: str) -> None:
    """Raise ValueError unless a name is known."""
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
        raise ValueError(
            f"{place}: unknown {what} '{name}'; did you mean '{near[0]}'? "
            f"There are {', '.join(known)}"
        )


def _fill(kind: type, values: Mapping[str, Any], place: str) -> Any:
    """Return the dataclass of a section with some values, checked."""
    hints, known = get_type_hints(kind), {option.name: option for option in fields(kind)}
    checked = {}
    for key, value in values.items():
        _check_known(key, known, "key", place)
        metadata = known[key].metadata
        allowed = get_args(hints[key]) if get_origin(hints[key]) is Literal else ()
        allowed = metadata.get("choices") or allowed
        checked[key] = _convert(value, type(known[key].default), f"{place}: '{key}'")
        low, high = metadata.get("low"), metadata.get("high")
        _check_range(checked[key], allowed, low, high, f"{place}: '{key}'")
    try:
        return kind(**checked)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _convert(value: Any, kind: type, place: str) -> Any:
    """Return a value from YAML as the type that is wanted."""
    if kind is tuple and isinstance(value, list) and value:
        return tuple(value)
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 4e-4 for a text
        except ValueError:
            pass
    elif type(value) is kind:
        return value
    raise ValueError(f"{place}: expected {kind.__name__}, got {value!r}")


def _check_range(
    value: Any, allowed: tuple[Any, ...], low: float | None, high: float | None, place: str
) -> None:
    """Raise ValueError unless a value is one of those allowed, and within its bounds."""
    if allowed and value not in allowed:
        raise ValueError(f"{place}: expected one of {', '.join(allowed)}, got {value}")
    # So written, NaN is out of range too.
    if not ((low is None or value >= low) and (high is None or value <= high)):
        end = "any" if high is None else high
        raise ValueError(f"{place}: expected {low} to {end}, got {value}")
