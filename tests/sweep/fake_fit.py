"""Stands for `lightning fit` in tests: counts its starts, steps with a checkpoint after each, writes run.json."""

import json
import sys
import time
from pathlib import Path

import yaml

config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
run = Path(config["run_dir"])
with (run / "starts.txt").open("a") as file:
    file.write(("resumed" if "--ckpt_path" in sys.argv else "new") + f" from {config['init_from']}\n")
last = run / "checkpoints" / "last.ckpt"
last.parent.mkdir(exist_ok=True)
for step in range(int(last.read_text()) if last.is_file() else 0, 5):
    if config["experiment"] == "breaks" and step == 3:
        sys.exit(1)
    time.sleep(0.05)
    part = last.with_suffix(".part")
    part.write_text(str(step + 1))
    part.replace(last)
(run / "checkpoints" / "best.ckpt").write_text("weights")
(run / "run.json").write_text(json.dumps({"finished": True}))
