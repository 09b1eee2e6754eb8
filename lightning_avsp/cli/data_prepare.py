"""``avsp data prepare``: decode every video of a corpus once, into files that loader processes map."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


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
    from rich.console import Console

    from lightning_avsp.cli.progress import progress_bar
    from lightning_avsp.data.cache.prepare import RATES, prepare_cache
    from lightning_avsp.data.corpora import present_corpora, read_videos
    from lightning_avsp.errors import InputError

    height_width = parse_size(size)
    console = Console(highlight=False, soft_wrap=True)
    corpora = corpus or present_corpora(Path(root))  # a root seldom holds all
    entries = read_videos(Path(root), corpora, "all", missing_audio="silence", skip_missing_lists=True)
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
    if report.failed:
        for name, why in report.failed.items():
            console.print(f"[bold]not prepared[/bold] {name}: {why}")
        raise InputError(
            f"{len(report.failed)} of {len(entries)} videos could not be prepared, see above; mend them and run the "
            "same command again"
        )
    console.print(f"use it with --data.loading.cache {out}")


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from ``HEIGHTxWIDTH``.

    Raises:
        InputError: If it is anything else.
    """
    from lightning_avsp.errors import InputError

    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise InputError(f"--size must be HEIGHTxWIDTH in pixels, e.g. 224x384, got {text!r}")
    return int(height), int(width)
