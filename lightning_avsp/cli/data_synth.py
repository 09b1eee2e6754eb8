"""``avsp data synth``: write a synthetic corpus whose simulated observers follow the audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_avsp.cli.progress import progress_bar
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.synthetic import CONDITIONS, STATEMENT, SyntheticSpec, synthesise_corpus


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
        report = synthesise_corpus(root, corpus, spec=spec, workers=workers, progress=advance, **options)
    counts = ", ".join(f"{count} {condition}" for condition, count in report.counts.items())
    console.print(
        f"[bold]SYNTHETIC[/bold] {corpus}: {len(report.names)} videos ({counts}), {report.frames} frames each"
    )
    console.print(f"{report.written} written, {report.kept} kept, {report.seconds:.1f} s, in {report.root}")
    console.print(f"[bold]{STATEMENT}[/bold]")
    if ceilings:
        from rich.table import Table

        from lightning_avsp.synthetic.ceilings import REFERENCES, score_corpus

        scores = score_corpus(report.root, corpus).to_dict("index")
        table = Table("reference", *CONDITIONS, title=f"SYNTHETIC {corpus}, test list 1: CC / NSS")
        for reference in REFERENCES:
            rows = [scores.get((reference, condition)) for condition in CONDITIONS]
            table.add_row(reference, *(f"{row['cc']:.3f} / {row['nss']:.2f}" if row else "-" for row in rows))
        console.print(table)
