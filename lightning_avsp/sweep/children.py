"""Child processes of a trial: they share its locks, and a signal to the trial reaches them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

PROGRAM = (sys.executable, "-m", "lightning_avsp")
"""How a child runs a command of this package: with this interpreter, whatever is on the path."""
STOPPED = frozenset({143, 138, 130, -signal.SIGTERM, -signal.SIGUSR1, -signal.SIGINT})
"""Exit codes of a process that was asked to stop: neither done nor failed."""


class Children:
    """Runs one child after the other, and passes on the wish to stop."""

    def __init__(self) -> None:
        self.current: subprocess.Popen[bytes] | None = None
        self.asked = 0

    def listen(self) -> None:
        """From now on SIGTERM, SIGUSR1 and Ctrl-C reach the child as SIGTERM; main thread only."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._forward)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        if self.current is None:
            raise SystemExit(128 + number)
        if self.current.poll() is None:
            self.current.terminate()

    def run(self, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()) -> int:
        """Run a command to its end; its output goes where ours goes.

        Args:
            command: Program and arguments.
            environment: Its whole environment.
            keep: Numbers of open files that it inherits: held locks.

        Returns:
            Its exit code; negative for a signal.

        Raises:
            SystemExit: 128 plus the signal's number, if this process was asked to stop meanwhile.
        """
        sys.stdout.flush()
        self.current = subprocess.Popen(list(command), env=dict(environment), pass_fds=tuple(keep))
        try:
            code = self.current.wait()
        finally:
            self.current = None
        if self.asked:
            raise SystemExit(128 + self.asked)
        return code


def trainer_environment(of_trial: bool = True) -> dict[str, str]:
    """Environment of a trainer command inside a trial.

    Inside a SLURM job with one task per node, Lightning would take that one task for all processes; under the job name
    ``interactive`` it starts one process per device itself. Under ``wandb agent`` the training and the test write into
    the agent's run one after the other; the training of an earlier stage belongs to several runs and gets its own.

    Args:
        of_trial: Whether it is the trial's own training or test.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if "SLURM_NTASKS" in environment:
        environment["SLURM_JOB_NAME"] = "interactive"
    if "WANDB_RUN_ID" in environment:
        environment["WANDB_RESUME"] = "allow"
    if not of_trial:
        for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME"):
            environment.pop(name, None)
    return environment
