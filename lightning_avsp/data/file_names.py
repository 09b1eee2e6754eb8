"""Numbering of the files of a folder: prefix, leading zeros, suffix, first number."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
"""Suffixes of frames and maps."""

NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.[A-Za-z0-9]*[A-Za-z])")
"""Name of a numbered file; the number is its last digits."""


@dataclass(frozen=True)
class Numbering:
    """Names of the files of one folder."""

    folder: Path
    pattern: str
    """Format string of the number, e.g. ``Diving-Side_001_{:03d}.png``."""
    first: int
    """Number of the first file."""
    count: int
    """Files, without a gap."""


def numbering(folder: Path, suffixes: Iterable[str]) -> Numbering | None:
    """Recognise the numbering of files with certain suffixes; None if the folder is absent or has none.

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
    padded = {len(number) for number in digits if number.startswith("0") and len(number) > 1}
    width = min(padded) if padded else 0
    pattern = _escaped(prefix) + (f"{{:0{width}d}}" if width else "{}") + suffix
    numbers = sorted(map(int, digits))
    present = set(numbers)
    gap = next((number for number in range(numbers[0], numbers[-1]) if number not in present), None)
    if gap is not None:
        beyond = next(number for number in numbers if number > gap)
        raise InputError(
            f"{folder / pattern.format(gap)} is missing although {pattern.format(beyond)} is there; restore it: "
            "numbers must run without a gap"
        )
    if len(present) < len(digits):
        raise InputError(
            f"{folder} holds two files of one number ({len(digits)} files, {len(present)} numbers)"
        )
    return Numbering(folder, pattern, numbers[0], len(numbers))


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a sort key under which ``clip2`` comes before ``clip10``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def _escaped(prefix: str) -> str:
    return prefix.replace("{", "{{").replace("}", "}}")
