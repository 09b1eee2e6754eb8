import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_avsp.cli import main
from lightning_avsp.errors import InputError
from lightning_avsp.sweep.children import trainer_environment
from lightning_avsp.sweep.shards import read_shard
from lightning_avsp.sweep.trial_options import read_options

PARENT = """
import sys
from lightning_avsp.sweep.children import Children
children = Children()
children.listen()
children.run([sys.executable, "-c", sys.argv[1]], {})
"""
CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path({folder!r})
def save(number, frame):
    (folder / "saved").write_text("x")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / "ready").write_text("x")
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_stopped_trial_lets_its_training_save(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD.format(folder=str(tmp_path))])
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(parent.pid, number)
    assert parent.wait(timeout=60) == 128 + number
    assert (tmp_path / "saved").exists()


def test_trial_takes_its_own_options_and_passes_on_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ["--config", "a.yaml", "--data.root=x", "--config", '{"a": {"b": -1}}']
    options, passed = read_options([*rest[:2], "--sweep=s", *rest[2:], "--runs", "r", "--checkpoint=last"])
    assert (options.sweep, options.runs, options.checkpoint) == ("s", Path("r"), "last")
    assert passed == rest
    monkeypatch.setenv("AVSP_RUNS", "/elsewhere")
    assert read_options(["--sweep=s", "--config=a"])[0].runs == Path("/elsewhere")


@pytest.mark.parametrize(
    "arguments", [["--config", "a"], ["--sweep", "s"], ["--sweep=s", "--checkpoint=x", "--a"]]
)
def test_a_trial_without_what_it_needs_ends_with_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["trial", *arguments])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: lightning trial")


def test_trial_explains_itself(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["trial", "--help"])
    assert stop.value.code == 0
    assert "--sweep" in capsys.readouterr().out


def test_trainings_in_slurm_and_under_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    own = trainer_environment()
    assert own["SLURM_JOB_NAME"] == "interactive"  # Lightning starts one process per device itself
    assert (own["WANDB_RUN_ID"], own["WANDB_SWEEP_ID"], own["WANDB_RESUME"]) == ("abc", "s", "allow")
    stage = trainer_environment(of_trial=False)
    assert not {"WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_RESUME"} & stage.keys()


def test_shards_count_from_0() -> None:
    assert read_shard("2/3") == (2, 3)
    for text in ("3/3", "a/2", "1", "-1/2", "1/0"):
        with pytest.raises(InputError, match="shard"):
            read_shard(text)
