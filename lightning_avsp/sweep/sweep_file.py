"""W&B sweep files, read strictly, and the trials of their grids in W&B's own order, without a server."""

from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError

KEYS = {
    *("apiVersion", "kind", "controller", "description", "program", "job", "image_uri", "entity", "project"),
    *("method", "command", "name", "run_cap", "metric", "metrics", "scheduler", "early_terminate"),
    *("parameters",),
}
"""Keys of a sweep file in W&B's schema, which refuses any other."""
# decided by a server while trials run: without one another search than the file's would be run
SERVER_ONLY = ("early_terminate", "scheduler", "controller", "job", "image_uri", "metrics")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""W&B's command for a file without one."""
NAME = re.compile(r"[A-Za-z0-9_.-]+")  # becomes a folder below runs/sweeps
REPEATED = {("seed_everything",), ("data", "split"), ("data", "corpora"), ("data", "root"), ("init_from",)}
"""Parameters that repeat a row of a table; all others make rows."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a grid."""

    path: tuple[str, ...]
    """Its name below the names of its groups."""
    values: tuple[Any, ...]
    """At least one; a constant has one."""

    @property
    def makes_rows(self) -> bool:
        """True where its values are rows of a table, false where they repeat a row or there is only one."""
        # the same network on other videos or from another seed
        if len(self.values) == 1 or self.path in REPEATED:
            return False
        # data as one value repeats a row, unless it changes more than the videos
        return self.path != ("data",) or any(
            set(value) - {"split", "corpora", "root"} for value in self.values
        )


@dataclass(frozen=True)
class Trial:
    """One point of a sweep."""

    id: str
    """First 12 digits of the SHA-256 of its values."""
    overrides: dict[str, Any]
    """Its values, nested as in a configuration file."""
    row: int | None
    """Row of its table, from 0; None for a trial that is in no sweep file."""
    label: str
    """The values that make it this row, in short."""
    command: tuple[str, ...] = field(repr=False)
    """The words that ``wandb agent`` would run."""


@dataclass(frozen=True)
class Sweep:
    """A sweep file that W&B accepts."""

    path: Path
    content: dict[str, Any] = field(repr=False)
    """The whole file."""

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem

    def row_count(self) -> int:
        """Count the rows of its table."""
        return prod(len(p.values) for p in flatten(self.content["parameters"])[0] if p.makes_rows)


def load_sweep(path: Path | str) -> Sweep:
    """Read a sweep file.

    Raises:
        InputError: If it is no YAML, or W&B's schema would refuse it; the message names every fault.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(
            f"no sweep file at {path}: {error.strerror}; those of the papers are in sweeps/"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no keys; a sweep has at least method and parameters")
    faults = _faults(content)
    if not NAME.fullmatch(path.stem):
        faults.append(f"the file's name '{path.stem}' names a folder; use letters, digits, '_', '-' and '.'")
    if faults:
        raise InputError(f"{path} is no sweep that W&B accepts: {'; '.join(faults)}")
    return Sweep(path, content)


def expand(sweep: Sweep) -> list[Trial]:
    """List every trial of a grid, each once: parameters by name, the last one changing fastest, up to ``run_cap``.

    Raises:
        InputError: If the sweep is no grid, or its command has a macro of the agent's own: both need W&B's server.
    """
    asked = [key for key in SERVER_ONLY if key in sweep.content]
    parameters, drawn = flatten(sweep.content["parameters"])
    method = sweep.content["method"]
    # random draws of our own would be another search than W&B's of the same file
    if method != "grid" or asked or drawn:
        reason = f"method: {method}" if method != "grid" else ", ".join(asked or drawn)
        raise InputError(
            f"{sweep.path}: {reason} needs W&B's server: `wandb sweep {sweep.path}`, then `wandb agent`; grids of "
            "listed values run without it"
        )
    trials: dict[str, Trial] = {}
    for values in islice(product(*(enumerate(p.values) for p in parameters)), sweep.content.get("run_cap")):
        overrides: dict[str, Any] = {}
        row, words = 0, []
        for parameter, (index, value) in zip(parameters, values, strict=True):
            group = overrides
            for name in parameter.path[:-1]:
                group = group.setdefault(name, {})
            # one value of the file stands in many trials
            group[parameter.path[-1]] = deepcopy(value)
            if parameter.makes_rows:
                row = row * len(parameter.values) + index
                words += short_words(parameter.path[-1], value)
        identity, label = content_name(overrides), ",".join(words) or "all"
        trial = Trial(identity, overrides, row, label, _command(sweep, overrides))
        # 3 and 3.0 are one training, though W&B lists both
        trials.setdefault(identity, trial)
    return list(trials.values())


def _command(sweep: Sweep, overrides: dict[str, Any]) -> tuple[str, ...]:
    """Fill the macros of a sweep's command."""
    filled = {
        "${env}": "/usr/bin/env",
        "${interpreter}": "python",
        "${program}": str(sweep.content.get("program", "")),
        "${args_json}": json.dumps(overrides),
    }
    words = [str(part) for part in sweep.content.get("command") or DEFAULT_COMMAND]
    unknown = [word for word in words if word.startswith("${") and word not in filled]
    if unknown:
        raise InputError(
            f"the macro {unknown[0]} of a sweep's command is filled by W&B's agent alone; use ${{args_json}}: "
            'command: ["${env}", "${program}", trial, ..., --config, "${args_json}"]'
        )
    return tuple(filled.get(word, word) for word in words)


def flatten(parameters: dict[str, Any], above: tuple[str, ...] = ()) -> tuple[list[Parameter], list[str]]:
    """Take the parameters of a checked file out of their groups, by name at every level.

    Returns:
        (parameters with listed values, names of those that are drawn from a distribution).
    """
    listed: list[Parameter] = []
    drawn: list[str] = []
    for name, given in sorted(parameters.items(), key=lambda item: str(item[0])):
        path = (*above, str(name))
        if "parameters" in given:
            inner = flatten(given["parameters"], path)
            listed, drawn = listed + inner[0], drawn + inner[1]
        # with probabilities W&B draws the values instead of listing them
        elif "value" in given or ("values" in given and "probabilities" not in given):
            listed.append(Parameter(path, tuple(given["values"]) if "values" in given else (given["value"],)))
        else:
            drawn.append(".".join(path))
    return listed, drawn


def content_name(content: Any) -> str:
    """Name plain values: the first 12 hexadecimal digits of the SHA-256 of their canonical JSON."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys in which 3.0 and 3 are one: a server may turn the one into the other."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _whole(value: Any) -> Any:
    # JSON of a server may bring 3.0 back as 3
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value


def short_words(name: str, value: Any) -> list[str]:
    """List the leaves of a value as ``name=value``, without the names of groups."""
    if not isinstance(value, dict) or not value:
        return [f"{name}={str(value).rpartition('.')[2] if name == 'class_path' else value}"]
    words = [word for key, inner in value.items() for word in short_words(key, inner)]
    return [word.replace("class_path=", "") for word in words]


def _faults(content: dict[str, Any]) -> list[str]:
    """List everything in a sweep file that W&B's schema refuses."""
    faults = [f"unknown key '{key}'" for key in content if key not in KEYS]
    method = content.get("method")
    if method not in ("grid", "random", "bayes", "custom"):
        faults.append(
            f"method {method!r} is none of grid, random, bayes, custom" if method else "no 'method'"
        )
    command = content.get("command")
    if command is not None and not (isinstance(command, list) and command):
        faults.append(f"command must be a list, got {command!r}")
    parts = command if isinstance(command, list) and command else DEFAULT_COMMAND
    if "${program}" in parts and not content.get("program"):
        faults.append("the command uses ${program}, but there is no 'program'")
    inside = [p for p in parts if isinstance(p, str) and re.search(r".\$\{args|\$\{args\w*\}.", p)]
    faults += [f"W&B fills a macro only where it is a whole element; it would leave {p!r}" for p in inside]
    cap = content.get("run_cap")
    # True is an int to Python
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        faults.append(f"run_cap must be a whole number from 1, got {cap!r}")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        return [*faults, "'parameters' must name at least one parameter"]
    return faults + [
        fault for name, given in parameters.items() for fault in _parameter_faults(str(name), given)
    ]


def _parameter_faults(label: str, given: Any) -> list[str]:
    # the last part alone: dots before it are our own path to it
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", label.rpartition(".")[2] or label):
        return [f"parameter name {label!r} has signs that W&B refuses"]
    if not isinstance(given, dict):
        return [f"parameter {label} must be given as value:, values:, or a distribution, got {given!r}"]
    if "parameters" in given:
        inner = given["parameters"]
        if len(given) > 1 or not isinstance(inner, dict) or not inner:
            return [f"group {label} must hold `parameters` alone, with at least one, got {given!r}"]
        return [
            fault for name, value in inner.items() for fault in _parameter_faults(f"{label}.{name}", value)
        ]
    if "values" in given and not (isinstance(given["values"], list) and given["values"]):
        return [f"parameter {label}: values must be a list with at least one value"]
    known = {"distribution", "value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "a", "b"}
    if not given.keys() & {"value", "values", "min", "distribution"} or given.keys() - known:
        return [f"parameter {label} has no value, values or distribution that W&B knows: {given!r}"]
    return []
