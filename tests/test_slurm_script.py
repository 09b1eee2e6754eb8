"""scripts/slurm_fit.sbatch under bash, with `srun` replaced by a script that writes down what it was given."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "slurm_fit.sbatch"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a fake srun that leaves its arguments in ``srun.txt``, one a line."""
    programs = tmp_path / "bin"
    programs.mkdir()
    srun = programs / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > srun.txt\nexit "${FAKE_SRUN_CODE:-0}"\n')
    srun.chmod(0o755)
    return tmp_path


def run(
    folder: Path, *arguments: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    slurm = {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4", **variables}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), **slurm}
    (folder / "srun.txt").unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        cwd=folder,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )
    given = folder / "srun.txt"
    return done, given.read_text().splitlines() if given.is_file() else []


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_first_start_hands_over_nodes_devices_and_the_users_options(folder: Path) -> None:
    done, given = run(folder, "experiments/smoke.yaml", "--data.root", "my data", "--data.global_batch", "64")
    assert done.returncode == 0, done.stderr
    start = given.index("lightning")
    assert given[:start] == ["--wait=300"]  # kill-on-bad-exit could kill the process that is requeueing
    assert given[start + 1] == "fit"
    assert value(given, "--config") == "experiments/smoke.yaml"
    assert (value(given, "--trainer.num_nodes"), value(given, "--trainer.devices")) == ("2", "4")
    assert given[-4:] == ["--data.root", "my data", "--data.global_batch", "64"]  # one word stays one word
    assert value(given, "--run_dir") == "runs/smoke-77"
    assert "--ckpt_path" not in given
    assert "--overwrite" not in given  # somebody else's run in that folder is refused


def test_a_restart_resumes_from_the_last_checkpoint_or_begins_again(folder: Path) -> None:
    done, given = run(folder, "experiments/smoke.yaml", SLURM_RESTART_COUNT="2")
    assert "--ckpt_path" not in given
    assert value(given, "--overwrite") == "true"
    assert "begins again" in done.stdout
    checkpoints = folder / "runs" / "smoke-77" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").touch()
    done, given = run(folder, "experiments/smoke.yaml", SLURM_RESTART_COUNT="1")
    assert done.returncode == 0, done.stderr
    assert value(given, "--ckpt_path") == "last"
    assert value(given, "--run_dir") == "runs/smoke-77"
    assert "resuming runs/smoke-77 (restart 1)" in done.stdout


def test_array_tasks_have_folders_of_their_own(folder: Path) -> None:
    _, given = run(folder, "experiments/smoke.yaml", SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID="3")
    assert value(given, "--run_dir") == "runs/smoke-70_3"
    _, given = run(folder, "experiments/smoke.yaml", AVSP_RUN_DIR="/shared/mine")
    assert value(given, "--run_dir") == "/shared/mine"


def test_mistakes_are_said_before_anything_starts_and_the_exit_code_is_that_of_srun(folder: Path) -> None:
    done, _ = run(folder, "experiments/smoke.yaml", FAKE_SRUN_CODE="138")  # 128 + SIGUSR1
    assert done.returncode == 138
    done, given = run(folder)
    assert (done.returncode, given) == (2, [])
    assert "usage: sbatch" in done.stderr
    done, given = run(folder, "experiments/smoke.yaml", SLURM_NTASKS_PER_NODE="")
    assert done.returncode != 0
    assert not given
    assert "one task for each GPU" in done.stderr


def test_slurm_is_told_to_warn_and_to_requeue() -> None:
    directives = re.findall(r"^#SBATCH (\S+)$", SCRIPT.read_text(), re.MULTILINE)
    assert {"--signal=SIGUSR1@120", "--requeue", "--open-mode=append"} <= set(directives)


def test_the_sweep_script_starts_ray_on_every_node(folder: Path) -> None:
    scontrol = folder / "bin" / "scontrol"
    scontrol.write_text('#!/bin/bash\nprintf "node1\\nnode2\\n"\n')
    scontrol.chmod(0o755)
    script = SCRIPT.with_name("ray_sweep.sbatch")
    variables = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "64"}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = ["bash", str(script), "sweeps/x.yaml", "--args=--data.root=/my data"]
    subprocess.run(words, cwd=folder, env={"PATH": path, **variables}, check=True)
    given = (folder / "srun.txt").read_text().splitlines()
    ray = given.index("ray")
    assert given[ray : ray + 6] == ["ray", "symmetric-run", "--address", "node1:6379", "--min-nodes", "2"]
    assert given[given.index("--") + 1 :] == ["avsp", "sweep", "run", *words[2:], "--address", "auto"]
    done = subprocess.run(["bash", str(script)], env={"PATH": path}, check=False, capture_output=True)
    assert done.returncode == 2
