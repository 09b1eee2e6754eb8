"""The points of `method: random`, drawn once and for all by the sweep's own content."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.parameters import Parameter, nest

if TYPE_CHECKING:
    from lightning_avsp.sweep.sweep_file import Sweep

TRIES = 100
"""Draws per wanted point before a search space counts as too small for `run_cap` different ones."""


def draw_points(sweep: Sweep, parameters: list[Parameter]) -> list[dict[str, Any]]:
    """``run_cap`` different points, always the same for the same file.

    Raises:
        InputError: Without ``run_cap``, or where a distribution is not drawn locally.
    """
    if sweep.run_cap is None:
        raise InputError(f"{sweep.path}: method: random never ends; give run_cap, the number of trials")
    seed = json.dumps([sweep.name, sweep.parameters], sort_keys=True, default=str)
    generator = random.Random(seed)  # seeded by text: the same on every machine and Python
    points: dict[str, dict[str, Any]] = {}
    for _ in range(TRIES * sweep.run_cap):
        values = [draw(parameter, generator, sweep) for parameter in parameters]
        point = nest([parameter.path for parameter in parameters], values)
        points.setdefault(json.dumps(point, sort_keys=True), point)
        if len(points) == sweep.run_cap:
            break
    return list(points.values())


def draw(parameter: Parameter, generator: random.Random, sweep: Sweep) -> Any:
    """One value of a parameter, by the definitions of W&B's documentation.

    Raises:
        InputError: For a distribution that is not drawn locally.
    """
    kind, given = parameter.distribution, parameter.settings
    if kind == "constant":
        return given["value"]
    if kind == "categorical":
        return generator.choice(given["values"])
    if kind == "categorical_w_probabilities":
        return generator.choices(given["values"], weights=given["probabilities"])[0]
    if kind == "int_uniform":
        return generator.randint(given["min"], given["max"])
    if kind in ("uniform", "q_uniform"):
        return _quantised(generator.uniform(given["min"], given["max"]), kind, given)
    if kind in ("log_uniform", "q_log_uniform"):  # bounds are exponents of e
        return _quantised(math.exp(generator.uniform(given["min"], given["max"])), kind, given)
    if kind in ("log_uniform_values", "q_log_uniform_values"):
        low, high = math.log(given["min"]), math.log(given["max"])
        return _quantised(math.exp(generator.uniform(low, high)), kind, given)
    if kind in ("normal", "q_normal", "log_normal", "q_log_normal"):
        value = generator.gauss(given.get("mu", 0.0), given.get("sigma", 1.0))
        return _quantised(math.exp(value) if "log" in kind else value, kind, given)
    raise InputError(
        f"{sweep.path}: {'.'.join(parameter.path)} is drawn from {kind}, which local workers do not draw; use another "
        "distribution, or `wandb sweep` and `wandb agent`"
    )


def _quantised(value: float, kind: str, given: dict[str, Any]) -> float:
    if not kind.startswith("q_"):
        return value
    step = given.get("q", 1.0)
    return round(value / step) * step
