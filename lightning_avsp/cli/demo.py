"""`avsp demo`: a corpus, three trainings, their tests, one table, and a real film, in minutes on a CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path

MODELS = {
    "video only": "demo_video_only",
    "published fusion": "demo_published",
    "product residual": "demo_listens",
    "released": "demo_released",
}
"""Rows of the table and the experiments that make them."""
DEFAULT_MODELS = ["video only", "published fusion", "product residual"]
STATEMENT = (
    "SYNTHETIC corpus: generated discs and tones, simulated observers. It shows whether a network binds sound to "
    "vision, and says nothing about natural films."
)


def demo(
    out: Path = Path("demo"),
    seeds: list[int] = [0],  # noqa: B006  # never changed; the command line shows it as the default
    models: list[str] = DEFAULT_MODELS,
    videos: int = 150,
    steps: int = 300,
    every: int = 20,
    workers: int = 3,
    clip: Path | None = None,
) -> None:
    """Does a model listen? Train tiny networks with and without sound, test them, and predict on a real film.

    A second call continues where the first one stopped and repeats nothing that is finished.

    Args:
        out: Folder for the corpus, the runs, the table and the film.
        seeds: Training seeds; with several, the table shows mean and spread.
        models: Rows of the table: "video only", "published fusion", "product residual", "released".
        videos: Videos of the synthetic corpus; two thirds of them train.
        steps: Training steps of each network.
        every: Score every k-th frame of the test videos.
        workers: Trainings side by side.
        clip: A film for the overlay; the Big Buck Bunny clip that `make demo` installs when not given.
    """
    from rich.console import Console
    from rich.table import Table

    from lightning_avsp.demo.jobs import run_jobs
    from lightning_avsp.demo.plan import DemoPlan, find_film
    from lightning_avsp.demo.table import HEADER, as_markdown, table_rows
    from lightning_avsp.run_folder import write_atomically, write_json

    console = Console()
    film = find_film(clip)  # before minutes of training: a wrong path is said at once
    plan = DemoPlan(
        out=out,
        models={name: MODELS.get(name, "") for name in models},
        videos=videos,
        steps=steps,
        every=every,
    )
    plan.check()
    console.print(f"[bold]{STATEMENT}[/bold]")
    plan.make_corpus(workers=os.cpu_count() or 1)
    jobs = plan.jobs(seeds)
    console.print(
        f"{len(jobs)} jobs, {workers} at a time, {steps} training steps each; logs in {out / 'logs'}"
    )
    run_jobs(jobs, workers, lambda line: console.print(line, highlight=False))

    rows = [row for path in plan.row_files(seeds) for row in json.loads(path.read_text())]
    table = Table(title="CC / NSS by what decides where observers look (SYNTHETIC)")
    for column in HEADER:
        table.add_column(column)
    for cells in table_rows(rows):
        table.add_row(*cells)
    console.print(table)
    for line in plan.sensitivity_lines(seeds):
        console.print(line, highlight=False)
    write_json(out / "results.json", {"statement": STATEMENT, "seeds": seeds, "steps": steps, "rows": rows})
    write_atomically(out / "table.md", f"{STATEMENT}\n\n{as_markdown(rows)}")

    run_jobs(plan.film_jobs(film, seeds[0]), 1, lambda line: console.print(line, highlight=False))
    console.print(f"table     {out / 'table.md'} and {out / 'results.json'}")
    console.print(
        f"film      {out / 'film' / 'overlay.mp4'} (a network trained on discs: watch how, not what)"
    )
    console.print(f"runs      {out / 'runs'} (configuration, checkpoints, metrics, figures of each)")
    console.print(f"corpus    {plan.corpus}")
