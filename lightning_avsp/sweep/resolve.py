"""The complete configuration of a training, as `lightning fit --print_config` would show it, building nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.tasks.experiment import Experiment

CONFIG_OPTIONS = ("--config", "-c")


@dataclass(frozen=True)
class TrialArguments:
    """Arguments of ``lightning fit``, taken apart."""

    base: tuple[str, ...]
    """All but the sweep's values."""
    overrides: dict[str, Any]
    """The sweep's values: the JSON of the last ``--config``; empty where that is a file of the user's."""

    @property
    def all(self) -> tuple[str, ...]:
        """Everything, the sweep's values last: they win."""
        return (*self.base, "--config", json.dumps(self.overrides)) if self.overrides else self.base


def split_arguments(arguments: Sequence[str], more: Sequence[str] = ()) -> TrialArguments:
    """Take the sweep's values out of the arguments of a trial.

    Args:
        arguments: What follows the options of ``lightning trial``.
        more: Options of the place where it runs, laid over the experiment and under the sweep's values.

    Raises:
        InputError: If the last ``--config`` begins as JSON and is none.
    """
    words = list(arguments)
    for position in range(len(words) - 1, -1, -1):
        name, equals, value = words[position].partition("=")
        if name not in CONFIG_OPTIONS or not (equals or position + 1 < len(words)):
            continue
        taken = 1 if equals else 2
        text = value if equals else words[position + 1]
        overrides = _overrides(text)
        if overrides is None:
            break
        rest = words[:position] + words[position + taken :]
        return TrialArguments((*rest, *more), overrides)
    return TrialArguments((*words, *more), {})


def _overrides(text: str) -> dict[str, Any] | None:
    """The values in ``${args_json}`` or in the file of ``${args_json_file}``; None for a configuration file."""
    if text.endswith(".json") and Path(text).is_file():
        text = Path(text).read_text()
    if not text.lstrip().startswith("{"):
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the last --config begins as JSON and is none: {error}; W&B's ${{args_json}} is"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"the last --config must hold the trial's values by name, got {text}")
    return content


@cache
def _resolved_text(arguments: tuple[str, ...]) -> str:
    return json.dumps(Experiment(arguments).values)


def resolve(arguments: Sequence[str]) -> dict[str, Any]:
    """Everything that ``lightning fit ARGUMENTS`` would use, as plain values.

    Raises:
        InputError: If an argument is not known or has a wrong type.
    """
    plain: dict[str, Any] = json.loads(_resolved_text(tuple(arguments)))
    return plain
