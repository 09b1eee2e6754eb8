"""`avsp data`: write a synthetic corpus, check corpora, import recordings, decode a corpus once."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.table import Table

from lightning_avsp.cli.progress import progress_bar, split_names
from lightning_avsp.curation.check.corpus import check_corpora
from lightning_avsp.curation.check.report import print_faults
from lightning_avsp.curation.importing.importer import import_video
from lightning_avsp.curation.importing.settings import ImportSettings, parse_size
from lightning_avsp.data.cache.prepare import RATES, prepare_cache
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.corpora import present_corpora, read_videos
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.run_folder import write_atomically, write_json
from lightning_avsp.synthetic import CONDITIONS, STATEMENT, SyntheticSpec, synthesise_corpus
from lightning_avsp.synthetic.ceilings import REFERENCES, score_corpus


def synth(
    root: Path,
    corpus: str = "AVAD",
    height: int = 64,
    width: int = 128,
    seconds: float = 8.0,
    fps: float = 12.5,
    workers: int = 2,
    ceilings: bool = False,
    **options: Any,
) -> None:
    """Write a SYNTHETIC corpus in the layout of a real one: discs, tones and simulated observers.

    A diagnostic, not data: in most videos observers follow the sounding disc, so a model that uses audio
    scores higher than one that does not. Finished videos are kept, so an interrupted run continues.

    Args:
        root: Folder to write to; made if it does not exist.
        corpus: Corpus whose layout and names are used: AVAD, Coutrot1, Coutrot2, DIEM, ETMD, SumMe, DHF1K,
            Hollywood2, UCF or CrowdSAL. Where the real one has no audio, all videos are silent.
        height: Frame height in pixels.
        width: Frame width in pixels.
        seconds: Length of each video.
        fps: Frames per second.
        workers: Processes.
        ceilings: Also print the scores that a model can reach on the first test list.
        options: See :func:`synthesise_corpus`.
    """
    corpus = find_corpus(corpus).folder
    console = Console(highlight=False, soft_wrap=True)
    spec = SyntheticSpec(size=(height, width), seconds=seconds, fps=fps)
    with progress_bar(f"synthetic {corpus}") as advance:
        # jsonargparse finds the further options by this call
        report = synthesise_corpus(root, corpus, spec=spec, workers=workers, progress=advance, **options)
    counts = ", ".join(f"{count} {condition}" for condition, count in report.counts.items())
    console.print(
        f"[bold]SYNTHETIC[/bold] {corpus}: {len(report.names)} videos ({counts}), {report.frames} frames each"
    )
    console.print(f"{report.written} written, {report.kept} kept, {report.seconds:.1f} s, in {report.root}")
    console.print(f"[bold]{STATEMENT}[/bold]")
    if ceilings:
        scores = score_corpus(report.root, corpus).to_dict("index")
        table = Table("reference", *CONDITIONS, title=f"SYNTHETIC {corpus}, test list 1: CC / NSS")
        for reference in REFERENCES:
            rows = [scores.get((reference, condition)) for condition in CONDITIONS]
            table.add_row(reference, *(f"{row['cc']:.3f} / {row['nss']:.2f}" if row else "-" for row in rows))
        console.print(table)


def check(
    root: Path,
    corpus: str = "",
    json: Path | None = None,
    quick: bool = False,
    full: bool = False,
    show: int = 10,
    workers: int = 0,
) -> None:
    """Check corpora before training: lists against the published numbers, then every file of every listed video.

    Exits with 1 if there is an error, with 0 if there are only warnings.

    Args:
        root: Folder with the corpora.
        corpus: Corpus to check; several with commas between them; every corpus that is there by default.
        json: File for all numbers and every fault with its path.
        quick: Read names, empty files and headers only: finds neither truncated files, nor blank maps, nor damaged
            fixations, nor silent audio.
        full: Decode every frame too, which finds damage in the middle of files.
        show: Most faults to print of each kind; all of them are in the JSON file.
        workers: Processes; 0 for one per processor.
    """
    if quick and full:
        raise InputError("--quick and --full contradict each other; give one of them, or neither")
    require_range(0, show=show, workers=workers)
    console = Console(highlight=False, soft_wrap=True)
    with progress_bar("check") as advance:
        report = check_corpora(
            root,
            list(split_names(corpus)),
            depth="quick" if quick else "full" if full else "standard",
            workers=workers or os.cpu_count() or 1,
            progress=advance,
        )
    print_faults(console, report, show)
    if json is not None:
        write_json(json, report.as_json())
        console.print(f"written to {json}", markup=False)
    errors, warnings = report.count("error"), report.count("warning")
    console.print(f"{errors} errors, {warnings} warnings")
    if errors:  # for scripts that train only where all is well
        raise SystemExit(1)


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
    options = ImportSettings(**settings)
    with progress_bar("video and gaze") as advance:
        report = import_video(
            video,
            gaze,
            root,
            corpus,
            options,
            video=video_name,
            part=part,
            split=split,
            overwrite=overwrite,
            progress=lambda kind, done, total: advance(done, total, kind),
        )
    kept = root / "corpora" / f"{corpus}.yaml"
    if not kept.exists():  # the first video's, which the others are to share
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


def prepare(
    root: Path,
    out: Path,
    size: str = "224x384",
    corpus: list[str] | None = None,
    format: Literal["packed", "raw"] = "packed",
    rates: list[int] | None = None,
    workers: int = 2,
) -> None:
    """Decode, resize and resample every video once instead of for every clip; give the result as `data.loading.cache`.

    One file for each video, with pictures, maps, fixations and sound; every list of every split is covered. What is
    up to date is kept, so an interrupted run continues, and a video whose files changed is made anew.

    Args:
        root: Root of the corpora.
        out: Folder of the cache; made if it does not exist.
        size: HEIGHTxWIDTH of frames in pixels, that of `data.size`.
        corpus: Names of corpora, e.g. `[AVAD, ETMD]`; all that are found under the root by default.
        format: `packed`, JPEG of quality 95 without chroma subsampling (about 26 KB a frame of 224x384), or `raw`
            (252 KB), which is read several times as fast.
        rates: Sample rates at which sound is kept, in Hz; by default 16000 (log-mel) and 22050 (waveform).
        workers: Processes.
    """
    height_width = parse_size(size, "--size", "HEIGHTxWIDTH")
    console = Console(highlight=False, soft_wrap=True)
    corpora = corpus or present_corpora(root)  # a root seldom holds all
    entries = read_videos(root, corpora, "all", missing_audio="silence", skip_missing_lists=True)
    with progress_bar(f"{format} {size}") as progress:
        report = prepare_cache(
            entries,
            out,
            height_width,
            format=format,
            rates=tuple(rates) if rates else RATES,
            workers=workers,
            progress=progress,
        )
    per_frame = report.bytes / max(1, report.frames) / 1024
    console.print(
        f"{report.made} videos prepared, {report.kept} kept, {report.frames} frames, {report.bytes / 1e9:.2f} GB "
        f"({per_frame:.1f} KiB a frame with maps and audio) in {out}"
    )
    if report.failed:  # after all the others, so that nothing is lost for one damaged file
        for name, why in report.failed.items():
            console.print(f"[bold]not prepared[/bold] {name}: {why}")
        raise InputError(
            f"{len(report.failed)} of {len(entries)} videos could not be prepared, see above; mend them and run the "
            "same command again"
        )
    console.print(f"use it with --data.loading.cache {out}")
