"""``avsp data synth``: write a synthetic corpus whose simulated observers follow the audio."""

from __future__ import annotations

from pathlib import Path


def synth(
    root: Path,
    corpus: str = "AVAD",
    videos: int = 12,
    height: int = 64,
    width: int = 128,
    seconds: float = 8.0,
    fps: float = 12.5,
    seed: int = 0,
    films: bool = False,
    workers: int = 2,
    overwrite: bool = False,
    ceilings: bool = False,
    layout: str | None = None,
) -> None:
    """Write a SYNTHETIC corpus in the layout of a real one: discs, tones and simulated observers.

    A diagnostic, not data: in most videos observers follow the sounding disc, so a model that uses audio
    scores higher than one that does not. Finished videos are kept, so an interrupted run continues.

    Args:
        root: Folder to write to; made if it does not exist.
        corpus: Corpus whose layout and names are used: AVAD, Coutrot1, Coutrot2, DIEM, ETMD, SumMe, DHF1K,
            Hollywood2, UCF or CrowdSAL.
        videos: Number of videos, at least 3: three fifths where sound decides, a fifth with music, a fifth
            silent. From 15 on every test list holds all three. Where the real corpus has no audio, all are silent.
        height: Frame height in pixels.
        width: Frame width in pixels.
        seconds: Length of each video.
        fps: Frames per second.
        seed: Seed; the same seed writes the same files.
        films: Write mp4 videos with audio too.
        workers: Processes.
        overwrite: Replace a synthetic corpus of other settings.
        ceilings: Also print the scores that a model can reach on the first test list.
        layout: One of several layouts of a corpus: unisal, tased, vinet, diffsal or avi for DHF1K, pictures or
            matrices (of fixations) for UCF; the first by default.
    """
    from rich.console import Console

    from lightning_avsp.cli.progress import progress_bar
    from lightning_avsp.data.catalogue import find_corpus
    from lightning_avsp.synthetic import STATEMENT, SyntheticSpec, synthesise_corpus

    corpus = find_corpus(corpus).folder

    console = Console(highlight=False, soft_wrap=True)
    spec = SyntheticSpec(size=(height, width), seconds=seconds, fps=fps)
    with progress_bar(f"synthetic {corpus}") as advance:
        report = synthesise_corpus(
            root,
            corpus,
            videos,
            spec=spec,
            seed=seed,
            workers=workers,
            films=films,
            overwrite=overwrite,
            progress=advance,
            layout=layout,
        )
    counts = ", ".join(f"{count} {condition}" for condition, count in report.counts.items())
    console.print(
        f"[bold]SYNTHETIC[/bold] {corpus}: {len(report.names)} videos ({counts}), {report.frames} frames each"
    )
    console.print(f"{report.written} written, {report.kept} kept, {report.seconds:.1f} s, in {report.root}")
    console.print(f"[bold]{STATEMENT}[/bold]")
    if ceilings:
        from rich.table import Table

        from lightning_avsp.synthetic import CONDITIONS
        from lightning_avsp.synthetic.ceilings import REFERENCES, score_corpus

        scores = score_corpus(report.root, corpus).to_dict("index")
        table = Table("reference", *CONDITIONS, title=f"SYNTHETIC {corpus}, test list 1: CC / NSS")
        for reference in REFERENCES:
            rows = [scores.get((reference, condition)) for condition in CONDITIONS]
            table.add_row(reference, *(f"{row['cc']:.3f} / {row['nss']:.2f}" if row else "-" for row in rows))
        console.print(table)
