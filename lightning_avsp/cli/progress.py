"""The progress bar of commands, on stderr, gone when the work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Call that advances a progress bar."""

    def __call__(self, done: int, total: int, description: str | None = None) -> None:
        """Show ``done`` of ``total`` and, if given, another description."""


@contextmanager
def show_progress(description: str) -> Iterator[Advance]:
    """Show a progress bar while the block runs; it is advanced by calling the value of the block."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(highlight=False, stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None)

        def advance(done: int, total: int, description: str | None = None) -> None:
            bar.update(task, completed=done, total=total, description=description)

        yield advance
