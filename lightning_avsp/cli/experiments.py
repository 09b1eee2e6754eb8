"""`avsp experiments`: a table of what every experiment and sweep trains, beside what its paper prints."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.test_scores import published_protocol
from lightning_avsp.sweep.composition import lookup
from lightning_avsp.sweep.costs import RunCost, plan_costs
from lightning_avsp.sweep.identity import tested_data
from lightning_avsp.sweep.planning import SweepPlan, Training, hand_made_trial, plan_sweep, plan_trial
from lightning_avsp.sweep.sweep_file import load_sweep

SILENT = "paper is silent"
COLUMNS = (
    *("file", "encoders", "stage", "trained on", "clips an epoch", "steps an epoch", "steps in all", "batch"),
    *("rate and schedule", "checkpoint", "validated", "protocol", "precision"),
)
PAPERS = {"diffsal": "DiffSal", "tavdiff": "TAVDiff", "mubic": "MUBiC", "avrsp": "AVRSP"}
PRINTED: dict[str, tuple[str, ...]] = {
    "diffsal": (
        *("MViTv2 of Kinetics, VGGish of AudioSet (5.1)", "video branch on DHF1K (5.1)", "all sets (5.1)"),
        *(SILENT, SILENT, "within 5 epochs (5.1)", "20 (5.1)", '"started learning rate" 1e-4, Adam (5.1)'),
        *(SILENT, SILENT, "code of STAViS and CASP-Net (5.1)", SILENT),
    ),
    "tavdiff": (
        *("pre-trained, from what is not said (III)", "DHF1K (IV-A)", SILENT, SILENT, SILENT),
        *("within 80 epochs (IV-B)", "16 (IV-B)", "1e-4, plateau 0.2 on validation loss, AdamW (IV-B)"),
        *(SILENT, SILENT, SILENT, SILENT),
    ),
    "mubic": (
        *(
            "VGGish of AudioSet (3.2.3.1); MViTv2, from what is not said",
            "none",
            "AVAD (4.2)",
            SILENT,
            SILENT,
        ),
        *("5 and 12 epochs (table 4.1)", "8 (table 4.1)", "1e-4 to 1e-6; figure 4.2 in steps (4.1.2)"),
        *("epochs 5 and 12 (table 4.2)", SILENT, SILENT, SILENT),
    ),
    "avrsp": (
        *(
            "S3D of Kinetics for ViNet's, of its own not said; SoundNet",
            "visual branch on DHF1K, 80 epochs (IV-B)",
        ),
        *("six sets; ablations DIEM and AVAD (IV-B, IV-E)", SILENT, SILENT, "100 epochs (IV-B)", SILENT),
        *("1e-4, plateau 0.5 on validation loss, AdamW (IV-B)", SILENT, SILENT, SILENT, SILENT),
    ),
}
"""Values that the papers print, in the order of the columns behind the first."""
HEAD = """# What each experiment and sweep trains

Made by `avsp experiments --out docs/experiments.md`; a test compares. Clips and steps are counted from the published
number of videos and frames, a tenth held out for validation, on any number of devices; "?" where nobody published a
count. "validated" are the frames predicted after each epoch. Tests score every frame by every protocol of its corpus;
the one named is that in which `avsp report` shows the table. Sweeps have one line for every kind of training that they
need: rows that differ in the network alone share it.
"""
LISTS = {
    "experiments": """# Experiments

`lightning fit --config FILE --data.root DATA`; each file opens with its command and its variants, and is composed of
`_base/`. None has been run on the papers' corpora yet. [What each trains](../docs/experiments.md), beside what its
paper prints; [starting weights](../docs/start.md#pretrained-encoders).
""",
    "sweeps": """# Sweeps

`avsp sweep run FILE --args="--data.root=DATA"`, without account or network, or `wandb sweep FILE`;
`avsp sweep plan FILE` counts its trainings and what they cost, `avsp report --sweep FILE` puts the results beside the
paper's. One file for every table and figure that a run can reproduce, named like its table in
`lightning_avsp/report/tables`. None has been run on the papers' corpora yet.
[Running sweeps, and what a model is trained on](../docs/sweeps.md).
""",
}
"""Openings of the README files of both folders."""


def experiments(
    folder: Path = Path("experiments"),
    sweeps: Path = Path("sweeps"),
    out: Path | None = None,
    readmes: bool = False,
) -> None:
    """Describe every training that the files name: encoders, stage, sets, steps, schedule, beside the printed values.

    Args:
        folder: Folder of experiment files.
        sweeps: Folder of sweep files.
        out: Markdown file to write; printed if unset.
        readmes: Instead write the lists of files, README.md in both folders.
    """
    if readmes:
        for name, path in (("experiments", folder), ("sweeps", sweeps)):
            (path / "README.md").write_text(list_files(path, LISTS[name]))
        return
    text = table_of_experiments(folder, sweeps)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text)
        print(f"written to {out}")


def table_of_experiments(folder: Path, sweeps: Path) -> str:
    """Format the tables of all four papers as Markdown.

    Raises:
        InputError: If there is no experiment in the folder.
    """
    if not any(folder.glob("*.yaml")):
        raise InputError(f"no experiment in {folder}; run this in the checkout, or give --folder")
    lines = [HEAD]
    for prefix, title in PAPERS.items():
        heads = (COLUMNS, ["---"] * len(COLUMNS), ("*printed*", *PRINTED[prefix]))
        lines += [f"## {title}", "", *map(_row, heads)]
        for path in sorted(folder.glob(f"{prefix}_*.yaml")):
            words = ["--config", str(path)]
            # by published counts, so that the table is the same on every machine
            trial = plan_trial(path.stem, hand_made_trial(words), words, (), "", with_data=False)
            lines += map(_row, _cells(path.stem, SweepPlan((trial,))))
        for path in sorted(sweeps.glob(f"{prefix}_*.yaml")):
            lines += map(_row, _cells(f"sweeps/{path.stem}", plan_sweep(load_sweep(path), with_data=False)))
        lines.append("")
    return "\n".join(lines)


def list_files(folder: Path, opening: str) -> str:
    """List the experiment or sweep files of a folder as Markdown, each with the first sentence below its command."""
    made = "Written by `avsp experiments --readmes`; a test compares."
    lines = [opening, made, "", "| file | trains |", "|---|---|"]
    for path in sorted(folder.glob("*.yaml")):
        # the first line is the command
        comments = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()[1:])
        text = " ".join(line.lstrip("# ") for line in comments)
        # a bar would end the cell
        lines.append(_row((f"`{path.name}`", text.partition(". ")[0].removesuffix(".").replace("|", "/"))))
    return "\n".join(lines) + "\n"


def _cells(name: str, plan: SweepPlan) -> Iterator[list[str]]:
    """Describe the trainings that a plan's trials test, each kind once."""
    costs = {cost.name: cost for cost in plan_costs(plan)}
    seen = set()
    for trial in plan.trials:
        if trial.split not in (1, "all"):  # splits differ in a few clips
            continue
        cells = _describe(trial.training, costs[trial.training.name], trial.checkpoint)
        if tuple(cells) not in seen:
            seen.add(tuple(cells))
            yield [name, *cells]


def _describe(training: Training, cost: RunCost, checkpoint: str) -> list[str]:
    config = training.config

    def option(dotted: str) -> Any:
        return lookup(config, dotted)

    starts = [option(f"model.network.{kind}_weights") for kind in ("video", "audio")]
    if option("data.captions") is not None and "t" in str(option("model.network.modalities")):
        starts.append("CLIP")  # whose features of captions `avsp caption` writes
    stage = option("stage") if training.stage is None else training.stage.label.split()[0]
    corpora = list(option("data.corpora") or [])
    batch = option("data.global_batch") or option("data.batch_size")
    steps = None if cost.clips is None else -(-cost.clips // int(batch))
    epochs = cost.epochs or 0
    schedule = option("model.lr_scheduler.class_path")
    rate = f"{option('model.optimizer.lr'):g}, {str(option('model.optimizer.class_path')).rpartition('.')[2]}"
    kept = "last" if checkpoint == "last" else f"best {option('monitor') or 'val/cc'}"
    return [
        " + ".join(start for start in starts if start) or "random",
        Path(str(stage)).stem if stage else "none",
        "six sets" if len(corpora) == 6 else ", ".join(corpora),
        "?" if cost.clips is None else f"{cost.clips:,}",
        "?" if steps is None else f"{steps:,}",
        "?" if steps is None else f"{steps * epochs:,} ({epochs} epochs)",
        str(batch),
        f"{rate}, {str(schedule).rpartition('.')[2] if schedule else 'constant'}",
        kept,
        "?" if cost.validation_frames is None else f"{cost.validation_frames:,}",
        " + ".join(dict.fromkeys(map(published_protocol, tested_data(config)["corpora"]))),
        str(option("trainer.precision") or "bf16-mixed on GPUs"),
    ]


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
