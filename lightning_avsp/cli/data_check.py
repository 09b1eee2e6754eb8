"""``avsp data check``: contents of corpora, their faults, and remedies."""

from __future__ import annotations

import os
from pathlib import Path


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
    from rich.console import Console

    from lightning_avsp.cli.progress import progress_bar
    from lightning_avsp.curation.check.corpus import check_corpora
    from lightning_avsp.curation.check.report import print_faults
    from lightning_avsp.errors import InputError, require_range
    from lightning_avsp.run_folder import write_json

    if quick and full:
        raise InputError("--quick and --full contradict each other; give one of them, or neither")
    require_range(0, show=show, workers=workers)
    console = Console(highlight=False, soft_wrap=True)
    with progress_bar("check") as advance:
        report = check_corpora(
            Path(root),
            [name.strip() for name in corpus.split(",") if name.strip()],
            depth="quick" if quick else "full" if full else "standard",
            workers=workers or os.cpu_count() or 1,
            progress=advance,
        )
    print_faults(console, report, show)
    if json is not None:
        write_json(Path(json), report.as_json())
        console.print(f"written to {json}", markup=False)
    errors, warnings = report.count("error"), report.count("warning")
    console.print(f"{errors} errors, {warnings} warnings")
    if errors:
        raise SystemExit(1)
