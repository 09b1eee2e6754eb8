"""Sample pictures of a sweep's trainings, small enough to lie inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.report.table import SweepReport

MOST_WIDTH = 1400
"""Pixels; wider pictures are scaled down."""
QUALITY = 80
"""Of JPEG."""
PAGE_BYTES = 8_000_000
"""Pictures of a page, coded; further ones are named but left out."""


@dataclass(frozen=True)
class Strip:
    """The last sample figure of a row's first training."""

    row: str
    file: Path
    synthetic: bool
    uri: str
    """``data:`` address; empty where the picture was left out."""
    size: tuple[int, int]
    """(width, height) in pixels; zeros where the picture was left out."""
    why: str = ""
    """Why it was left out."""


class StripReader:
    """Reads pictures until the page is full."""

    def __init__(self, budget: int = PAGE_BYTES) -> None:
        self._left = budget

    def of(self, report: SweepReport) -> list[Strip]:
        """One strip for every row whose trainings drew any; rows that share a training show it once."""
        strips = []
        shown: set[str] = set()
        for row in report.rows:
            for outcome in row.outcomes:
                moved = outcome.path.parents[3] / "trainings" / outcome.training
                folder = next((path for path in (outcome.run_dir, moved) if path.is_dir()), None)
                pictures = [] if folder is None else sorted((folder / "figures").glob("*.png"))
                if pictures and outcome.training not in shown:
                    shown.add(outcome.training)
                    strips.append(self._read(row.name, pictures[-1], bool(outcome.synthetic)))
                    break
        return strips

    def _read(self, row: str, path: Path, synthetic: bool) -> Strip:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            return Strip(row, path, synthetic, "", (0, 0), f"cannot be read: {error}")
        if picture.width > MOST_WIDTH:
            height = max(1, round(picture.height * MOST_WIDTH / picture.width))
            picture = picture.resize((MOST_WIDTH, height), Image.Resampling.LANCZOS)
        coded = io.BytesIO()
        picture.save(coded, "JPEG", quality=QUALITY)
        text = base64.b64encode(coded.getvalue()).decode()
        if len(text) > self._left:
            return Strip(row, path, synthetic, "", (0, 0), "left out: the page holds as many as it may")
        self._left -= len(text)
        return Strip(row, path, synthetic, f"data:image/jpeg;base64,{text}", picture.size)
