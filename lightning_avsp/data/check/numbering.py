"""What a folder of numbered files holds: numbers, gaps, and names that stand for one number twice."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from lightning_avsp.data.numbered import NumberedFiles

#: The field of a format string; braces that belong to the name are doubled.
_FIELD = re.compile(r"((?<!\{)\{(?::[^{}]*)?\}(?!\}))")


@dataclass(frozen=True)
class Numbering:
    """Contents of one folder of numbered files."""

    files: NumberedFiles
    exists: bool
    """Whether the folder is there."""
    numbers: frozenset[int]
    """Numbers whose file has the layout's name."""
    doubles: tuple[Path, ...] = field(default=())
    """Files of another name for a number that is there."""

    @property
    def last(self) -> int:
        """Largest number; 0 for none."""
        return max(self.numbers, default=0)


def scan(files: NumberedFiles) -> Numbering:
    """Read a folder once."""
    if not files.folder.is_dir():
        return Numbering(files, False, frozenset())
    with os.scandir(files.folder) as entries:
        names = {entry.name for entry in entries}
    parsed = _expression(files.pattern)
    found: dict[str, int] = {}
    for name in names:
        match = parsed.fullmatch(name)
        if match:
            found[name] = int(match["number"]) - files.first + 1
    canonical = {number: Path(files.path(number)).name for number in set(found.values())}
    numbers = frozenset(number for name, number in found.items() if number > 0 and name == canonical[number])
    doubles = sorted(
        name for name, number in found.items() if number in numbers and name != canonical[number]
    )
    return Numbering(files, True, numbers, tuple(files.folder / name for name in doubles))


def _expression(pattern: str) -> re.Pattern[str]:
    """``img_{:05d}.jpg`` as an expression that takes any padding, case and picture suffix."""
    before, _, after = (
        part.replace("{{", "{").replace("}}", "}") for part in _FIELD.split(pattern, maxsplit=1)
    )
    stem = after.rsplit(".", 1)[0] if "." in after else after
    suffix = after.rsplit(".", 1)[-1].lower()
    suffixes = "mat" if suffix == "mat" else "jpg|jpeg|png|bmp"
    return re.compile(
        f"{re.escape(before)}(?P<number>[0-9]+){re.escape(stem)}\\.({suffixes})", flags=re.IGNORECASE
    )


def film_numbering(film: Path, frames: int) -> Numbering:
    """A film as if it were a folder of its frames."""
    name = film.name.replace("{", "{{").replace("}", "}}")
    return Numbering(NumberedFiles(film.parent, name), True, frozenset(range(1, frames + 1)))
