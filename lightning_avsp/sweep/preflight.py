"""Checks of everything that would stop a sweep in the middle of the night, before its first trial."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.files import lock_folder
from lightning_avsp.run_folder import RunFolder, write_json
from lightning_avsp.sweep.composition import lookup
from lightning_avsp.sweep.identity import caption_files, weight_files
from lightning_avsp.sweep.planning import SweepPlan, Training, TrialPlan
from lightning_avsp.sweep.sweep_file import canonical_json

FREE = 2 << 30
"""Bytes that must be free on the disk of the runs."""


def check_plan(plan: SweepPlan, runs: Path, gpus: int, gpus_per_trial: int) -> list[Path]:
    """Try the disk, the weights, the captions, the devices and every row before anything is trained.

    The data root, its lists and the experiment files were read when the sweep was planned.

    Args:
        plan: What is about to run.
        runs: Folder of all runs.
        gpus: GPUs of the machine, or most of a node of the cluster.
        gpus_per_trial: GPUs that a trial asks for.

    Returns:
        Files and folders that every node of a cluster has to see.

    Raises:
        InputError: With everything that was found wrong.
    """
    faults = _disk_faults(plan, runs)
    seen: set[Path] = {Path.cwd(), runs.resolve()}
    configs: dict[str, tuple[str, dict[str, Any]]] = {}
    planned: list[Training | TrialPlan] = [*plan.trainings.values(), *plan.trials]
    for label, config in ((run.label, run.config) for run in planned):
        data = config.get("data") or {}
        files = weight_files(config)
        for name, path in files.items():
            if not path.is_file():
                faults.append(f"{label}: no file of weights at {path} (--{name.replace('.init_args', '')})")
        for path in caption_files(data):
            if not path.is_file():
                faults.append(f"{label}: no captions at {path}; make them with `avsp caption`")
        seen |= {Path(str(data.get("root", "data"))).resolve(), *(path.resolve() for path in files.values())}
        accelerator = lookup(config, "trainer.accelerator")
        if accelerator in ("gpu", "cuda") and not gpus:  # auto takes what there is
            faults.append(f"{label}: trainer.accelerator={accelerator}, but there is no GPU")
        # seeds and splits parse alike, so a row is tried once
        alike = {**config, "seed_everything": 0, "data": {**data, "split": None}}
        configs.setdefault(canonical_json(alike), (label, config))
    if gpus_per_trial > max(1, gpus):
        faults.append(f"--gpus-per-trial={gpus_per_trial}, but no machine has more than {gpus} GPUs")
    faults = list(dict.fromkeys(faults)) or _parsing_faults(list(configs.values()), gpus)
    if faults:
        raise InputError("nothing was started: " + "; ".join(faults))
    return sorted(seen)


def _disk_faults(plan: SweepPlan, runs: Path) -> list[str]:
    try:
        # some network file systems write, but have no locks
        with lock_folder(runs, wait=True):
            pass
    except InputError as error:
        return [str(error)]
    except OSError as error:
        return [f"{runs} cannot be written: {error.strerror}"]
    folders = [RunFolder(training.folder(runs)) for training in plan.trainings.values()]
    left = sum(not folder.is_finished for folder in folders)
    # finished trainings show how large the checkpoints of the others will be
    there = [sum(p.stat().st_size for p in f.checkpoints.glob("*.ckpt")) for f in folders if f.is_finished]
    needed, free = max(FREE, left * max(there, default=0)), shutil.disk_usage(runs).free
    if free >= needed:
        return []
    return [f"{runs} has {free >> 20} MiB free, and {left} trainings need {needed >> 20} MiB"]


def _parsing_faults(configs: list[tuple[str, dict[str, Any]]], gpus: int) -> list[str]:
    """Collect the faults that only `lightning fit` itself knows, found by one process that imports torch once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "configs.json"
        write_json(path, {"configs": configs, "gpus": gpus})
        words = [sys.executable, "-m", __name__, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return [f"the check of the rows broke off: {done.stderr.strip()}"]
    # libraries may print before it
    return list(json.loads(done.stdout.splitlines()[-1]))


def check_configurations() -> None:
    """Parse configurations and open files of weights; print the faults as one line of JSON."""
    import torch

    from lightning_avsp.backbones.weights import read_state_dict
    from lightning_avsp.tasks.experiment import Experiment

    given = json.loads(Path(sys.argv[1]).read_text())
    faults = []
    # Ray counts GPUs that a CPU build of torch cannot use
    if given["gpus"] and not torch.cuda.is_available():
        faults.append(f"there are {given['gpus']} GPUs, but this torch ({torch.__version__}) cannot use them")
    opened: set[Path] = set()
    for label, config in given["configs"]:
        # the checkpoint of a stage is still to be trained
        config["init_from"] = None
        try:
            Experiment(("--config", json.dumps(config)))
        except InputError as error:
            faults.append(f"{label}: {error}")
        for path in {*weight_files(config).values()} - opened:
            opened.add(path)
            try:
                read_state_dict(path)
            except InputError as error:
                faults.append(f"{label}: {error}")
    print(json.dumps(faults))


if __name__ == "__main__":
    check_configurations()
