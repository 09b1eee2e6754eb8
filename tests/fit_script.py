"""`lightning` as a program that does what a variable asks for in an optimiser step.

NO_DROPOUT makes runs of different sizes comparable, KILL_IN_STEP=n ends the program, KEEP_IN_STEP=n keeps last.ckpt.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from lightning_avsp.cli import main


def keep(input, p=0.5, training=True, inplace=False):  # torch's own name
    """Dropout that drops nothing: processes sample other masks than one process would."""
    return input


def call_in_step(number: int, action: Callable[[], object]) -> None:
    """Act in the optimiser step of this number, from 1."""
    steps = iter(range(1, 1000))

    def count(*_) -> None:
        if next(steps) == number:
            action()

    register_optimizer_step_post_hook(count)


def kill() -> None:
    """Send SIGKILL to every process of the session."""
    os.killpg(0, signal.SIGKILL)


def keep_checkpoint() -> None:
    """Copy what a run that dies in this step would resume from."""
    (folder,) = [Path(word.removeprefix("--run_dir=")) for word in sys.argv if word.startswith("--run_dir=")]
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        shutil.copy(folder / "checkpoints" / "last.ckpt", folder / "kept.ckpt")


if __name__ == "__main__":
    if "NO_DROPOUT" in os.environ:
        torch.nn.functional.dropout = keep
    for variable, action in {"KILL_IN_STEP": kill, "KEEP_IN_STEP": keep_checkpoint}.items():
        if variable in os.environ:
            call_in_step(int(os.environ[variable]), action)
    main(sys.argv[1:])
