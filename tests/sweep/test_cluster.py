"""Drivers, workers and trainings are killed at any moment: what is finished stays, nothing runs twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import wait_for
from fake_sweep import FakeSweep, fake_environment, is_alive, parent_of

from lightning_avsp.cli import main
from lightning_avsp.sweep.cluster import Cluster, run_plan
from lightning_avsp.sweep.execution import Runner
from lightning_avsp.sweep.planning import SweepPlan
from lightning_avsp.sweep.status import states_of

pytestmark = pytest.mark.long
MakeSweep = Callable[..., FakeSweep]
Meanwhile = Callable[[Callable[[], None]], None]


def lines(sweep: FakeSweep) -> list[str]:
    return [state.state for state in states_of(sweep.plan(), sweep.runs)]


def test_stages_come_first_and_everything_runs_once(
    make_sweep: MakeSweep, cluster: Cluster, tmp_path: Path, corpus: Path
) -> None:
    stage = {"seed_everything": 9, "data": {"root": str(corpus)}, "wandb_project": str(tmp_path / "notes")}
    stage["model"] = {"class_path": "DiffusionSaliencyTask"}
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
    steps = {"values": [{"init_args": {"sampling": {"steps": count}}} for count in (1, 3)]}
    sweep = make_sweep(0, 1, model=steps, init_from={"value": f"stage:{tmp_path / 'stage.yaml'}"})
    sweep.go(0, 1, 9)
    assert lines(sweep) == ["waiting"] * 4
    assert sweep.run(cluster) == []
    assert lines(sweep) == ["finished"] * 4
    # two tests share a training
    assert [sweep.events(seed) for seed in (9, 0, 1)] == [["new", "waits", "end"]] * 3
    assert sweep.events(0, "test") == ["new", "new"]
    plan = sweep.plan()
    last = plan.trials[0].training
    assert last.stage is not None
    used = yaml.safe_load((last.folder(sweep.runs) / "fit.yaml").read_text())["init_from"]
    assert used == str(last.stage.folder(sweep.runs) / "checkpoints" / "best.ckpt")
    notes = (sweep.notes / "notes.txt").read_text()
    assert sweep.run(cluster) == []
    assert (sweep.notes / "notes.txt").read_text() == notes
    for trial in plan.trials:
        result = json.loads(trial.result(sweep.runs).read_text())
        assert (result["trial"], result["training"]) == (trial.trial.id, trial.training.name)
        assert result["stages"] == [last.stage.name]
        # W&B's run of a training has the training's name, so that it is joined again
        assert f"{trial.training.name} {used}" in notes


def test_killed_trainings_and_workers_are_resumed(
    make_sweep: MakeSweep, cluster: Cluster, meanwhile: Meanwhile
) -> None:
    sweep = make_sweep(0, 1, 2)
    sweep.go(2)

    def kill() -> None:
        training, survivor = sweep.pid(0), sweep.pid(1)
        os.kill(training, signal.SIGKILL)
        os.kill(parent_of(survivor), signal.SIGKILL)
        wait_for(lambda: not is_alive(survivor))  # it dies with its worker
        wait_for(lambda: "resumed" in sweep.events(0) and "resumed" in sweep.events(1))
        sweep.go(0, 1)

    meanwhile(kill)
    assert sweep.run(cluster) == []
    assert sweep.results() == 3
    for seed in (0, 1):
        assert sweep.events(seed) == ["new", "waits", "resumed", "waits", "end"]
    assert sweep.events(2) == ["new", "waits", "end"]


def test_a_failing_row_is_tried_again_and_shown_while_the_others_go_on(
    make_sweep: MakeSweep, cluster: Cluster, capsys: pytest.CaptureFixture
) -> None:
    sweep = make_sweep(0, 1, 2)
    sweep.go(0, 1, 2)
    (sweep.notes / "fail1").touch()
    (sweep.notes / "refuse2").touch()
    said: list[str] = []
    failed = sweep.run(cluster, said, retries=1)
    assert sorted(trial.seed for trial in failed) == [1, 2]
    # a user's error is not tried again
    assert [sweep.events(seed).count("new") for seed in (0, 1, 2)] == [1, 2, 1]
    assert sum(line.startswith("finished") for line in said) == 1
    assert sum("this is the end of the log" in line for line in said) == 2
    assert lines(sweep) == ["finished", "failed", "failed"]
    main(["sweep", "status", str(sweep.path), f"--runs={sweep.runs}"])
    shown = capsys.readouterr().out
    assert "1 finished, 2 failed" in shown
    assert shown.count("this is the end of the log") >= 2
    (sweep.notes / "fail1").unlink()
    (sweep.notes / "refuse2").unlink()
    assert sweep.run(cluster) == []  # the next start tries them again
    assert lines(sweep) == ["finished"] * 3


def test_sigterm_lets_trainings_save(make_sweep: MakeSweep, cluster: Cluster, meanwhile: Meanwhile) -> None:
    sweep = make_sweep(0, 1)

    def stop() -> None:
        sweep.pid(0)
        sweep.pid(1)
        running = [state.line() for state in states_of(sweep.plan(), sweep.runs)]
        assert running[0].split() == ["all", "1", "0", "training", "5/10", "1m05", "node1"]
        assert all(len(line) <= 80 for line in running)
        os.kill(os.getpid(), signal.SIGTERM)

    meanwhile(stop)
    with pytest.raises(SystemExit) as left:
        sweep.run(cluster)
    assert left.value.code == 128 + signal.SIGTERM
    assert sweep.events(0) == sweep.events(1) == ["new", "waits", "saved"]
    assert lines(sweep) == ["interrupted"] * 2
    sweep.go(0, 1)
    assert sweep.run(cluster) == []
    assert sweep.events(0)[3:] == ["resumed", "waits", "end"]


def test_a_killed_driver_leaves_nothing_behind(
    make_sweep: MakeSweep, cluster: Cluster, start: Callable, ending: list[int]
) -> None:
    sweep = make_sweep(0, 1)
    sweep.go(0)
    environment = {**os.environ, **fake_environment()}
    command = [
        sys.executable,
        *["-m", "lightning_avsp", "sweep", "run"],
        str(sweep.path),
        f"--runs={sweep.runs}",
    ]
    with (sweep.notes / "driver.log").open("w+") as log:
        driver = start([*command, "--jobs=2"], stderr=log, stdout=subprocess.DEVNULL, env=environment)
    survivor = sweep.pid(1, driver)
    wait_for(lambda: sweep.results() == 1, driver)
    left = descendants(driver.pid)
    assert survivor in left
    assert len(left) > 4  # Ray's own processes and its workers
    # Ray's two agents need a minute to find out that their node is gone
    ending += [pid for pid in left if b"Agent" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ending) == 2
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(map(is_alive, set(left) - set(ending))))
    assert lines(sweep) == ["finished", "interrupted"]
    sweep.go(1)
    assert sweep.run(cluster) == []
    assert sweep.events(0) == ["new", "waits", "end"]
    # whether the training may still save is decided by which of Ray's processes ends first
    saved = ["saved"] if "saved" in sweep.events(1) else []
    assert sweep.events(1) == ["new", "waits", *saved, "resumed", "waits", "end"]


def descendants(pid: int) -> list[int]:
    """Every process that a process started, however indirectly."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = parent_of(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


CHILD = [sys.executable, "-m", "lightning_avsp.sweep.child"]


def start_child(sweep: FakeSweep, start: Callable) -> subprocess.Popen[str]:
    """A training's process, started by this one without Ray."""
    plan = sweep.plan()
    run = plan.trials[0].training.folder(sweep.runs)
    config = Runner(sweep.runs, Path.cwd())._placed(
        {**plan.trials[0].training.config, "init_from": None}, run
    )
    run.mkdir(parents=True, exist_ok=True)
    (run / "fit.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, **fake_environment(), "WANDB_RUN_ID": "x"}
    return start([*CHILD, "fit", "--config", str(run / "fit.yaml")], env=environment)


def test_a_training_never_runs_beside_another_of_the_same_folder(
    make_sweep: MakeSweep, start: Callable
) -> None:
    sweep = make_sweep(0)
    first = start_child(sweep, start)
    sweep.pid(0)
    second = start_child(sweep, start)
    wait_for(lambda: has_lock_open(second.pid))
    assert sweep.events(0) == ["new", "waits"]
    sweep.go(0)
    assert (first.wait(), second.wait()) == (0, 0)
    assert sweep.events(0) == ["new", "waits", "end"]  # the second found it finished


def has_lock_open(pid: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # files are closed while they are looked through
            if link.readlink().name == "lock":
                return True
    return False


def test_trials_of_several_sweeps_share_their_training_and_its_test(
    make_sweep: MakeSweep, cluster: Cluster
) -> None:
    sweep = make_sweep(0)
    sweep.go(0)
    (one,) = sweep.plan().trials
    both = SweepPlan((one, replace(one, sweep="another")))
    assert run_plan(both, Runner(sweep.runs, Path.cwd()), cluster, 0, lambda line: None) == []
    assert (sweep.events(0), sweep.events(0, "test")) == (["new", "waits", "end"], ["new"])
    assert all(trial.result(sweep.runs).is_file() for trial in both.trials)


def test_a_run_asks_for_no_more_than_a_node_has() -> None:
    assert Cluster(((0, 8), (0, 4)), jobs=1).share(1) == {"num_gpus": 0, "num_cpus": 4}
    mixed = Cluster(((0, 64), (8, 16)), jobs=1)  # a head without GPUs
    assert mixed.gpus == 8
    assert mixed.share(5) == {"num_gpus": 5, "num_cpus": 10}
