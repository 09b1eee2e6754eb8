"""`lightning` as a program that does what a variable asks for in an optimiser step.

NO_DROPOUT makes runs of different sizes comparable, KILL_IN_STEP=n ends the program, KEEP_IN_STEP=n keeps last.ckpt,
TRACE_TWO_BLOCKS leaves of `--compile default` the tracing of two blocks.
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
from lightning_avsp.tasks import execution


def keep(input, p=0.5, training=True, inplace=False):  # torch's own name
    """Dropout that drops nothing: processes sample other masks than one process would."""
    return input


def trace_two_blocks() -> None:
    """Compile the first and the last block alone, into graphs of torch's own operators: seconds instead of minutes."""
    compile_blocks = execution._compile
    execution._BACKENDS["default"] = {"backend": "aot_eager"}
    execution._compile = lambda blocks, mode: compile_blocks([blocks[0], blocks[-1]], mode)


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
    if "TRACE_TWO_BLOCKS" in os.environ:
        trace_two_blocks()
    for variable, action in {"KILL_IN_STEP": kill, "KEEP_IN_STEP": keep_checkpoint}.items():
        if variable in os.environ:
            call_in_step(int(os.environ[variable]), action)
    main(sys.argv[1:])
