"""Errors that a user can mend. The command line prints their message as one line and exits with code 2."""

from collections.abc import Iterable


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


class CorpusNotFoundError(InputError):
    """A corpus, list or video is not where the layout says it should be."""


class MissingDependencyError(AVSPError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
