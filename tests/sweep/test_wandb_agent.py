"""The real code of `wandb agent` runs a sweep file; only its three calls to the server have a stand-in."""

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commandline import TINY_DATA, TINY_SLICES

from lightning_avsp.cli import main
from lightning_avsp.sweep import Trial, expand, load_sweep
from lightning_avsp.sweep.status import find_results

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "smoke.yaml"


class StandIn:
    """What W&B's server would say: the sweep, an agent's name, then one run after the other."""

    def __init__(self, path: Path, trials: list[Trial]) -> None:
        self.content = path.read_text()
        self.program = yaml.safe_load(self.content).get("program", "")
        self.waiting = list(trials)
        self.told: list[dict] = []

    def sweep(self, api: Any, sweep_id: str, specs: str) -> dict:
        return {"config": self.content}

    def register(self, api: Any, host: str, sweep_id: str | None = None) -> dict:
        return {"id": "agent"}

    def heartbeat(self, api: Any, agent_id: str, metrics: dict, running: dict) -> list[dict]:
        if running:
            return []
        if not self.waiting:
            return [{"type": "exit"}]
        trial = self.waiting.pop(0)
        # a server may give numbers and keys back in another form and order
        args = {
            key: {"value": value} for key, value in reversed(json.loads(json.dumps(trial.overrides)).items())
        }
        return [{"type": "run", "run_id": f"run-{trial.id}", "program": self.program, "args": args}]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with the environment put back afterwards: the agent writes into it."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    os.environ["WANDB_DIR"] = str(tmp_path)
    os.environ["WANDB_SWEEP_ID"] = "sweep0"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def run_agent(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Any:
    wandb = pytest.importorskip(
        "wandb", minversion="0.30", reason="the stand-in answers the client of wandb 0.30"
    )
    from wandb import wandb_agent
    from wandb.apis.public import sweeps

    monkeypatch.setattr(sweeps, "_sweep_with_runs", stand_in.sweep)
    monkeypatch.setattr(sweeps, "_register_agent", stand_in.register)
    monkeypatch.setattr(sweeps, "_agent_heartbeat", stand_in.heartbeat)
    monkeypatch.setattr(wandb, "Api", object)
    monkeypatch.setattr(wandb_agent.Agent, "POLL_INTERVAL", 0.2)
    queue: multiprocessing.Queue = multiprocessing.Queue()
    agent = wandb_agent.Agent(object(), queue, sweep_id="sweep0")
    agent.run()
    queue.close()
    queue.join_thread()
    for run in agent._run_processes.values():
        run.wait()
    return agent


def test_the_agent_runs_the_commands_that_local_workers_run(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = at_home / "tell.py"
    script.write_text(
        "import json, os, sys; from pathlib import Path\n"
        "Path(os.environ['WANDB_RUN_ID']).write_text(json.dumps(sys.argv))\n"
    )
    path = at_home / "told.yaml"
    parameters = {"a": {"values": [{"x": None, "y": [1, 2]}, {"x": True}]}, "b": {"values": [1e-05, 3]}}
    command = ["${env}", sys.executable, str(script), "trial", "--config", "${args_json}"]
    path.write_text(yaml.safe_dump({"method": "grid", "command": command, "parameters": parameters}))
    trials = expand(load_sweep(path))
    agent = run_agent(StandIn(path, trials), monkeypatch)
    assert (agent._finished, agent._failed) == (4, 0)
    for trial in trials:
        told = json.loads((at_home / f"run-{trial.id}").read_text())
        assert told[:-1] == list(trial.command[2:-1])
        assert json.loads(told[-1]) == trial.overrides == json.loads(trial.command[-1])


@pytest.mark.long
def test_two_real_trials_share_one_training_under_the_agent_and_locally(
    at_home: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = at_home / "real.yaml"
    fixed = [*TINY_DATA, TINY_SLICES, "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    fixed += [
        "--trainer.limit_test_batches=1",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--figures=0",
    ]
    content = {
        "program": "lightning",
        "method": "grid",
        "metric": {"name": "test/cc", "goal": "maximize"},
        "command": [
            *("${env}", "${program}", "trial", "--sweep", "real", "--config", str(EXPERIMENT)),
            *(f"--data.root={corpus}", *fixed, "--config", "${args_json}"),
        ],
        "parameters": {
            "model": {"values": [{"init_args": {"sampling": {"steps": steps}}} for steps in (1, 3)]},
            "seed_everything": {"value": 4},
        },
    }
    path.write_text(yaml.safe_dump(content))
    trials = expand(load_sweep(path))
    agent = run_agent(StandIn(path, trials), monkeypatch)
    assert (agent._finished, agent._failed) == (2, 0)
    found = find_results(load_sweep(path), Path("runs"))
    results = [json.loads(found[trial.id].read_text()) for trial in trials]
    assert len(list(Path("runs/trainings").iterdir())) == 1
    assert len({result["training"] for result in results}) == 1
    fits = json.loads((Path(results[0]["run_dir"]) / "attempts.json").read_text())
    assert [fit["code"] for fit in fits] == [0]
    for trial, result, steps in zip(trials, results, (1, 3), strict=True):
        assert result["trial"] == trial.id
        assert result["overrides"] == trial.overrides
        assert result["sampling"]["steps"] == steps
        assert result["synthetic"] == ["AVAD"]
        assert result["seed"] == 4
        assert result["steps"] == 2
        assert -1 <= result["metrics"]["test/cc"] <= 1
        assert result["videos"]
        assert result["train_wall_s"] > 0
        assert result["wall_s"] > 0
    assert results[0]["metrics"] != results[1]["metrics"]
    assert results[0]["test"] != results[1]["test"]

    # without the server the same results are found: nothing is left to do
    main(["sweep", "run", str(path)])
    assert "2 of 2 trials are finished" in capsys.readouterr().out
    main(["sweep", "status", str(path)])
    assert "2 finished" in capsys.readouterr().out
    main(["sweep", "plan", str(path)])
    assert "2 trials, 1 trainings (0 of them earlier stages), 1 of them finished" in capsys.readouterr().out
