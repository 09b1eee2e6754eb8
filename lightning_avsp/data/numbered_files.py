"""Folders of numbered files, and their numbering: prefix, leading zeros, suffix, first number."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class NumberedFiles:
    """A folder of files, one for each frame, e.g. ``img_00001.jpg``; frames count from 1."""

    folder: Path
    pattern: str
    """File name as a format string of the number, e.g. ``img_{:05d}.jpg``."""
    first: int = 1
    """Number in the name of the first frame's file."""

    def path(self, number: int) -> Path:
        """Return the file of one frame, counted from 1."""
        return self.folder / self._file(number)

    def name(self, number: int) -> str:
        """Name the file of one frame, for messages."""
        return str(self.path(number))

    def count(self, at_most: int) -> int:
        """Count the files without a gap from number 1 on, up to ``at_most``."""
        # one listing: a question for each of thousands of files is slow on a network disk
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        number = 0
        while number < at_most and self._file(number + 1) in names:
            number += 1
        return number

    def first_beyond(self, count: int, at_most: int) -> int | None:
        """Return the first number in ``count + 2 .. at_most`` that exists; if there is one, ``count + 1`` is a gap."""
        # By the files that are there: a list may claim any number
        matches = (NUMBERED.fullmatch(entry.name) for entry in self.folder.iterdir())
        numbers = (int(match["number"]) + 1 - self.first for match in matches if match)
        beyond = (n for n in numbers if count + 2 <= n <= at_most and self.path(n).is_file())
        return min(beyond, default=None)

    def _file(self, number: int) -> str:
        return self.pattern.format(number - 1 + self.first)


PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
"""Suffixes of frames and maps."""

NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.[A-Za-z0-9]*[A-Za-z])")
"""Name of a numbered file; the number is its last digits."""


Files = TypeVar("Files", bound=NumberedFiles)


def recognise_files(kind: type[Files], folder: Path, suffixes: Iterable[str]) -> tuple[Files, int] | None:
    """Recognise the names of numbered files with certain suffixes, and count them; None without folder or files.

    Numbers are the last digits of a name; names of one folder must differ in them alone.

    Raises:
        InputError: If there is a gap, or files are named in two ways.
    """
    wanted = tuple(suffixes)
    if not folder.is_dir():
        return None
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in folder.iterdir():
        match = NUMBERED.fullmatch(path.name)
        # thumbs and notes lie between frames; hidden copies of macOS begin with a dot
        if match and match["suffix"].lower() in wanted and not path.name.startswith("."):
            found[match["prefix"], match["suffix"]].append(match["number"])
    if not found:
        return None
    if len(found) > 1:
        kinds = " and ".join(sorted(f"{prefix}...{suffix}" for prefix, suffix in found)[:2])
        raise InputError(
            f"{folder} holds files of different names ({kinds}); keep one kind, one file for each frame"
        )
    (prefix, suffix), digits = next(iter(found.items()))
    # 0001 and 1000 have one width, 1 and 1000 none
    padded = {len(number) for number in digits if number.startswith("0") and len(number) > 1}
    width = min(padded) if padded else 0
    prefix = prefix.replace("{", "{{").replace("}", "}}")
    pattern = prefix + (f"{{:0{width}d}}" if width else "{}") + suffix
    numbers = sorted(map(int, digits))
    present = set(numbers)
    gap = next((number for number in range(numbers[0], numbers[-1]) if number not in present), None)
    if gap is not None:
        beyond = next(number for number in numbers if number > gap)
        raise InputError(
            f"{folder / pattern.format(gap)} is missing although {pattern.format(beyond)} is there; restore it: "
            "numbers must run without a gap"
        )
    # 1.png beside 01.png
    if len(present) < len(digits):
        raise InputError(
            f"{folder} holds two files of one number ({len(digits)} files, {len(present)} numbers)"
        )
    return kind(folder, pattern, numbers[0]), len(numbers)


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a sort key under which ``clip2`` comes before ``clip10``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]
