"""Workers, trials and machines die; nothing is lost and nothing is done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.sweep import expand, load_sweep
from lightning_avsp.sweep.folders import trial_folder
from lightning_avsp.sweep.local import run_workers, shares_of_machine
from lightning_avsp.sweep.locks import FileLock, is_locked
from lightning_avsp.sweep.state import forgive, keep_manifest, sweep_states
from lightning_avsp.sweep.worker import Worker

sys.path.insert(0, str(Path(__file__).parent))
from fake_trials import diary, processes, result_count

MakeSweep = Callable[..., Path]


def start(path: Path, *options: str) -> subprocess.Popen:
    """`avsp sweep run` as a process of its own."""
    command = [
        sys.executable,
        "-m",
        "lightning_avsp",
        "sweep",
        "run",
        str(path),
        f"--runs={path.parent / 'runs'}",
    ]
    with (path.parent / "worker.log").open("a") as log:
        return subprocess.Popen([*command, *options], stdout=log, stderr=subprocess.STDOUT)


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def work(path: Path, retries: int = 2, workers: int = 1) -> list[str]:
    sweep = load_sweep(path)
    lines: list[str] = []
    worker = Worker(sweep, expand(sweep), path.parent / "runs", retries, say=lines.append, pause=0.05)
    run_workers(worker, workers)
    return lines


def states(path: Path) -> list[str]:
    sweep = load_sweep(path)
    return [state.state for state in sweep_states(sweep, expand(sweep), path.parent / "runs")]


def test_workers_share_the_trials(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep(*({"name": f"t{i}", "steps": 2} for i in range(6)))
    assert states(path) == ["waiting"] * 6
    work(path, workers=3)
    assert states(path) == ["finished"] * 6
    for i in range(6):
        assert diary(tmp_path, f"t{i}") == ["start", "step 0", "step 1", "end"]
    work(path)  # nothing is left to do
    assert all(len(processes(tmp_path, f"t{i}")) == 1 for i in range(6))


def test_a_killed_worker_leaves_its_trial_to_finish(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "a", "steps": 20}, {"name": "b", "steps": 1})
    first = start(path)
    until(lambda: "step 1" in diary(tmp_path, "a"))
    first.kill()
    first.wait()
    # the orphan holds the lock: a second worker does not start it again
    assert states(path)[0] == "running"
    work(path)
    assert result_count(tmp_path) == 2
    assert len(processes(tmp_path, "a")) == 1
    assert diary(tmp_path, "a") == ["start", *(f"step {i}" for i in range(20)), "end"]


def test_after_a_machine_died_a_trial_goes_on_where_it_was(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "a", "steps": 12}, {"name": "b", "steps": 1})
    first = start(path)
    until(lambda: "step 4" in diary(tmp_path, "a"))
    first.kill()
    os.kill(processes(tmp_path, "a")[0], signal.SIGKILL)
    first.wait()
    until(lambda: states(path)[0] == "interrupted")
    work(path, retries=0)  # losing a machine is no failure of the trial
    lines = diary(tmp_path, "a")
    assert lines.count("start") == 2
    # the step that was under way is repeated, no finished one
    steps = [line for line in lines if line.startswith("step")]
    assert set(steps) == {f"step {i}" for i in range(12)}
    assert len(steps) <= 13
    assert result_count(tmp_path) == 2


def test_a_killed_trial_is_tried_again(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "a", "steps": 12})
    first = start(path)
    until(lambda: "step 3" in diary(tmp_path, "a"))
    os.kill(processes(tmp_path, "a")[0], signal.SIGKILL)
    assert first.wait(timeout=180) == 0
    assert (tmp_path / "worker.log").read_text().count("broke off") == 1
    assert diary(tmp_path, "a").count("end") == 1
    folder = trial_folder(tmp_path / "runs", "fake", expand(load_sweep(path))[0].id)
    codes = [json.loads((attempt / "exit.json").read_text())["code"] for attempt in folder.attempts()]
    assert codes == [-signal.SIGKILL, 0]


def test_two_processes_and_two_kills_lose_and_repeat_nothing(make_sweep: MakeSweep, tmp_path: Path) -> None:
    names = [f"t{i}" for i in range(8)]
    path = make_sweep(*({"name": name, "steps": 4} for name in names))
    first, second = start(path), start(path)
    until(lambda: any(len(diary(tmp_path, name)) > 2 for name in names))
    first.kill()
    victim = next(n for n in reversed(names) if diary(tmp_path, n) and "end" not in diary(tmp_path, n))
    os.kill(processes(tmp_path, victim)[0], signal.SIGKILL)
    assert second.wait(timeout=180) == 0
    first.wait()
    assert result_count(tmp_path) == 8
    starts = {name: len(processes(tmp_path, name)) for name in names}
    assert starts.pop(victim) == 2
    assert set(starts.values()) == {1}
    assert all(diary(tmp_path, name).count("end") == 1 for name in names)


def test_sigterm_stops_a_worker_and_the_trial_goes_on_later(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "a", "steps": 15})
    first = start(path)
    until(lambda: "step 2" in diary(tmp_path, "a"))
    first.terminate()
    assert first.wait(timeout=120) == 128 + signal.SIGTERM
    assert "start again to go on" in (tmp_path / "worker.log").read_text()
    assert states(path) == ["interrupted"]
    work(path, retries=0)
    assert states(path) == ["finished"]


def test_failures_are_retried_and_then_shown(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "twice", "fail": 2}, {"name": "always", "fail": 99})
    lines = work(path, retries=2)
    assert states(path) == ["finished", "failed"]
    assert diary(tmp_path, "twice").count("fail") == 2
    assert diary(tmp_path, "always").count("fail") == 3
    (shown,) = [line for line in lines if line.startswith("failed")]
    assert shown.endswith("this is the end of the log")
    assert "code 3" in shown
    work(path, retries=2)
    assert diary(tmp_path, "always").count("fail") == 3  # given up is given up
    forgive(trial_folder(tmp_path / "runs", "fake", expand(load_sweep(path))[1].id))
    work(path, retries=0)
    assert diary(tmp_path, "always").count("fail") == 4


def test_a_command_that_writes_no_result_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "idle.yaml"
    path.write_text('method: grid\ncommand: ["true", "${args_json}"]\nparameters: {a: {value: 1}}\n')
    work(path, retries=0)
    assert states(path) == ["failed"]


def test_a_program_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("method: grid\ncommand: [no-such-program]\nparameters: {a: {value: 1}}\n")
    with pytest.raises(InputError, match="no-such-program"):
        work(path, workers=2)


def test_a_changed_command_is_refused_and_new_trials_are_told(make_sweep: MakeSweep, tmp_path: Path) -> None:
    path = make_sweep({"name": "a"})
    runs = tmp_path / "runs"
    sweep = load_sweep(path)
    assert keep_manifest(sweep, expand(sweep), runs) == []
    more = load_sweep(make_sweep({"name": "a"}, {"name": "b"}))
    assert "1 trials are new" in keep_manifest(more, expand(more), runs)[0]
    path.write_text(path.read_text().replace("fake_trial.py", "other.py"))
    with pytest.raises(InputError, match="command"):
        keep_manifest(load_sweep(path), expand(load_sweep(path)), runs)


def test_a_lock_lives_as_long_as_a_child(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.take()
    assert not FileLock(tmp_path / "lock").take()
    assert lock.number is not None
    child = subprocess.Popen([shutil.which("sleep") or "sleep", "30"], pass_fds=(lock.number,))
    lock.release()
    assert is_locked(tmp_path / "lock")
    child.kill()
    child.wait()
    assert not is_locked(tmp_path / "lock")


def test_workers_divide_gpus_and_cores() -> None:
    shares = shares_of_machine(2, {"CUDA_VISIBLE_DEVICES": "0,2,5,7"})
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0,2", "5,7"]
    with pytest.raises(InputError, match="3 workers would share 2 GPUs"):
        shares_of_machine(3, {"CUDA_VISIBLE_DEVICES": "0,1"})
    (one,) = shares_of_machine(1, {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert one["CUDA_VISIBLE_DEVICES"] == "0,1"  # a trial uses all of them
    cores = shares_of_machine(2, {"CUDA_VISIBLE_DEVICES": ""})
    assert int(cores[0]["OMP_NUM_THREADS"]) == max(1, (os.cpu_count() or 1) // 2)


def test_a_worker_needs_no_torch() -> None:
    code = (
        "import sys, lightning_avsp.sweep.worker, lightning_avsp.cli.sweep; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_workers_error_stops_the_others(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep = load_sweep(make_sweep({"name": "a", "steps": 50}))
    worker = Worker(sweep, expand(sweep), tmp_path / "runs", say=lambda line: None)

    def fail_later() -> None:
        until(lambda: bool(diary(tmp_path, "a")))
        worker.stop.set()

    thread = threading.Thread(target=fail_later)
    thread.start()
    run_workers(worker, 1)
    thread.join()
    assert "end" not in diary(tmp_path, "a")
