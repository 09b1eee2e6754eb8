"""What fake trials wrote down."""

from __future__ import annotations

from pathlib import Path


def diary(folder: Path, name: str) -> list[str]:
    """What a fake trial did, without process numbers."""
    path = folder / "diary" / f"{name}.txt"
    return [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.is_file() else []


def processes(folder: Path, name: str) -> list[int]:
    """Process numbers of a fake trial's attempts."""
    lines = (folder / "diary" / f"{name}.txt").read_text().splitlines()
    return [int(line.split()[-1]) for line in lines if line.startswith("start")]


def result_count(folder: Path) -> int:
    """Number of finished trials."""
    return len(list(folder.glob("runs/sweeps/*/*/result.json")))
