"""``avsp data import``: a film and a table of raw gaze become a video of a corpus of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def import_film(
    video: Path,
    gaze: Path,
    corpus: str,
    root: Path,
    video_name: str = "",
    part: Literal["train", "test"] = "train",
    split: str = "1",
    observer_column: str = "observer",
    time_column: str = "time",
    x_column: str = "x",
    y_column: str = "y",
    valid_column: str = "valid",
    valid_is: str = "",
    time_unit: Literal["s", "ms", "us", "frame"] = "ms",
    film_starts_at: float = 0.0,
    rate: float | None = None,
    coordinates: Literal["auto", "film", "screen", "film_unit", "screen_unit"] = "auto",
    screen: str = "",
    film_at: str = "",
    film_shown: str = "",
    sigma: float | None = None,
    sigma_degrees: float | None = None,
    screen_cm: float | None = None,
    distance_cm: float | None = None,
    pick: Literal["median", "mean", "last"] = "median",
    map_size: str = "",
    pictures: Literal["jpeg", "film"] = "jpeg",
    jpeg_quality: int = 95,
    audio_rate: int = 22_050,
    drop_zero: bool = False,
    max_outside: float = 0.5,
    overwrite: bool = False,
) -> None:
    """Import a film with raw gaze: frames, sound, eyeMap and fixMap in the layout that every command reads.

    A video is there as a whole or not at all; the same command after an interruption goes on, and changes nothing where
    all is done. Sizes are WIDTHxHEIGHT, as trackers and films state them.

    Args:
        video: Film to import.
        gaze: Raw gaze of all observers of this film: CSV with any delimiter, or parquet.
        corpus: Name of the corpus, new or imported before.
        root: Folder of the corpora; made if it does not exist.
        video_name: Name of the video; that of the film's file when not given.
        part: List to enter it into.
        split: Splits to enter it into: 1, or 1,2, or all.
        observer_column: Column that says who looked; empty for a table of one observer.
        time_column: Column of times, or of frame numbers.
        x_column: Column of horizontal places, from the left.
        y_column: Column of vertical places, from the top.
        valid_column: Column that says whether a sample is good; empty if there is none.
        valid_is: Values of that column that mean good, with commas between them; true, 1, valid, yes when not given.
        time_unit: Unit of times; frame for frame numbers.
        film_starts_at: Time at which the first frame was shown, in that unit; the first frame's number for frame.
        rate: Samples per second of the tracker, to check times against.
        coordinates: What x and y count: pixels or shares (0 to 1) of film or screen; auto means screen if it is given.
        screen: Size of the screen in pixels, e.g. 1920x1080.
        film_at: COLUMN,ROW of the screen where the film began; needed if it did not fill the screen.
        film_shown: Size of the screen that the film covered.
        sigma: Standard deviation of the Gaussian in pixels of the film.
        sigma_degrees: The same in degrees of visual angle; needs screen, screen_cm and distance_cm.
        screen_cm: Width of the screen in cm.
        distance_cm: Distance from the eyes to the screen in cm.
        pick: Which place stands for an observer's samples during a frame.
        map_size: Size of maps and fixation matrices; the film's when not given.
        pictures: jpeg writes each frame; film keeps a copy of the film and decodes it whenever it is read.
        jpeg_quality: Quality of frames and maps, 1 to 100.
        audio_rate: Samples per second of the sound that is written.
        drop_zero: Take samples at exactly (0, 0) for lost, as many trackers write them.
        max_outside: Share of valid samples outside the film from which on the geometry is taken to be wrong.
        overwrite: Replace a video of this name that was made of something else.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lightning_avsp.data.importing import ImportSettings, import_video
    from lightning_avsp.data.importing.geometry import parse_pair, parse_size
    from lightning_avsp.data.importing.settings import Columns

    chosen = ("screen" if screen else "film") if coordinates == "auto" else coordinates
    settings = ImportSettings(
        columns=Columns(
            observer_column,
            time_column,
            x_column,
            y_column,
            valid_column,
            tuple(value.strip() for value in valid_is.split(",") if value.strip()),
        ),
        time_unit=time_unit,
        film_starts_at=film_starts_at,
        rate=rate,
        coordinates=chosen,
        screen=parse_size(screen, "--screen") if screen else None,
        film_at=parse_pair(film_at, "--film_at", ",") if film_at else None,
        film_shown=parse_pair(film_shown, "--film_shown") if film_shown else None,
        sigma=sigma,
        sigma_degrees=sigma_degrees,
        screen_cm=screen_cm,
        distance_cm=distance_cm,
        pick=pick,
        map_size=parse_size(map_size, "--map_size") if map_size else None,
        pictures=pictures,
        jpeg_quality=jpeg_quality,
        audio_rate=audio_rate,
        drop_zero=drop_zero,
        max_outside=max_outside,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("film and gaze", total=None)
        report = import_video(
            Path(video),
            Path(gaze),
            Path(root),
            corpus,
            settings,
            video=video_name,
            part=part,
            split=split,
            overwrite=overwrite,
            progress=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )
    facts, samples = report.facts, report.facts["samples"]
    print(
        f"{report.corpus}/{report.video}: {'kept as it was' if report.kept else 'imported'}, {facts['frames']} frames "
        f"at {facts['fps']:g}/s, {facts['observers']} observers"
    )
    print(
        f"samples: {samples['used']} used of {samples['total']}; {samples['invalid']} invalid, {samples['missing']} "
        f"without numbers, {samples['out_of_time']} before or after the film, {samples['outside']} outside it"
    )
    rows, across = facts["sigma"]
    print(
        f"maps: {facts['map_size'][1]}x{facts['map_size'][0]}, sigma {across:.2f} across and {rows:.2f} down, in pixels"
    )
    for path in report.lists:
        print(f"listed in {path}")
    for note in report.notes:
        print(f"note: {note}")
