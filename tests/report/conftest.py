"""A small sweep with a printed table, and results as its trials would write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_avsp.report.published import PublishedTable, parse_table
from lightning_avsp.report.table import CostCounter, SweepReport, read_report
from lightning_avsp.sweep import Trial, expand, load_sweep

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
QUALITY = {0: 0.60, 1: 0.65, 2: 0.70}
"""What our rows reach, in the paper's order."""


SWEEP = """
program: lightning
method: grid
command: ["${env}", "${program}", trial]
parameters:
  model:
    values:
      - {init_args: {network: {init_args: {modality: v}}}}
      - {init_args: {network: {init_args: {modality: av, attention: standard}}}}
      - {init_args: {network: {init_args: {modality: av, attention: eca}}}}
  data: {parameters: {corpora: {value: [AVAD]}, split: {values: [1, 2, 3]}}}
  seed_everything: {values: [0, 1]}
"""
PRINTED = """
id: paper_table1
table: "1"
source: DiffSal table 1
kind: ablation
title: Rows & <script>alert(1)</script>
metrics: [CC, SIM]
rows:
  - {row: {name: baseline, model: DiffSal, inputs: AV}, AVAD: [0.70, null]}
  - {row: {name: +ECA <b>bold</b>, model: DiffSal, inputs: AV}, AVAD: [0.71, 0.5]}
  - {row: {name: full_model & more, model: DiffSal, inputs: AV}, AVAD: [0.72, 0.5], cost: {params_M: 76.57}}
  - {row: {name: STAViS, model: STAViS, inputs: AV}, AVAD: [0.608, 0.457]}
"""


class Table:
    """A sweep file with three rows, two seeds and three splits of AVAD, and an external row."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.root = root
        self.sweeps = root / "sweeps"
        self.runs = root / "runs"
        self.sweeps.mkdir(parents=True, exist_ok=True)
        self.path = self.sweeps / f"{name}.yaml"
        self.content: dict[str, Any] = yaml.safe_load(SWEEP)
        self.content["command"] += ["--config", str(EXPERIMENTS / "smoke.yaml"), "--config", "${args_json}"]
        self.printed: dict[str, Any] = yaml.safe_load(PRINTED)
        self.write()

    @property
    def published(self) -> PublishedTable:
        """The printed table."""
        return parse_table("DiffSal", self.printed)

    def report(self, counter: CostCounter | None = None, protocol: str = "") -> SweepReport:
        """The report of whatever is finished."""
        return read_report(self.path, self.runs, counter, self.published, protocol=protocol)

    def write(self) -> None:
        """Write the sweep file."""
        self.path.write_text(yaml.safe_dump(self.content, sort_keys=False))

    def vary_sampling(self) -> None:
        """Let rows differ in their steps alone, so that all have one network."""
        self.content["parameters"]["model"]["values"] = [
            {"init_args": {"network": {"init_args": {"modality": "v"}}, "sampling": {"steps": steps}}}
            for steps in (1, 2, 4)
        ]
        self.write()

    def trials(self) -> list[Trial]:
        """Every trial."""
        return expand(load_sweep(self.path))

    def finish(self, trial: Trial, *, synthetic: bool = False, **more: Any) -> Path:
        """Write the result of a trial, with a training run that has curves and a picture."""
        assert trial.row is not None
        row, split, seed = trial.row, trial.overrides["data"]["split"], trial.overrides["seed_everything"]
        value = QUALITY[row]
        training = f"{trial.id[:6]}{row}{split}{seed}xxx"[:12]
        run = self.runs / "trainings" / training
        videos = [
            {
                "corpus": "AVAD",
                "video": f"{split}_{number}",
                "frames": 10,
                "cc": value + 0.01 * seed + 0.02 * split + 0.05 * (number - 2),
                "sim": None if number == 0 else value - 0.1,
                "cc_frames": 10,
            }
            for number in range(2 + split)  # splits of different sizes: pooling and split means differ
        ]
        folder = run / "metrics" / "fit"
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["epoch,step,train/loss,lr-Adam,train/epoch_loss,train/epoch_mse_per_pixel,val/cc"]
        for epoch in range(4):
            lines += [f",{epoch * 10},,{0.1**epoch},,,", f"{epoch},{epoch * 10},9,,,,"]
            lines += [f"{epoch},{epoch * 10 + 9},,,,,{value - 0.2 + epoch / 20}"]
            lines += [f"{epoch},{epoch * 10 + 9},,,{2 - epoch / 4},{split / 100},"]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        (run / "figures").mkdir(exist_ok=True)
        picture = np.random.default_rng(row).integers(0, 255, (60, 400, 3), dtype=np.uint8)
        Image.fromarray(picture).save(run / "figures" / "epoch_003.png")
        result = {
            "trial": trial.id,
            "row": trial.row,
            "label": trial.label,
            "args": [],
            "training": training,
            "run_dir": str(run),
            "videos": videos,
            "synthetic": ["AVAD"] if synthetic else [],
            "selection": "chosen on validation videos held out of the training list",
            "seed": seed,
            "split": split,
            "wall_s": 12.0,
            "train_wall_s": 100.0,
            "device": "cpu",
        } | more
        path = self.runs / "sweeps" / self.name / f"{trial.id}-{training}" / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
        return path

    def finish_all(self, *, synthetic: bool = False) -> None:
        """Finish every trial."""
        for trial in self.trials():
            self.finish(trial, synthetic=synthetic)


@pytest.fixture
def filled(table: Table) -> SweepReport:
    """Two rows finished, one with five of six trials, on the real corpus."""
    for trial in table.trials()[:-1]:
        table.finish(trial)
    return table.report()


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[[str], Table]:
    """Makes a sweep of some name without any result."""
    return lambda name: Table(tmp_path, name)


@pytest.fixture(scope="session")
def synthetic_table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The sweep with SYNTHETIC results of all trials but one; to read alone."""
    table = Table(tmp_path_factory.mktemp("synthetic"), "paper_table1")
    for trial in table.trials()[:-1]:
        table.finish(trial, synthetic=True)
    return table


@pytest.fixture
def table(make_table: Callable[[str], Table]) -> Table:
    """The sweep without any result."""
    return make_table("paper_table1")
