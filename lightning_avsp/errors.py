"""Errors that a user can mend. The command line prints their message as one line and exits with code 2."""

from collections.abc import Iterable
from math import inf


class AVSPError(Exception):
    """A mistake in input or configuration: the message says what was wrong, both values, and what to do next."""


class InputError(AVSPError, ValueError):
    """A file, folder, checkpoint or setting that cannot be used as given."""


def require_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        InputError: Names the option, the value and the choices.
    """
    known = tuple(choices)
    if value not in known:
        raise InputError(f"{option}={value} is unknown: choose one of {', '.join(known)}")


# limits by position alone: an option may be called low or high
def require_range(low: float, high: float = inf, /, **values: float | None) -> None:
    """Refuse numbers below ``low`` or above ``high``; None passes.

    Raises:
        InputError: Names the option, its value and the limits.
    """
    for option, value in values.items():
        if value is not None and not low <= value <= high:
            limits = f"at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
            raise InputError(f"{option}={value} is out of range: give a number {limits}")


class CorpusNotFoundError(InputError):  # a class of its own: without the data a sweep can still be counted
    """A corpus, list or video is not where the layout says it should be."""


class MissingDependencyError(AVSPError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
