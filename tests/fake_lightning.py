"""Stands for `lightning fit` and `lightning test`: notes what it does, and waits in the middle of a training.

The folder for its notes is the option `wandb_project`. A file `refuse0`, `fail0` or `go0` in it makes the run of seed 0
end with code 2, end with code 1, or go on.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import yaml

command, config = sys.argv[1], yaml.safe_load(Path(sys.argv[3]).read_text())
run, notes, seed = Path(config["run_dir"]), Path(config["wandb_project"]), config["seed_everything"]


def note(event: str) -> None:
    line = f"{command} {seed} {event} {os.getpid()} {os.environ['WANDB_RUN_ID']} {config.get('init_from')}\n"
    descriptor = os.open(notes / "notes.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def save(*_: object) -> None:
    note("saved")
    sys.exit(143)


signal.signal(signal.SIGTERM, save)
note("resumed" if "--ckpt_path" in sys.argv else "new")
if command == "test":
    facts = {"averages": {"test/cc": 0.5}, "videos": [], "synthetic": ["AVAD"], "selection": "validation"}
    (run / "results").mkdir()
    (run / "results" / "test.json").write_text(json.dumps(facts))
    sys.exit()
for code, name in ((2, "refuse"), (1, "fail")):
    if (notes / f"{name}{seed}").exists():
        print("this is the end of the log")
        sys.exit(code)
(run / "checkpoints").mkdir(exist_ok=True)
(run / "checkpoints" / "last.ckpt").write_text("half")
(run / "progress.json").write_text(json.dumps({"step": 5, "steps": 10, "left_s": 65, "host": "node1"}))
note("waits")
while not (notes / f"go{seed}").exists():
    time.sleep(0.02)
(run / "checkpoints" / "best.ckpt").write_text("weights")
(run / "run.json").write_text(json.dumps({"finished": True, "steps": 10}))
note("end")
