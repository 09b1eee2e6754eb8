"""``avsp view``: predictions of a video as a page."""

from __future__ import annotations

from pathlib import Path


def view(
    folders: list[Path], out: Path | None = None, colours: str = "inferno", notes: Path | None = None
) -> None:
    """Write a page with the video, the map over it and the map's entropy over time; several models side by side.

    The page is one file that loads nothing from outside: the videos are in it.

    Args:
        folders: Folders that `avsp predict` wrote, of one video.
        out: HTML file to write; view.html in the first folder when not given.
        colours: Matplotlib colour map; cividis is read alike by the colour-blind.
        notes: Text file to show below the curve.
    """
    from lightning_avsp.predict.view import write_view

    found = [Path(folder) for folder in folders]
    text = "" if notes is None else Path(notes).read_text(encoding="utf-8")
    path = write_view(found, Path(out) if out is not None else found[0] / "view.html", colours, text)
    print(f"written: {path} ({path.stat().st_size:,} bytes)")
