"""Reads W&B sweep files strictly and lists their trials in W&B's own order, without a server."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.parameters import Parameter, flatten, nest, read_parameter
from lightning_avsp.sweep.randomly import draw_points

KEYS = frozenset(
    {
        *(
            "apiVersion",
            "kind",
            "controller",
            "description",
            "program",
            "job",
            "image_uri",
            "entity",
            "project",
        ),
        *("method", "command", "name", "run_cap", "metric", "metrics", "scheduler", "early_terminate"),
        "parameters",
    }
)
"""Keys that W&B's schema allows in a sweep file; any other is refused by W&B too."""
METRIC_KEYS = frozenset(["name", "goal", "target", "impute", "impute_while_running"])
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""What W&B runs where a file names no command."""
SERVER_ONLY = ("early_terminate", "scheduler", "controller", "job", "image_uri", "metrics")
"""Keys that need W&B's server: what they ask for cannot be done by local workers."""
NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Trial:
    """One point of a sweep."""

    id: str
    """First 12 digits of the SHA-256 of its overrides: the same wherever and in whatever order it is listed."""
    overrides: dict[str, Any]
    """What follows ``lightning fit``, nested as in a configuration file."""
    index: int
    """Place in W&B's order, from 0."""
    template: tuple[str, ...] = field(repr=False)
    """The command with W&B's macros."""
    program: str = field(repr=False)

    @cached_property
    def command(self) -> list[str]:
        """The command as ``wandb agent`` would run it, rendered by W&B's own functions."""
        from lightning_avsp.sweep.commands import render

        return render(self.template, self.program, self.overrides)


@dataclass(frozen=True)
class Sweep:
    """A sweep file that W&B accepts."""

    name: str
    """Name of the file without its ending."""
    path: Path
    method: str
    """``grid`` or ``random`` here; ``bayes`` and ``custom`` only with ``wandb agent``."""
    parameters: dict[str, Any]
    """As in the file."""
    command: tuple[str, ...]
    program: str
    run_cap: int | None
    """Most trials that are run, or None."""
    metric: dict[str, Any]
    """``name`` and ``goal``, or empty."""
    content: dict[str, Any] = field(repr=False)
    """The whole file."""


def load_sweep(path: Path | str) -> Sweep:
    """Read a sweep file.

    Raises:
        InputError: If it is no YAML, or W&B's schema would refuse it; the message names every fault.
    """
    path = Path(path)
    content = _read(path)
    faults = [f"unknown key '{key}'" for key in content if key not in KEYS]
    if "method" not in content:
        faults.append("no 'method'")
    elif content["method"] not in ("grid", "random", "bayes", "custom"):
        faults.append(f"method {content['method']!r} is none of grid, random, bayes, custom")
    faults += _command_faults(content) + _metric_faults(content)
    cap = content.get("run_cap")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        faults.append(f"run_cap must be a whole number from 1, got {cap!r}")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        faults.append("'parameters' must name at least one parameter")
    else:
        faults += [
            fault for name, given in parameters.items() for fault in read_parameter(str(name), given)[1]
        ]
    if not NAME.fullmatch(path.stem):
        faults.append(f"the file's name '{path.stem}' names a folder; use letters, digits, '_', '-' and '.'")
    if faults:
        raise InputError(f"{path} is no sweep that W&B accepts: {'; '.join(faults)}")
    return Sweep(
        name=path.stem,
        path=path,
        method=content["method"],
        parameters=content["parameters"],
        command=tuple(str(part) for part in content.get("command") or DEFAULT_COMMAND),
        program=str(content.get("program", "")),
        run_cap=cap,
        metric=content.get("metric") or {},
        content=content,
    )


def expand(sweep: Sweep) -> list[Trial]:
    """Every trial of a sweep, each once.

    ``grid`` lists the product of all values in the order of W&B's server: parameters by name, the last one changing
    fastest, values as in the file, up to ``run_cap``. ``random`` draws ``run_cap`` points from a generator that the
    sweep's name and parameters seed: every worker, everywhere, draws the same ones.

    Raises:
        InputError: If the sweep needs W&B's server: ``bayes``, ``custom``, early termination, schedulers.
    """
    asked = [key for key in SERVER_ONLY if key in sweep.content]
    if sweep.method not in ("grid", "random") or asked:
        what = f"method: {sweep.method}" if sweep.method not in ("grid", "random") else ", ".join(asked)
        raise InputError(
            f"{sweep.path}: {what} decides on later trials by the results of earlier ones, which only W&B's server "
            f"does: `wandb sweep {sweep.path}`, then `wandb agent` with what it prints; grid and random run locally"
        )
    parameters = flatten(sweep.parameters)
    points = _grid(sweep, parameters) if sweep.method == "grid" else draw_points(sweep, parameters)
    trials: dict[str, Trial] = {}
    for overrides in points:
        identity = trial_id(overrides)
        trials.setdefault(identity, Trial(identity, overrides, len(trials), sweep.command, sweep.program))
    return list(trials.values())


def trial_id(overrides: dict[str, Any]) -> str:
    """Name of a trial by its content: 12 hexadecimal digits."""
    return hashlib.sha256(canonical_json(overrides).encode()).hexdigest()[:12]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys in which 3.0 and 3 are one: a server may turn the one into the other."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value


def _grid(sweep: Sweep, parameters: list[Parameter]) -> list[dict[str, Any]]:
    endless = [".".join(p.path) for p in parameters if p.grid() is None]
    if endless:
        raise InputError(
            f"{sweep.path}: method: grid needs listed values, but {', '.join(endless)} is drawn from a distribution; "
            "list values, or use method: random"
        )
    names = [parameter.path for parameter in parameters]
    combinations = product(*(parameter.grid() or [] for parameter in parameters))
    return [nest(names, values) for values in islice(combinations, sweep.run_cap)]


def _read(path: Path) -> dict[str, Any]:
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
    return content


def _command_faults(content: dict[str, Any]) -> list[str]:
    faults = []
    command = content.get("command")
    if command is not None and not (isinstance(command, list) and command):
        faults.append(f"command must be a list, got {command!r}")
    texts = ("program", "name", "description", "project", "entity")
    faults += [
        f"{key} must be text, got {content[key]!r}"
        for key in texts
        if key in content and not isinstance(content[key], str)
    ]
    parts = command if isinstance(command, list) and command else DEFAULT_COMMAND
    if "${program}" in parts and not content.get("program"):
        faults.append("the command uses ${program}, but there is no 'program'")
    inside = [
        part for part in parts if isinstance(part, str) and re.search(r".\$\{args|\$\{args\w*\}.", part)
    ]
    faults += [
        f"W&B fills a macro only where it is a whole element; it would leave {part!r}" for part in inside
    ]
    return faults


def _metric_faults(content: dict[str, Any]) -> list[str]:
    metric = content.get("metric")
    if metric is None:
        return []
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        return [f"metric needs a name, got {metric!r}"]
    faults = [f"metric has the unknown key '{key}'" for key in metric if key not in METRIC_KEYS]
    if metric.get("goal", "minimize") not in ("minimize", "maximize"):
        faults.append(f"metric.goal {metric['goal']!r} is none of minimize, maximize")
    return faults
