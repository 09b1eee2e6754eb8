"""Commands of trials, rendered by the functions that `wandb agent` itself uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_avsp.errors import InputError, MissingDependencyError


def render(template: Sequence[str], program: str, overrides: dict[str, Any]) -> list[str]:
    """The command of one trial.

    Args:
        template: Words, some of which are W&B's macros (``${env}``, ``${program}``, ``${args_json}``, ...).
        program: What ``${program}`` stands for.
        overrides: The trial's values, nested.

    Raises:
        InputError: If a macro is not known, which W&B would leave out without a word, or needs a file that W&B's
            agent writes.
    """
    try:
        from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args
    except ImportError as error:
        raise MissingDependencyError(
            "sweeps are rendered by wandb's own functions, and this wandb has none: `pip install 'wandb>=0.18'`"
        ) from error
    fillings: dict[str, Any] = create_sweep_command_args(
        {"args": {k: {"value": v} for k, v in overrides.items()}}
    )
    fillings |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [program]}
    words: list[str] = []
    for part in create_sweep_command(
        list(template)
    ):  # a list of its own: W&B fills environment macros in place
        text = str(part)
        if not (text.startswith("${") and text.endswith("}")):
            words.append(text)
        elif text[2:-1] in fillings:
            words += [str(word) for word in fillings[text[2:-1]]]
        else:
            raise InputError(
                f"the macro {text} cannot be filled by local workers; use ${{args_json}}: "
                'command: ["${env}", "${program}", trial, ..., --config, "${args_json}"]'
            )
    return words
