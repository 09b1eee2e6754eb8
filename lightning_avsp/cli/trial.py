"""`lightning trial`: one trial of a sweep; its arguments are those of `lightning fit`."""

from __future__ import annotations

from collections.abc import Sequence


def trial(arguments: Sequence[str]) -> None:
    """Train or find the weights of one trial, test them, and write its result.

    Args:
        arguments: Everything after ``lightning trial``.
    """
    from lightning_avsp.sweep.trial_options import read_options

    read_options(arguments)  # --help and mistakes are answered before torch is imported
    from lightning_avsp.sweep.trial import run_trial

    run_trial(arguments)
