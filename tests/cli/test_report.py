from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lightning_avsp.cli import dispatch as cli
from lightning_avsp.sweep import expand, load_sweep

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of the two rows of DiffSal table 4, under tmp_path/sweeps."""
    path = tmp_path / "sweeps" / "diffsal_table4.yaml"
    path.parent.mkdir()
    command = ["${program}", "trial", "--config", str(EXPERIMENTS / "smoke.yaml"), "--config", "${args_json}"]
    models = [{"init_args": {"network": {"init_args": {"attention": name}}}} for name in ("standard", "eca")]
    parameters = {"model": {"values": models}}
    content = {"program": "lightning", "method": "grid", "command": command, "parameters": parameters}
    path.write_text(yaml.safe_dump(content))
    return path


def finish(sweep: Path, runs: Path) -> None:
    for trial in expand(load_sweep(sweep)):
        path = runs / "sweeps" / sweep.stem / f"{trial.id}-t" / "result.json"
        path.parent.mkdir(parents=True)
        videos = [{"corpus": "AVAD", "video": f"v{n}", "frames": 2, "cc": 0.5 + n / 10} for n in range(3)]
        content = {"trial": trial.id, "row": trial.row, "label": trial.label, "args": [], "training": "a"}
        content |= {"run_dir": "gone", "videos": videos, "seed": 0, "split": 1}
        path.write_text(json.dumps(content))


def run(*arguments: object) -> None:
    cli.main(["report", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "html"])
def test_every_format_is_written(sweep: Path, tmp_path: Path, form: str):
    finish(sweep, tmp_path / "runs")
    out, runs = tmp_path / "out" / "report", f"--runs={tmp_path / 'runs'}"
    run(f"--sweep={sweep}", runs, f"--format={form}", f"--out={out}", "--efficiency=false")
    text = out.read_text()
    assert "SCA" in text
    assert "0.6" in text


def test_all_takes_every_table_with_or_without_a_sweep(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (sweep.parent / "own.yaml").write_text("method: grid\nparameters: {a: {value: 1}}\n")
    run("--all", f"--sweeps={sweep.parent}", f"--runs={tmp_path / 'runs'}", "--efficiency=false")
    text = capsys.readouterr().out
    assert text.count("## ") == 27
    assert "diffsal_table4: INCOMPLETE: 0 of 2 trials." in text
    assert "mubic_fig41: printed numbers alone." in text


def test_strict_fails_until_everything_is_there(sweep: Path, tmp_path: Path):
    out = tmp_path / "report.md"
    runs = f"--runs={tmp_path / 'runs'}"
    arguments = (f"--sweep={sweep}", runs, f"--out={out}", "--efficiency=false", "--strict")
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 1
    assert "missing" in out.read_text()  # the report is written all the same
    finish(sweep, tmp_path / "runs")
    with pytest.raises(SystemExit):  # SIM was not measured
        run(*arguments)
    assert "2 of 2 trials" in out.read_text()


def test_costs_are_there_without_any_run(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(f"--sweep={sweep}", f"--runs={tmp_path / 'runs'}")
    line = next(line for line in reversed(capsys.readouterr().out.splitlines()) if line.startswith("| SCA"))
    assert float(line.split("|")[3]) > 0.1  # millions of parameters


def test_the_leaderboard_needs_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run("--leaderboard", "--corpus=avad", "--metric=auc_judd", f"--runs={tmp_path / 'none'}")
    text = capsys.readouterr().out
    assert text.startswith("## Leaderboard: AVAD, by AUC-J")
    assert "| TAVDiff (TAV) | 1 |" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to report"),
        (("--leaderboard",), "--leaderboard needs --corpus"),
        (("--all", "--corpus=AVAD"), "--leaderboard needs --corpus"),
        (("--all", "--sweeps=nowhere"), "no folder of sweeps at nowhere"),
        (("--sweep=nowhere.yaml",), "no sweep file at nowhere.yaml"),
        (("--sweep=a.yaml", "--all"), "exclude each other"),
        (("--all", "--leaderboard", "--corpus=AVAD", "--format=csv"), "one CSV file for each"),
        (("--all", "--speeds=nowhere.json"), "nowhere.json holds no speeds"),
        (("--leaderboard", "--corpus=AVAD", f"--out={__file__}/report.md"), "File exists"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    arguments: tuple[str, ...], message: str, refused: Callable[..., str]
):
    assert message in refused(["report", *arguments])
