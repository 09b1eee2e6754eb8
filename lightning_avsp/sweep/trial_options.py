"""Options of ``lightning trial``; everything else goes to ``lightning fit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.folders import ARGUMENTS, RUNS, default_runs

DESCRIPTION = (
    "One trial of a sweep: finds or trains the weights that its configuration names by content, tests them, and "
    "writes RUNS/sweeps/SWEEP/<trial>/result.json. All other options are those of `lightning fit`; the last --config "
    "holds the trial's values as JSON, as ${args_json} gives them."
)


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Options of the trial itself, and the arguments of ``lightning fit``.

    Raises:
        InputError: If the sweep is not named or there is nothing to train.
    """
    parser = argparse.ArgumentParser(
        prog="lightning trial", description=DESCRIPTION, allow_abbrev=False, exit_on_error=False
    )
    parser.add_argument("--sweep", help="Name of the sweep: its file's name without .yaml.")
    parser.add_argument(
        "--runs", type=Path, default=default_runs(), help=f"Folder of all runs (default: ${RUNS} or runs)."
    )
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="Which weights are tested."
    )
    parser.epilog = f"${ARGUMENTS} holds options of this machine, e.g. '--data.root=/data'."
    try:
        options, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise InputError(f"lightning trial: {error}") from error
    if not options.sweep:
        raise InputError("lightning trial needs --sweep NAME, under which its result is kept")
    if not rest:
        raise InputError(
            "lightning trial needs the arguments of `lightning fit`, at least --config EXPERIMENT"
        )
    return options, rest
