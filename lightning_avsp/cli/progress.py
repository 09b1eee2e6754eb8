"""Progress of long commands: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 20.0


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[..., None]]:
    """Show a bar on standard error, which disappears at the end, or print lines where that is no terminal.

    Yields:
        ``advance(done, total, description=None)``, which moves the bar, and renames it if asked.
    """
    console, printed = Console(stderr=True), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # rich prints nothing into a file before the end
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def advance(done: int, total: int, name: str | None = None) -> None:
            nonlocal printed
            bar.update(task, completed=done, total=total, description=name)
            if not console.is_terminal and time.monotonic() - printed >= SECONDS_BETWEEN_LINES:
                printed = time.monotonic()
                console.print(f"{name or description}: {done} of {total}", highlight=False, markup=False)

        yield advance


def split_names(text: str) -> tuple[str, ...]:
    """Split ``AVAD,ETMD`` at its commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
