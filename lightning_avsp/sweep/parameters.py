"""Parameters of a sweep file: constants, lists of values, distributions, and groups of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""Names that W&B accepts."""
ALLOWED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "constant": (frozenset({"value"}), frozenset()),
    "categorical": (frozenset({"values"}), frozenset()),
    "categorical_w_probabilities": (frozenset({"values", "probabilities"}), frozenset()),
    "int_uniform": (frozenset({"min", "max"}), frozenset()),
    "uniform": (frozenset({"min", "max"}), frozenset()),
    "q_uniform": (frozenset({"min", "max"}), frozenset({"q"})),
    "log_uniform": (frozenset({"min", "max"}), frozenset()),
    "log_uniform_values": (frozenset({"min", "max"}), frozenset()),
    "q_log_uniform": (frozenset({"min", "max"}), frozenset({"q"})),
    "q_log_uniform_values": (frozenset({"min", "max"}), frozenset({"q"})),
    "inv_log_uniform": (frozenset({"min", "max"}), frozenset()),
    "inv_log_uniform_values": (frozenset({"min", "max"}), frozenset()),
    "normal": (frozenset(), frozenset({"mu", "sigma"})),
    "q_normal": (frozenset(), frozenset({"mu", "sigma", "q"})),
    "log_normal": (frozenset(), frozenset({"mu", "sigma"})),
    "q_log_normal": (frozenset(), frozenset({"mu", "sigma", "q"})),
    "beta": (frozenset(), frozenset({"a", "b"})),
    "q_beta": (frozenset(), frozenset({"a", "b", "q"})),
}
"""Distributions of W&B's schema with the keys that each needs and may have."""


@dataclass(frozen=True)
class Parameter:
    """One parameter that is no group."""

    path: tuple[str, ...]
    """Its name below the names of its groups."""
    distribution: str
    """A key of `ALLOWED`."""
    settings: dict[str, Any]
    """The rest of its entry."""

    def grid(self) -> list[Any] | None:
        """Every value, or None for a distribution that has no end of them."""
        settings = self.settings
        if self.distribution == "constant":
            return [settings["value"]]
        if self.distribution == "categorical":
            return list(settings["values"])
        if self.distribution == "int_uniform":
            return list(range(settings["min"], settings["max"] + 1))
        return None


def read_parameter(name: str, given: Any, above: tuple[str, ...] = ()) -> tuple[list[Parameter], list[str]]:
    """The parameters in an entry of a sweep file, and what is wrong with it.

    Args:
        name: Its key.
        given: What follows it.
        above: Names of the groups that it is in.

    Returns:
        (parameters in W&B's order, faults); a group gives those of its members.
    """
    path = (*above, name)
    label = ".".join(path)
    if not NAME.fullmatch(name):
        return [], [f"parameter name {label!r} has signs that W&B refuses"]
    if not isinstance(given, dict):
        return [], [f"parameter {label} must be given as value:, values:, or a distribution, got {given!r}"]
    if "parameters" in given:
        return _read_group(path, label, given)
    distribution = given.get("distribution") or _implied(given)
    if distribution not in ALLOWED:
        return [], [f"parameter {label} has no distribution that W&B knows: {given!r}"]
    settings = {key: value for key, value in given.items() if key != "distribution"}
    needed, optional = ALLOWED[distribution]
    faults = [f"parameter {label} lacks '{key}'" for key in sorted(needed - settings.keys())]
    faults += [
        f"parameter {label} has the unknown key '{key}'" for key in settings if key not in needed | optional
    ]
    if not faults:
        faults += _value_faults(label, distribution, settings)
    return ([] if faults else [Parameter(path, distribution, settings)]), faults


def _read_group(
    path: tuple[str, ...], label: str, given: dict[str, Any]
) -> tuple[list[Parameter], list[str]]:
    inner = given["parameters"]
    extra = [f"group {label} has the unknown key '{key}'" for key in given if key != "parameters"]
    if not isinstance(inner, dict) or not inner:
        return [], [*extra, f"group {label} holds no parameters"]
    found = [read_parameter(str(key), inner[key], path) for key in sorted(inner, key=str)]
    return [p for parameters, _ in found for p in parameters], [
        *extra,
        *(fault for _, faults in found for fault in faults),
    ]


def _implied(given: dict[str, Any]) -> str | None:
    """The distribution of an entry that names none, as W&B finds it."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    if "min" in given and "max" in given:
        whole = all(isinstance(given[key], int) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return None


def _value_faults(label: str, distribution: str, settings: dict[str, Any]) -> list[str]:
    if "values" in settings and not (isinstance(settings["values"], list) and settings["values"]):
        return [f"parameter {label}: values must be a list with at least one value"]
    if distribution == "categorical_w_probabilities":
        chances = settings["probabilities"]
        if not isinstance(chances, list) or len(chances) != len(settings["values"]):
            return [f"parameter {label}: as many probabilities as values are needed"]
        if any(not _is_number(p) or p < 0 for p in chances) or abs(sum(chances) - 1) > 1e-6:
            return [f"parameter {label}: probabilities {chances} must not be negative and must sum to 1"]
    numbers = {
        key: value for key, value in settings.items() if key in ("min", "max", "q", "mu", "sigma", "a", "b")
    }
    wrong = [
        f"parameter {label}: {key}={value!r} is no number"
        for key, value in numbers.items()
        if not _is_number(value)
    ]
    if wrong:
        return wrong
    if distribution == "int_uniform" and not all(isinstance(settings[key], int) for key in ("min", "max")):
        return [f"parameter {label}: int_uniform needs whole numbers as min and max"]
    if "min" in settings and settings["min"] >= settings["max"]:
        return [f"parameter {label}: min {settings['min']} is not less than max {settings['max']}"]
    if distribution.endswith("_values") and settings["min"] <= 0:
        return [f"parameter {label}: {distribution} needs a positive min, got {settings['min']}"]
    if settings.get("q", 1) <= 0 or settings.get("sigma", 0) < 0:
        return [f"parameter {label}: q must be positive and sigma not negative"]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def flatten(parameters: dict[str, Any]) -> list[Parameter]:
    """All parameters of a checked file in W&B's order: by name at every level."""
    return [p for name in sorted(parameters, key=str) for p in read_parameter(str(name), parameters[name])[0]]


def nest(paths: Sequence[tuple[str, ...]], values: Sequence[Any]) -> dict[str, Any]:
    """Values under their names, groups as dictionaries: the shape of ``${args_json}``."""
    result: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        place = result
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = deepcopy(value)
    return result
