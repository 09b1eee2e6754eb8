"""`avsp figure`: frames with fixations, ground truth and the maps of several models, side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal


def figure(
    sources: list[str],
    videos: str | None = None,
    frames: str | None = None,
    rows: int = 4,
    style: Literal["map", "overlay", "both"] = "map",
    colours: str = "inferno",
    count_from: int = 1,
    out: Path = Path("figure"),
    **options: Any,
) -> None:
    """Draw a comparison figure: a row for each frame with fixations, ground truth, and a column for each source.

    A source is a checkpoint, an exported model, an official DiffSal file, or maps that any program has written: a
    folder as `avsp evaluate` reads it, or one file (npz, npy, video) of one video. NAME=PATH titles its column.

    Args:
        sources: Columns in order.
        videos: Test videos, with commas between them; all by default.
        frames: Numbers of their frames, from 1, with commas; by default those where the maps differ most, among every
            k-th of each video.
        rows: Frames that are chosen where none are given.
        style: Maps alone, over the frame, or both.
        colours: A colour map of matplotlib.
        count_from: Number of a video's first frame in the file names of maps: 1, or 0.
        out: File, .png or .pdf; without such an ending both are written.
        options: See :class:`~lightning_avsp.cli.audit.AuditOptions`.
    """
    from lightning_avsp.cli.audit import AuditOptions, names
    from lightning_avsp.cli.progress import progress_bar
    from lightning_avsp.data.corpora import read_videos
    from lightning_avsp.errors import InputError
    from lightning_avsp.evaluation.figure import (
        FigureColumn,
        FigureFrames,
        FolderMaps,
        ModelMaps,
        draw_figure,
    )
    from lightning_avsp.evaluation.predictions import check_folder
    from lightning_avsp.evaluation.results import cannot_write
    from lightning_avsp.predict.overlay import colour_table

    settings = AuditOptions(**options)
    root = Path(settings.root)
    colour_table(colours)  # refuses an unknown one before anything is read
    if rows < 1:
        raise InputError(f"--rows {rows}: give at least 1")
    out = Path(out)
    paths = (
        [out]
        if out.suffix in (".png", ".pdf")
        else [out.with_name(out.name + end) for end in (".png", ".pdf")]
    )
    try:
        numbers = [int(number) for number in names(frames or "")]
    except ValueError as error:
        raise InputError(f"--frames {frames}: give numbers with commas between them") from error
    found = read_videos(
        root, names(settings.corpus), settings.split, "test", missing_audio=settings.missing_audio
    )
    chosen = FigureFrames(found, names(videos or ""), numbers, settings.every)
    columns: dict[str, FigureColumn] = {}
    models: dict[str, Path] = {}
    for source in sources:
        title, path = _split_title(source)
        if title in columns:
            raise InputError(f"two columns are called {title}: name them, as in NAME={path}")
        if not path.exists():
            raise InputError(f"{path} is not there: give checkpoints or folders of maps")
        if _is_model(path):
            models[title] = path
        elif not path.is_file():
            check_folder(path)
        elif len(chosen.videos) > 1:
            raise InputError(f"{path} holds the maps of one video: name it with --videos")
        columns[title] = FolderMaps(
            path, root, settings.split, count_from
        )  # of a model: in its place for now
    # maps that are missing, and a folder that cannot be written, are named before a model is loaded
    chosen.candidates({title: maps for title, maps in columns.items() if title not in models})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise cannot_write(out, error) from error
    for title, path in models.items():
        columns[title] = ModelMaps(*settings.open(path))
    with progress_bar("videos") as advance:
        shown = chosen.choose(columns, rows, advance)
    try:
        draw_figure(paths, shown, columns, style, colours)
    except OSError as error:
        raise cannot_write(out, error) from error
    for entry, number in shown:
        print(f"{entry.corpus}/{entry.video}, frame {number}")
    print(f"written: {', '.join(map(str, paths))}")


def _split_title(source: str) -> tuple[str, Path]:
    """Split NAME=PATH; without a name, runs are called by their folder, others by their file or folder."""
    name, equals, rest = source.partition("=")
    if equals and not Path(source).exists():
        return name, Path(rest)
    path = Path(source)
    run = path.resolve().parent.parent
    return (f"{run.parent.name}/{run.name}" if path.suffix == ".ckpt" else path.stem), path


def _is_model(path: Path) -> bool:
    from lightning_avsp.evaluation.prediction_files import VIDEOS
    from lightning_avsp.tasks.loading import EXPORTED

    if path.is_file():
        return path.suffix.lower() not in (*VIDEOS, ".npz", ".npy")
    return (path / EXPORTED[0]).is_file()
