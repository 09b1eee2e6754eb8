"""Do networks listen, and read? Trains experiments over seeds on a SYNTHETIC corpus and asks with wrong sound and text.

    avsp data synth --root CORPUS --corpus AVAD --videos 150
    avsp caption CORPUS --corpus AVAD --synthetic           # for networks that read
    python -m benchmarks.listening CORPUS OUT --experiments synthetic_avrsp_ravf,synthetic_avrsp_visual --seeds 0,1,2

Finished trainings and tests are kept, so the command can be stopped and given again. Writes OUT/listening.json and
OUT/listening.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lightning_avsp.demo.evaluate import CONDITIONS, by_condition
from lightning_avsp.demo.jobs import Job, run_jobs
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


@dataclass(frozen=True)
class Question:
    """One way of testing a checkpoint."""

    audio: str
    """``data.test_audio``."""
    text: str
    """``data.test_text``; ``-`` where the data have no captions."""
    steps: int | None
    """Denoising steps; None for networks that work in one pass."""

    def arguments(self) -> list[str]:
        """Options of `lightning test`."""
        found = [f"--data.test_audio={self.audio}"]
        found += [] if self.text == "-" else [f"--data.test_text={self.text}"]
        return found + ([] if self.steps is None else [f"--model.sampling.steps={self.steps}"])


def questions(config: dict[str, Any]) -> list[Question]:
    """True and wrong sound, true and wrong text, at one step and at the configured number of steps."""
    texts = ["true", "other_video"] if config["data"].get("captions") else ["-"]
    sampling = config["model"]["init_args"].get("sampling")
    diffusion = "Diffusion" in config["model"]["class_path"]
    configured = (sampling or {}).get("steps", 4) if diffusion else None
    steps = sorted({1, configured}) if configured is not None else [None]
    asked = [
        Question(audio, text, count) for count in steps for text in texts for audio in ("true", "other_video")
    ]
    # wrong sound and wrong text together say nothing new
    return [q for q in asked if not (q.audio != "true" and q.text == "other_video")]


def score(run: RunFolder, every: int, out: Path) -> None:
    """Test one finished run with every question, through the real command line."""
    import yaml

    from lightning_avsp.cli import main

    config = yaml.safe_load((run.path / "config.yaml").read_text())
    rows: list[dict[str, Any]] = []
    for question in questions(config):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main(
                [
                    "test",
                    f"--config={run.path / 'config.yaml'}",
                    f"--run_dir={run.path}",
                    "--ckpt_path=last",
                    f"--data.test_every={every}",
                    "--data.eval_batch_size=16",
                    "--wandb=disabled",
                    *question.arguments(),
                ]
            )
        results = json.loads((run.results / "test.json").read_text())
        rows += [{**asdict(question), **row} for row in by_condition(results["videos"])]
    write_json(out, rows)


def job(experiment: str, seed: int, corpus: Path, out: Path, every: int, steps: int | None) -> Job | None:
    """Training and test of one experiment and seed; None if both are done."""
    run = RunFolder(out / "runs" / experiment / f"seed{seed}")
    rows = run.results / "listening.json"
    if rows.is_file():
        return None
    commands: list[tuple[str, ...]] = []
    if not (run.record.is_file() and json.loads(run.record.read_text()).get("finished")):
        resume = ("--ckpt_path=last",) if (run.checkpoints / "last.ckpt").is_file() else ()
        commands.append(
            (
                "lightning_avsp",
                "fit",
                f"--config={EXPERIMENTS / f'{experiment}.yaml'}",
                f"--data.root={corpus}",
                f"--run_dir={run.path}",
                f"--seed_everything={seed}",
                *caption_options(experiment, corpus),
                *step_options(steps),
                "--wandb=disabled",
                "--figures=0",
                *resume,
            )
        )
    commands.append(("benchmarks.listening", "--score", str(run.path), str(rows), "--every", str(every)))
    return Job(f"{experiment}, seed {seed}", tuple(commands), out / "logs" / f"{experiment}-seed{seed}.log")


def step_options(steps: int | None) -> list[str]:
    """Another number of training steps than the experiment's, with the schedule that belongs to it."""
    if steps is None:
        return []
    return [
        f"--trainer.max_steps={steps}",
        f"--trainer.val_check_interval={steps}",
        "--trainer.limit_val_batches=1",
        f"--model.lr_scheduler.total_steps={steps}",
    ]


def caption_options(experiment: str, corpus: Path) -> list[str]:
    """Where the corpus' captions lie, for experiments that read: there `avsp caption --synthetic` writes them."""
    import yaml

    data = yaml.safe_load((EXPERIMENTS / f"{experiment}.yaml").read_text())["data"]
    if isinstance(data, str):
        data = yaml.safe_load((EXPERIMENTS / data).read_text())
    if not data.get("captions"):
        return []
    folder = corpus / "captions"
    return [f"--data.captions.folder={folder}", f"--data.captions.features={folder / 'features'}"]


def table(out: Path, experiments: list[str], seeds: list[int]) -> tuple[list[dict[str, Any]], str]:
    """All rows, and the table: CC over seeds by condition."""
    rows = []
    for experiment in experiments:
        for seed in seeds:
            path = out / "runs" / experiment / f"seed{seed}" / "results" / "listening.json"
            if path.is_file():
                rows += [
                    {"experiment": experiment, "seed": seed, **row} for row in json.loads(path.read_text())
                ]
    cells: dict[tuple[Any, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = (row["experiment"], row["audio"], row["text"], row["steps"])
        cells[key][row["condition"]].append(row["cc"])
    lines = [
        "| experiment | sound | text | steps | " + " | ".join(CONDITIONS.values()) + " | seeds |",
        "|---|---|---|---|" + "---|" * (len(CONDITIONS) + 1),
    ]
    for (experiment, audio, text, steps), found in cells.items():
        values = [cell(found[condition]) for condition in CONDITIONS.values()]
        count = max(len(ccs) for ccs in found.values())
        name = experiment.removeprefix("synthetic_")
        lines.append(f"| {name} | {audio} | {text} | {steps or '-'} | {' | '.join(values)} | {count} |")
    return rows, "\n".join(lines) + "\n"


def cell(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return "-"
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Run all jobs, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--experiments", default="")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--every", type=int, default=20, help="score every k-th test frame")
    parser.add_argument(
        "--steps", type=int, default=None, help="training steps, the experiment's own if not given"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--score", action="store_true", help="internal: test the run CORPUS, write the rows to OUT"
    )
    given = parser.parse_args()
    if given.score:
        score(RunFolder(given.corpus), given.every, given.out)
        return
    experiments = [name for name in given.experiments.split(",") if name]
    seeds = [int(seed) for seed in given.seeds.split(",")]
    jobs = [
        job(name, seed, given.corpus, given.out, given.every, given.steps)
        for seed in seeds
        for name in experiments
    ]
    try:
        run_jobs(
            [found for found in jobs if found is not None],
            given.workers,
            lambda line: print(line, flush=True),
        )
    finally:
        rows, text = table(given.out, experiments, seeds)
        write_json(given.out / "listening.json", rows)
        write_atomically(given.out / "listening.md", text)
        print(text)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
