"""Folders of files that are numbered, as a rule from 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NumberedFiles:
    """A folder of files, one for each frame, e.g. ``img_00001.jpg``; frames count from 1."""

    folder: Path
    pattern: str
    """File name as a format string of the number, e.g. ``img_{:05d}.jpg``."""
    first: int = 1
    """Number in the name of the first frame's file."""

    def path(self, number: int) -> Path:
        """File of one frame, counted from 1."""
        return self.folder / self._file(number)

    def name(self, number: int) -> str:
        """The same, for messages."""
        return str(self.path(number))

    def count(self, at_most: int) -> int:
        """How many files there are without a gap from number 1 on, up to ``at_most``."""
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        number = 0
        while number < at_most and self._file(number + 1) in names:
            number += 1
        return number

    def first_beyond(self, count: int, at_most: int) -> int | None:
        """First number in ``count + 2 .. at_most`` that exists; if there is one, ``count + 1`` is a gap."""
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        return next((n for n in range(count + 2, at_most + 1) if self._file(n) in names), None)

    def _file(self, number: int) -> str:
        return self.pattern.format(number - 1 + self.first)
