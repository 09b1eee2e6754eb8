"""``avsp view``: predictions of a video as a page."""

from __future__ import annotations

from pathlib import Path


def view(
    folders: list[Path],
    out: Path | None = None,
    colours: str = "inferno",
    notes: Path | None = None,
    scores: str | None = None,
    metric: str = "cc",
) -> None:
    """Write a page with the video, the map over it and a curve over time; several models side by side.

    The curve is the maps' entropy, or a score of each frame where the corpus has ground truth (--scores).

    The page is one file that loads nothing from outside: the videos are in it.

    Args:
        folders: Folders that `avsp predict` wrote, of one video.
        out: HTML file to write; view.html in the first folder when not given.
        colours: Matplotlib colour map; cividis is read alike by the colour-blind.
        notes: Text file to show below the curve.
        scores: ..._frames.csv of `avsp evaluate` for these maps; for several models one each, with commas between.
        metric: Score to draw: cc, sim, nss, auc_judd, kld, as far as its protocol has it.
    """
    from lightning_avsp.cli.audit import names
    from lightning_avsp.predict.view import write_view

    found = [Path(folder) for folder in folders]
    text = "" if notes is None else Path(notes).read_text(encoding="utf-8")
    tables = [Path(table) for table in names(scores or "")]
    path = write_view(
        found, Path(out) if out is not None else found[0] / "view.html", colours, text, tables, metric
    )
    print(f"written: {path} ({path.stat().st_size:,} bytes)")
