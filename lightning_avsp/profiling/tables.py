"""Tables as rows of text, first row titles: on the terminal and in markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Rows = list[list[str]]


def print_table(title: str, rows: Rows, console: Console) -> None:
    """Print rows below their title, all columns but the first aligned to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if index else "left")
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


def markdown_table(title: str, rows: Rows) -> str:
    """Format rows as a section of a markdown document."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
