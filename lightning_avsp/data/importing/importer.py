"""One film and one table of raw gaze in, one video of a corpus out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import Part
from lightning_avsp.data.importing.clock import FrameClock, film_clock
from lightning_avsp.data.importing.frame_gaze import FrameGaze, frame_gaze
from lightning_avsp.data.importing.gaze_table import read_gaze
from lightning_avsp.data.importing.lists import check_parts, enter_video, register_corpus
from lightning_avsp.data.importing.pictures import (
    Progress,
    copy_film,
    write_frames,
    write_ground_truth,
    write_sound,
)
from lightning_avsp.data.importing.settings import ImportSettings, check_video_name, parse_splits
from lightning_avsp.data.importing.store import (
    VideoPlaces,
    locked,
    mark_ready,
    read_record,
    settle,
    write_record,
)
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.own import OwnCorpus, read_own
from lightning_avsp.errors import InputError
from lightning_avsp.media.video import FilmInfo, open_film

VERSION = 1
"""Version of what is written for a video, raised when the same input would give other files."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    corpus: str
    video: str
    kept: bool
    """Whether the video was there already, made of the same things; only lists were looked at then."""
    facts: dict[str, Any]
    """Frames, fps, size, samples and all else that the record holds."""
    lists: tuple[Path, ...]
    """Lists that were written."""
    notes: tuple[str, ...]
    """What a user should be told."""


def import_video(
    film: Path,
    gaze: Path,
    root: Path,
    corpus: str,
    settings: ImportSettings,
    *,
    video: str = "",
    part: Part = "train",
    split: str = "1",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Write frames, sound, maps and fixations of a film, enter it into lists and register its corpus.

    All or nothing: a killed import leaves no half video, and the same call goes on. A video that is complete and was
    made of the same film, gaze and settings is kept.

    Args:
        film: Film to import.
        gaze: Table of raw gaze.
        root: Root of the corpora; made if it does not exist.
        corpus: Name of the corpus, new or imported before.
        settings: How gaze becomes maps.
        video: Name of the video; that of the film's file if empty.
        part: List to enter it into.
        split: ``1``, ``1,2`` or ``all``.
        overwrite: Whether to replace a video that was made of something else.
        progress: Called as frames and maps are written.

    Raises:
        InputError: If film, gaze, names or settings cannot be used, or the video is there and made otherwise.
    """
    name = check_video_name(video or film.stem)
    known = read_own(root).get(corpus)
    splits = parse_splits(split, known.splits if known else ())
    every = tuple(sorted(set(known.splits if known else ()) | set(splits)))
    entry = OwnCorpus(corpus, splits=every).as_corpus()  # also refuses names of published corpora
    check_parts(root, entry, name, part, splits)
    places = VideoPlaces(root, entry.folder, name)
    info = open_film(film)
    source = _source(film, gaze, settings)
    with locked(root, f"import_{entry.folder}_{name}"):
        settle(places)
        record = read_record(places, tolerant=overwrite)
        kept = record is not None and not _changes(record["source"], source)
        if record is None or not kept:
            _refuse_overwriting(places, record, source, overwrite)
            record = _make(places, info, gaze, settings, source, progress)
        with locked(root, f"import_{entry.folder}", wait=True):
            check_parts(root, entry, name, part, splits)
            listed = ListedVideo(name, record["frames"], record["fps"])
            lists = enter_video(root, entry, listed, part, splits)
            own = register_corpus(root, corpus, splits, _plain(settings))
    notes = [*record["notes"], *_list_notes(own)]
    if own.made and {**own.made} != _plain(settings):
        different = [key for key, value in _plain(settings).items() if own.made.get(key) != value]
        notes.append(f"settings differ from those of the corpus' first video: {', '.join(different)}")
    return ImportReport(corpus, name, kept, record, tuple(lists), tuple(notes))


def _make(
    places: VideoPlaces,
    info: FilmInfo,
    gaze: Path,
    settings: ImportSettings,
    source: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Write everything below the staging folder, then move it; returns the record."""
    film = (info.width, info.height)
    geometry = settings.geometry(film)
    width, height = settings.map_size or film
    sigma = settings.sigma_on_map(film, (height, width))
    table = read_gaze(gaze, settings.columns)
    clock = film_clock(info)
    if settings.pictures == "film":
        _refuse_uneven(info, clock)
    found = frame_gaze(table, clock, geometry, settings)
    staged = places.staged
    if settings.pictures == "film":
        copy_film(info, staged.film(info.path.suffix.lower()))
    else:
        write_frames(info, clock, staged.frames, settings.jpeg_quality, progress)
    seconds = len(clock.source) / clock.fps
    silence = None
    if info.sound is not None:
        silence = write_sound(info, staged.wave, seconds, settings.audio_rate)
    write_ground_truth(
        found.points, staged.annotation, (height, width), sigma, settings.jpeg_quality, progress
    )
    record = {
        "source": source,
        "frames": len(clock.source),
        "fps": clock.fps,
        "size": [info.height, info.width],
        "map_size": [height, width],
        "sigma": list(sigma),
        "observers": found.observers,
        "samples": found.counts.as_json(),
        "empty_frames": found.empty_frames,
        "film_frames": clock.film_frames,
        "source_frames": None if clock.even else clock.source.tolist(),
        "sound": None if silence is None else {"rate": settings.audio_rate, "added_silence": silence},
        "notes": _notes(info, clock, found, silence),
    }
    write_record(staged, record)
    mark_ready(places)
    settle(places)
    return record


def _source(film: Path, gaze: Path, settings: ImportSettings) -> dict[str, Any]:
    """What decides the files of a video."""
    return {
        "version": VERSION,
        "film": film.name,
        "film_sha256": _digest(film),
        "gaze": gaze.name,
        "gaze_sha256": _digest(gaze) if gaze.is_file() else None,
        "settings": _plain(settings),
    }


def _plain(settings: ImportSettings) -> dict[str, Any]:
    """Settings as they come back from JSON: lists for tuples."""
    import json

    return json.loads(json.dumps(settings.as_json()))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refuse_overwriting(
    places: VideoPlaces, record: dict[str, Any] | None, source: dict[str, Any], overwrite: bool
) -> None:
    """Raise if something is in the way that may not be replaced."""
    there = places.parts
    if not there or overwrite:
        return
    if record is None:
        raise InputError(
            f"{there[0]} is there but was not imported by this command, or not to its end; choose another "
            "--video_name, or replace it with --overwrite"
        )
    changes = "; ".join(_changes(record["source"], source))
    raise InputError(
        f"{places.annotation} was imported from something else (there / asked for: {changes}); choose another "
        "--video_name, or replace it with --overwrite"
    )


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What of a source is another, with both values; the names of files do not matter."""
    named = {"film_sha256": "film", "gaze_sha256": "gaze", "version": "version"}
    changes = [
        f"{what}: {old[what]} / {new[what]}" for key, what in named.items() if old.get(key) != new[key]
    ]
    return changes + [
        f"{key}: {old['settings'].get(key)} / {value}"
        for key, value in new["settings"].items()
        if old["settings"].get(key) != value
    ]


def _refuse_uneven(info: FilmInfo, clock: FrameClock) -> None:
    from lightning_avsp.data.stavis import VIDEO_SUFFIXES

    if info.path.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(
            f"{info.path} cannot stand for frames: {info.path.suffix} files cannot be read by frame number (those can: "
            f"{', '.join(VIDEO_SUFFIXES)}); use --pictures jpeg"
        )
    if not clock.even:
        raise InputError(
            f"{info.path} has a variable frame rate (frames are up to {clock.drift:.1f} periods off); use --pictures "
            "jpeg, which writes it at a constant one"
        )


def _notes(info: FilmInfo, clock: FrameClock, found: FrameGaze, silence: float | None) -> list[str]:
    counts = found.counts
    notes = list(info.notes)
    if not clock.even:
        notes.append(
            f"variable frame rate (up to {clock.drift:.1f} periods off an even clock): {clock.film_frames} frames of "
            f"the film became {len(clock.source)} at {clock.fps:g} per second, each what is shown in the middle of its "
            "period"
        )
    if silence is None:
        notes.append("no sound track; train with --data.loading.missing_audio silence or skip")
    elif silence > 0.1:
        notes.append(f"sound does not cover the picture: {silence:.2f} s of silence added")
    if counts.outside:
        notes.append(
            f"{counts.outside} of {counts.outside + counts.used} valid samples ({counts.outside_share:.1%}) lie "
            "outside the film and are left out"
        )
    if counts.zeros:
        notes.append(
            f"{counts.zeros} samples are at exactly (0, 0), which many trackers write for blinks: --drop_zero leaves "
            "them out"
        )
    if found.empty_frames:
        notes.append(f"{found.empty_frames} frames without gaze: their maps are blank and are not scored")
    return notes


def _list_notes(own: OwnCorpus) -> list[str]:
    lacking = [
        f"split {split} has no {part} video yet"
        for split, pair in zip(own.splits, own.counts, strict=True)
        for part, count in zip(("training", "test"), pair, strict=True)
        if count == 0
    ]
    return [f"{'; '.join(lacking)}: import one with --part train or test"] if lacking else []
