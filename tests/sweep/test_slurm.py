import subprocess
from pathlib import Path

import pytest

from lightning_avsp.cli import main

SWEEP = """
program: lightning
method: {method}
command: ["${{env}}", "${{program}}", trial, --sweep, nodes, --config, x.yaml, --config, "${{args_json}}"]
parameters: {{seed_everything: {{values: [0, 1]}}}}
"""


def script(folder: Path, *options: str, method: str = "grid") -> str:
    path = folder / "nodes.yaml"
    path.write_text(SWEEP.format(method=method))
    main(["sweep", "slurm", str(path), f"--out={folder / 'job.sh'}", "--runs=/shared/runs", *options])
    return (folder / "job.sh").read_text()


def test_one_worker_on_each_node_uses_all_its_gpus(tmp_path: Path) -> None:
    text = script(tmp_path, "--nodes=4", "--gpus=8", "--cpus=64", "--hours=6", "--partition=big")
    for line in (
        "#SBATCH --array=0-3",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --partition=big",
        "#SBATCH --time=6:00:00",
        "#SBATCH --signal=B:USR1@180",
        "export OMP_NUM_THREADS=8",
        "export AVSP_RUNS=/shared/runs",
    ):
        assert line in text.splitlines()
    assert "--trainer.devices=-1" in text
    assert "--trainer.precision=bf16-mixed" in text
    # exec: the batch shell, which gets the signal, becomes the worker
    assert text.splitlines()[-1].startswith("exec avsp sweep run ")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_shards_and_agents(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert '--shard "$SLURM_ARRAY_TASK_ID/3"' in script(tmp_path, "--nodes=3", "--shard")
    agent = script(tmp_path, "--agent=me/project/abc", method="bayes")  # what needs the server may use it
    assert "exec wandb agent me/project/abc" in agent
    assert "--requeue" not in agent
    with pytest.raises(SystemExit):
        script(tmp_path, method="bayes")
    assert "wandb agent" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        script(tmp_path, "--nodes=0")


def test_the_script_runs_the_sweep_as_a_job_would(tmp_path: Path) -> None:
    text = script(tmp_path, "--nodes=2", "--shard", "--args=--data.root=/data")
    fake = tmp_path / "bin" / "avsp"
    fake.parent.mkdir()
    fake.write_text('#!/bin/bash\necho "$@" "|" "$AVSP_TRIAL_ARGS" "|" "$AVSP_RUNS"\n')
    fake.chmod(0o755)
    environment = {
        "PATH": f"{fake.parent}:/usr/bin:/bin",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_ARRAY_TASK_ID": "1",
    }
    done = subprocess.run(["bash"], input=text, env=environment, text=True, capture_output=True, check=True)
    called, arguments, runs = done.stdout.strip().split(" | ")
    assert called == f"sweep run {tmp_path / 'nodes.yaml'} --workers 1 --retries 2 --shard 1/2"
    assert (arguments, runs) == ("--data.root=/data", "/shared/runs")
