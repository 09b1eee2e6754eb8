"""Stands for `lightning trial` in tests of workers: trains in steps that it keeps, and tells what it does.

Arguments: a folder for its diary, then the trial's values as JSON: `steps`, and `fail`, how often it fails first.
"""

import json
import os
import sys
import time
from pathlib import Path

diary, values = Path(sys.argv[1]), json.loads(sys.argv[2])["point"]
attempt = Path(os.environ["AVSP_ATTEMPT"])
trial = attempt.parents[1]


def tell(what: str) -> None:
    with (diary / f"{values['name']}.txt").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


tell("start")
failures = sum(line.startswith("fail") for line in (diary / f"{values['name']}.txt").read_text().splitlines())
if failures < values.get("fail", 0):
    tell("fail")
    print("this is the end of the log")
    sys.exit(3)
last = trial / "last.txt"
for step in range(int(last.read_text()) if last.exists() else 0, values.get("steps", 1)):
    tell(f"step {step}")
    time.sleep(0.1)
    part = last.with_suffix(".part")
    part.write_text(str(step + 1))
    part.replace(last)
temporary = trial / "result.part"
temporary.write_text(json.dumps({"metrics": {"test/cc": 0.5}, "training": "0" * 12}))
temporary.replace(trial / "result.json")
tell("end")
