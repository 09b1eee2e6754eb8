"""Import of one video with its raw gaze into a corpus of one's own."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_avsp.curation.importing.frames import FrameClock, FrameGaze, assign_to_frames, video_clock
from lightning_avsp.curation.importing.gaze import gaze_files, read_gaze
from lightning_avsp.curation.importing.plausibility import FilmSketch, draw_placement, judge_sigma
from lightning_avsp.curation.importing.settings import ImportSettings, check_video_name, parse_splits
from lightning_avsp.curation.importing.store import (
    VideoPaths,
    check_parts,
    enter_video,
    finish,
    locked,
    read_record,
    register_corpus,
    settle,
)
from lightning_avsp.curation.importing.writing import (
    Progress,
    write_audio,
    write_frames,
    write_ground_truth,
    write_observers,
)
from lightning_avsp.data.catalogue import Part, own_corpus, read_own
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.stavis import VIDEO_SUFFIXES
from lightning_avsp.errors import InputError
from lightning_avsp.media.video import VideoInfo, iterate_frames, open_video

VERSION = 3  # raised when the same input would give other files or settings have other names
PLACEMENT = "placement.jpg"
"""In a video's annotation folder: three frames with their gaze over them."""


@dataclass(frozen=True)
class ImportReport:
    """Result of an import."""

    corpus: str
    video: str
    kept: bool
    """True if the video was there already, made of the same things; only lists were looked at then."""
    facts: dict[str, Any]
    """Frames, fps, size, samples and all else that the record holds."""
    lists: tuple[Path, ...]
    """Lists that were written."""
    picture: Path
    """Three frames with their gaze over them."""
    notes: tuple[str, ...]
    """Remarks for the user."""


def import_video(
    source: Path,
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
    """Write frames, audio, maps and fixations of a video, enter it into lists and register its corpus.

    All or nothing: a killed import leaves no half video, and the same call goes on. A video that is complete and was
    made of the same file, gaze and settings is kept.

    Args:
        source: Video file to import.
        gaze: Raw gaze (:func:`~lightning_avsp.curation.importing.gaze.read_gaze`).
        root: Root of the corpora; made if it does not exist.
        corpus: Name of the corpus, new or imported before.
        settings: Reading of gaze, and properties of maps and files.
        video: Name of the video; that of the file if empty.
        part: List to enter it into.
        split: ``1``, ``1,2`` or ``all``.
        overwrite: Replace a video that was made of something else.
        progress: Called as frames and maps are written.

    Raises:
        InputError: If video, gaze, names or settings cannot be used, or the video is there and made otherwise.
    """
    name = check_video_name(video or source.stem)
    known = read_own(root).get(corpus)
    existing = known.splits if known else ()
    splits = parse_splits(split, existing)
    every = tuple(sorted({*existing, *splits}))
    entry = own_corpus(corpus, splits=every)  # also refuses names of published corpora
    check_parts(root, entry, name, part, splits)
    paths = VideoPaths(root, entry.folder, name)
    info = open_video(source)
    origin = {
        "version": VERSION,
        "video": source.name,
        "video_sha256": _digest(source),
        "gaze": gaze.name,
        "gaze_sha256": _digest(*gaze_files(gaze)),
        "settings": settings.as_json(),
    }
    # two imports of different videos run side by side, and share only the lists
    with locked(root, f"{entry.folder}_{name}"):
        settle(paths)
        record = read_record(paths, tolerant=overwrite)
        changes = [] if record is None else _changes(record["source"], origin)
        kept = record is not None and not changes
        if record is None or changes:
            _check_overwriting(paths, record, changes, overwrite)
            record = _make(paths, info, gaze, settings, origin, progress)
        with locked(root, entry.folder, wait=True):
            # another import may have listed the video meanwhile
            check_parts(root, entry, name, part, splits)
            listed = ListedVideo(name, record["frames"], record["fps"])
            lists = enter_video(root, entry, listed, part, splits)
            own = register_corpus(root, corpus, splits, settings.as_json())
    notes = list(record["notes"])
    lacking = [
        f"split {split} has no {each} video yet"
        for split, pair in zip(own.splits, own.counts, strict=True)
        for each, count in zip(("training", "test"), pair, strict=True)
        if count == 0
    ]
    if lacking:
        notes.append(f"{'; '.join(lacking)}: import one with --part train or test")
    # scores on maps of different widths cannot be averaged over one corpus
    different = [key for key, value in settings.as_json().items() if own.made.get(key) != value]
    if own.made and different:
        notes.append(f"settings differ from those of the corpus' first video: {', '.join(different)}")
    return ImportReport(corpus, name, kept, record, tuple(lists), paths.annotation / PLACEMENT, tuple(notes))


def _make(
    paths: VideoPaths,
    info: VideoInfo,
    gaze: Path,
    settings: ImportSettings,
    origin: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Write everything below the staging folder, then move it; returns the record."""
    files, staged = settings.files, paths.staged
    table = read_gaze(gaze, settings)
    settings = table.settings
    geometry = settings.geometry((info.width, info.height), float(info.pixel_aspect))
    size, sigma = settings.map_size(geometry.video), settings.map_sigma(geometry)
    clock = video_clock(info)
    if files.frames == "video":
        _check_readable(info, clock)
    found = assign_to_frames(gaze, table, clock, geometry)
    count = len(clock.source)
    sheet = {min(round(count * share), count - 1) for share in (0.1, 0.5, 0.9)}
    sketch = FilmSketch({int(clock.source[number]) for number in sheet})
    if files.frames == "video":
        copy = staged.copy(info.path.suffix.lower())
        copy.parent.mkdir(parents=True)
        shutil.copyfile(info.path, copy)
        for frame in iterate_frames(info):
            sketch.look(frame)
    else:
        write_frames(info, clock, staged.frames, files.quality, sketch.look, progress)
    silence = None
    if info.audio is not None:
        silence = write_audio(info, staged.audio, count / clock.fps, files.audio_rate)
    write_ground_truth(found.points, staged.annotation, size, sigma, files.quality, progress)
    # the merged map cannot be taken apart again: human ceilings need each observer's place
    write_observers(staged.annotation, found)
    panels = {number: sketch.kept[int(clock.source[number])] for number in sheet}
    draw_placement(panels, found.points, staged.annotation / PLACEMENT)
    record = {
        "source": origin,
        "frames": len(clock.source),
        "fps": clock.fps,
        "size": [info.height, info.width],
        "map_size": list(size),
        "sigma": list(sigma),
        "observers": len(found.observers),
        "format": settings.as_json(),
        "samples": found.counts,
        "examples": found.examples,
        "empty_frames": found.empty_frames,
        "video_frames": clock.video_frames,
        "source_frames": None if clock.even else clock.source.tolist(),
        "audio": None if silence is None else {"rate": files.audio_rate, "added_silence": silence},
        "notes": [
            *table.notes,
            *found.notes,
            *sketch.judge(found.points, clock.source, clock.fps),
            *judge_sigma(sigma, size),
            *_notes(info, clock, found, silence),
        ],
    }
    finish(paths, record)
    return record


def _digest(*paths: Path) -> str:
    """SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)  # in blocks: a video need not fit into memory
    return digest.hexdigest()


def _check_overwriting(
    paths: VideoPaths, record: dict[str, Any] | None, changes: list[str], overwrite: bool
) -> None:
    """Raise if something is in the way that may not be replaced."""
    present = paths.parts
    if not present or overwrite:
        return
    cause = (
        f"{present[0]} is there but was not imported by this command, or not to its end"
        if record is None
        else f"{paths.annotation} was imported from something else (there / asked for: {'; '.join(changes)})"
    )
    raise InputError(f"{cause}; choose another --video_name, or replace it with --overwrite")


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differences of two sources, with both values; the names of files do not matter."""
    there, wanted = ({**source, **source["settings"]} for source in (old, new))
    return [
        f"{key.removesuffix('_sha256')}: {there.get(key)} / {value}"
        for key, value in wanted.items()
        if key not in ("video", "gaze", "settings") and there.get(key) != value
    ]


def _check_readable(info: VideoInfo, clock: FrameClock) -> None:
    """Refuse a video that cannot stand for its frames."""
    if info.path.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(
            f"{info.path} cannot stand for frames: {info.path.suffix} files cannot be read by frame number (those can: "
            f"{', '.join(VIDEO_SUFFIXES)}); use --files.frames jpeg"
        )
    if not clock.even:
        raise InputError(
            f"{info.path} has a variable frame rate (frames are up to {clock.drift:.1f} periods off); use "
            "--files.frames jpeg, which writes it at a constant one"
        )


def _notes(info: VideoInfo, clock: FrameClock, found: FrameGaze, silence: float | None) -> list[str]:
    counts = found.counts
    notes = list(info.notes)
    if not clock.even:
        notes.append(
            f"variable frame rate (up to {clock.drift:.1f} periods off an even clock): {clock.video_frames} frames of "
            f"the video became {len(clock.source)} at {clock.fps:g} per second, each the one that is shown in the "
            "middle of its period"
        )
    if silence is None:
        notes.append("no audio track; train with --data.loading.missing_audio silence or skip")
    elif silence > 0.1:
        notes.append(f"audio does not cover the frames: {silence:.2f} s of silence added")
    if counts["zeros"]:
        notes.append(
            f"{counts['zeros']} samples are at exactly (0, 0), which many trackers write for blinks: --drop_zero "
            "leaves them out"
        )
    if found.empty_frames:
        notes.append(f"{found.empty_frames} frames without gaze: their maps are blank and are not scored")
    return notes
