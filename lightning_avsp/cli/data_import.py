"""``avsp data import``: import a video with raw gaze into a corpus of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lightning_avsp.curation.importing.settings import ImportSettings


def import_recording(
    video: Path,
    gaze: Path,
    corpus: str,
    root: Path,
    video_name: str = "",
    part: Literal["train", "test"] = "train",
    split: str = "1",
    overwrite: bool = False,
    **settings: Any,
) -> None:
    """Import a video with raw gaze: frames, audio, eyeMap and fixMap in the layout that every command reads.

    A video is there as a whole or not at all; the same command after an interruption goes on, and changes nothing where
    all is done. Sizes are WIDTHxHEIGHT, as trackers and videos state them.

    Args:
        video: Video to import.
        gaze: Raw gaze of all observers of this video: a table (text with any delimiter, or parquet), an EyeLink
            recording (.asc), or a folder or pattern ('dir/*.txt') of either, one for each observer, named by the file.
        corpus: Name of the corpus, new or imported before.
        root: Folder of the corpora; made if it does not exist.
        video_name: Name of the video; that of its file by default.
        part: List to enter it into.
        split: Splits to enter it into: 1, or 1,2, or all.
        overwrite: Replace a video of this name that was made of something else.
        settings: See :class:`ImportSettings`.
    """
    from dataclasses import asdict

    import yaml

    from lightning_avsp.cli.progress import progress_bar
    from lightning_avsp.curation.importing.importer import import_video
    from lightning_avsp.run_folder import write_atomically

    options = ImportSettings(**settings)
    with progress_bar("video and gaze") as advance:
        report = import_video(
            Path(video),
            Path(gaze),
            Path(root),
            corpus,
            options,
            video=video_name,
            part=part,
            split=split,
            overwrite=overwrite,
            progress=lambda kind, done, total: advance(done, total, kind),
        )
    kept = Path(root) / "corpora" / f"{corpus}.yaml"
    if not kept.exists():
        shared = {"corpus": corpus, "root": str(root), **asdict(options)}
        write_atomically(kept, yaml.safe_dump(shared, sort_keys=False))
        print(f"settings kept in {kept}: the next video needs its path, --gaze and --config {kept}")
    facts, samples = report.facts, report.facts["samples"]
    print(
        f"{report.corpus}/{report.video}: {'kept as it was' if report.kept else 'imported'}, {facts['frames']} frames "
        f"at {facts['fps']:g}/s, {facts['observers']} observers"
    )
    print(
        f"samples: {samples['used']} used of {samples['total']}; {samples['invalid']} invalid, {samples['missing']} "
        f"without numbers, {samples['out_of_time']} before or after the video, {samples['outside']} outside it"
    )
    for reason, example in facts["examples"].items():
        print(f"first left out as {reason}: {example}")
    rows, across = facts["sigma"]
    print(
        f"maps: {facts['map_size'][1]}x{facts['map_size'][0]}, sigma {across:.2f} across and {rows:.2f} down, in pixels"
    )
    print(f"frames with their gaze, to look at: {report.picture}")
    for path in report.lists:
        print(f"listed in {path}")
    for note in report.notes:
        print(f"note: {note}")
