"""Errors that a user can mend. The command line prints their message as one line and exits with code 2."""


class AVSPError(Exception):
    """A mistake in input or configuration: the message says what was wrong, both values, and what to do next."""


class InputError(AVSPError, ValueError):
    """A file, folder, checkpoint or setting that cannot be used as given."""


class CorpusNotFoundError(InputError):
    """A corpus, list or video is not where the layout says it should be."""


class MissingDependencyError(AVSPError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
