"""ROS parameters, declared from the configuration dataclasses and from nothing else."""

import difflib
import math
import threading
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

Config = TypeVar("Config")

# rclpy itself declares and reads these, when it subscribes.
_QOS_PREFIX = "qos_overrides."
_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}


class Parameters:
    """Declare every field of some dataclasses and read them back as these dataclasses.

    rclpy ignores misspelt names in a YAML file, and stops with a stack trace at a wrong type.
    Both become a line in `problems` here, for the node to refuse to start with.
    """

    def __init__(self, node: Node, *config_types: type) -> None:
        """Declare the parameters.

        Args:
            node: The node to declare them on.
            config_types: Dataclasses of fields that `config.options.option` declared.
        """
        self._node = node
        self._cache: dict[type, Any] = {}
        self._age = 0
        self._lock = threading.Lock()
        # rclpy offers no public way to see what YAML files and the command line set.
        self._overrides = node._parameter_overrides
        self._choices: dict[str, tuple[str, ...]] = {}
        self._bounds: dict[str, tuple[float | None, float | None]] = {}
        self.problems: list[str] = []
        for config_type in config_types:
            for item in fields(config_type):
                self._declare(item)
        self._refuse_unknown()
        node.add_on_set_parameters_callback(self._refuse)
        # Humble has no callback after a change, so that nothing can be cached there.
        self._hears_changes = hasattr(node, "add_post_set_parameters_callback")
        if self._hears_changes:
            node.add_post_set_parameters_callback(self._forget)

    @property
    def qos_overrides(self) -> dict[str, Any]:
        """QoS overrides from YAML files and the command line, by name."""
        return {
            name: override.value
            for name, override in self._overrides.items()
            if name.startswith(_QOS_PREFIX)
        }

    def get(self, config_type: type[Config]) -> Config:
        """Return the parameters' current values as one of the declared dataclasses."""
        config = self._cache.get(config_type)
        if config is None:
            age = self._age
            names = [item.name for item in fields(config_type)]  # type: ignore[arg-type]
            config = config_type(
                **{n: _from_ros(self._node.get_parameter(n).value) for n in names}
            )
            # The worker reads while the executor sets: do not keep values from before a change.
            with self._lock:
                if self._hears_changes and age == self._age:
                    self._cache[config_type] = config
        return config

    def _forget(self, _parameters: list[Parameter]) -> None:
        with self._lock:
            self._age += 1
            self._cache.clear()

    def _declare(self, item: Field) -> None:
        if item.default is MISSING:
            raise TypeError(f"the option {item.name} needs a default to become a parameter")
        value = item.default
        override = self._overrides.get(item.name)
        if override is not None:
            try:
                value = _as_type(override.value, type(item.default))
            except TypeError as error:
                self.problems.append(f"parameter '{item.name}' {error}")
        if choices := item.metadata["choices"]:
            self._choices[item.name] = choices
            if value not in choices:
                self.problems.append(_not_a_choice(item.name, value, choices))
        bounds = self._bounds[item.name] = item.metadata["low"], item.metadata["high"]
        descriptor = _descriptor(item)
        try:
            self._node.declare_parameter(
                item.name, _to_ros(value), descriptor, ignore_override=True
            )
        except (InvalidParameterValueException, InvalidParameterTypeException):
            self.problems.append(_out_of_bounds(item.name, value, *bounds))
            self._node.declare_parameter(
                item.name, _to_ros(item.default), descriptor, ignore_override=True
            )

    def _refuse_unknown(self) -> None:
        # The declared ones include rclpy's own, such as use_sim_time.
        known = list(self._node.get_parameters_by_prefix(""))
        for name in self._overrides:
            if name in known or name.startswith(_QOS_PREFIX):
                continue
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            self.problems.append(f"unknown parameter '{name}'; {hint}")

    def _refuse(self, parameters: list[Parameter]) -> SetParametersResult:
        """Refuse NaN and infinity, which pass every range, and texts that are not choices.

        And what is just outside of its range: rclpy lets a millionth pass, the estimator does not.
        """
        for parameter in parameters:
            name, value, reason = parameter.name, parameter.value, ""
            if isinstance(value, float) and not math.isfinite(value):
                reason = f"{name} must be finite, got {value}"
            elif name in self._choices and value not in self._choices[name]:
                reason = _not_a_choice(name, value, self._choices[name])
            elif isinstance(value, float) and name in self._bounds:
                reason = _why_outside(name, value, *self._bounds[name])
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)


def read_parameters(node: Node, config_type: type[Config]) -> Config:
    """Declare the fields of a dataclass as parameters and return their values.

    Args:
        node: The node to declare them on.
        config_type: As of `Parameters`.

    Raises:
        ValueError: If one is misspelt or has a wrong value; the message names all of them.
    """
    parameters = Parameters(node, config_type)
    if parameters.problems:
        raise ValueError("; ".join(parameters.problems))
    return parameters.get(config_type)


def _to_ros(value: Any) -> Any:
    """Return a value as rclpy declares it; dataclasses hold tuples, rclpy lists."""
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _not_a_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    return f"parameter '{name}' must be one of {_words(choices)}; got '{value}'"


def _why_outside(name: str, value: float, low: float | None, high: float | None) -> str:
    is_outside = (low is not None and value < low) or (high is not None and value > high)
    return _out_of_bounds(name, value, low, high) if is_outside else ""


def _out_of_bounds(name: str, value: object, low: float | None, high: float | None) -> str:
    bounds = f"at least {low}" + (f" and at most {high}" if high is not None else "")
    return f"parameter '{name}' must be {bounds}, got {value}"


def _words(choices: tuple[str, ...]) -> str:
    return ", ".join(f"'{choice}'" for choice in choices)


def _as_type(value: Any, wanted: type) -> Any:
    """Return the value in the wanted type; YAML writes 1 for 1.0 and 0 for webcam '0'."""
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"must be finite, got {value}")
    if type(value) is wanted:
        return value
    if value is None and wanted is tuple:  # [] has no type in ROS
        return ("",)
    if type(value) is int and wanted in (float, str):
        return wanted(value)
    if wanted is tuple and isinstance(value, Sequence) and all(isinstance(v, str) for v in value):
        return (value,) if isinstance(value, str) else tuple(value)
    raise TypeError(f"must be {_TYPE_NAMES[wanted]}, got {value!r}")


def _descriptor(item: Field) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=item.metadata["doc"], read_only=not item.metadata["live"]
    )
    if choices := item.metadata["choices"]:
        descriptor.additional_constraints = f"one of {_words(choices)}"
    low, high = item.metadata["low"], item.metadata["high"]
    if low is None and high is None:
        return descriptor
    if isinstance(item.default, float):
        span = FloatingPointRange(
            from_value=float("-inf") if low is None else float(low),
            to_value=float("inf") if high is None else float(high),
        )
        descriptor.floating_point_range = [span]
    else:
        span = IntegerRange(
            from_value=-(2**31) if low is None else int(low),
            to_value=2**31 if high is None else int(high),
            step=1,
        )
        descriptor.integer_range = [span]
    return descriptor
