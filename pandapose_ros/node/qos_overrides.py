"""Check the QoS overrides of subscriptions: wrong values, and names that are not read."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, ReliabilityPolicy

# Policies that may be set to one of several names; the last, depth, is a number.
_CHOICES = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}
_POLICIES = (*_CHOICES, "depth")
OVERRIDDEN_POLICIES = tuple(QoSPolicyKind[name.upper()] for name in _POLICIES)


def override_names(topics: Iterable[str]) -> list[str]:
    """Return the names of the parameters that set the quality of service of subscriptions.

    Args:
        topics: Resolved names.
    """
    return [f"qos_overrides.{t}.subscription.{policy}" for t in topics for policy in _POLICIES]


def override_problems(overrides: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return which values are wrong, at which rclpy would stop in the middle of subscribing.

    Args:
        overrides: Values by name of parameter.
        names: Of the parameters that count.
    """
    problems = []
    for name in overrides.keys() & set(names):
        value, policy = overrides[name], name.rpartition(".")[2]
        if policy == "depth":
            is_good, wanted = type(value) is int and value >= 0, "a whole number from 0 on"
        else:
            choices = [key for key in _CHOICES[policy].short_keys() if key != "unknown"]
            is_good = isinstance(value, str) and value.lower() in choices
            wanted = f"one of {', '.join(choices)}"
        if not is_good:
            problems.append(f"parameter '{name}' must be {wanted}; got {value!r}")
    return sorted(problems)


def ignored_overrides(overrides: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return which names are not read, and what may be meant.

    Args:
        overrides: Values by name of parameter.
        names: Of the parameters that count.
    """
    known = list(names)
    lines = []
    for name in sorted(overrides.keys() - set(known)):
        close = difflib.get_close_matches(name, known, n=3)
        lines.append(f"parameter '{name}' is ignored; what is read: {', '.join(close or known)}")
    return lines
