"""The process of one training or test: ``python -m lightning_avsp.sweep.child fit|test --config FOLDER/NAME.yaml``.

It dies with the process that started it, holds the lock of its run folder while it lives, resumes from ``last.ckpt``
where there is one, and does nothing where another has finished already. The other processes of a DDP run are started by
Lightning with the same words, and die with the first.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from lightning_avsp.files import lock_folder
from lightning_avsp.run_folder import RunFolder, write_json

PARENT = "AVSP_SWEEP_PARENT"
"""Process that this one must not outlive."""
PROGRAM = "AVSP_SWEEP_PROGRAM"
"""Module that is run in place of this package, for tests of everything around it."""
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def run_child() -> None:
    """Run one command of ``lightning`` under the lock of its folder.

    Raises:
        SystemExit: With the command's own code.
    """
    _die_with_parent()
    command, _, config = sys.argv[1:4]
    folder = RunFolder(Path(config).parent)
    if "LOCAL_RANK" in os.environ:  # a further process of the run that holds the lock
        _run()
        return
    # a retry may find an earlier attempt alive: it waits for its end, and may find everything done
    with lock_folder(folder.path, wait=True):
        if is_done(folder, command):
            return
        if command == "fit" and (folder.checkpoints / "last.ckpt").is_file():
            sys.argv += ["--ckpt_path", "last"]
        attempts = Attempts(folder)
        attempts.open()
        # what the interpreter ends with after an exception
        code: Any = 1
        try:
            _run()
            code = 0
        except SystemExit as stop:
            code = 0 if stop.code is None else stop.code
            raise
        finally:
            attempts.close(code)


def is_done(folder: RunFolder, command: str) -> bool:
    """Return true if a training is finished, or a test has written its scores."""
    if command == "test":
        return (folder.results / "test.json").is_file()
    return folder.is_finished


class Attempts:
    """``attempts.json`` of a run folder: start, end, exit code, host and process of everything that was tried there."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.path / "attempts.json"

    def read(self) -> list[dict[str, Any]]:
        """Read all attempts; of one that was killed, the end is when it last wrote a checkpoint."""
        attempts: list[dict[str, Any]] = json.loads(self.path.read_text()) if self.path.is_file() else []
        last = self.folder.checkpoints / "last.ckpt"
        for attempt in attempts:
            if attempt["ended"] is None:
                attempt["ended"] = max(attempt["started"], last.stat().st_mtime if last.is_file() else 0.0)
        return attempts

    def open(self) -> None:
        """Note the beginning of an attempt; the caller holds the lock."""
        now = {"started": time.time(), "ended": None, "code": None}
        write_json(self.path, [*self.read(), now | {"host": socket.gethostname(), "pid": os.getpid()}])

    def close(self, code: Any) -> None:
        """Note its end."""
        attempts = self.read()
        # sys.exit with a message ends with 1
        attempts[-1] |= {"ended": time.time(), "code": code if isinstance(code, int) else 1}
        write_json(self.path, attempts)

    def seconds(self) -> float:
        """Sum the wall time of all attempts."""
        return float(sum(attempt["ended"] - attempt["started"] for attempt in self.read()))


def _run() -> None:
    # `__main__` stays this module, so that Lightning starts the other processes of a run by it
    runpy.run_module(os.environ.get(PROGRAM, "lightning_avsp"), run_name="__main__")


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, by whatever cause."""
    # elsewhere a survivor is possible, and the lock keeps a retry from running beside it
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    # popped, as DDP's further processes inherit the environment and have this one as parent
    expected = os.environ.pop(PARENT, None)
    # it may have died before the kernel was asked
    if expected is not None and os.getppid() != int(expected):
        raise SystemExit(f"process {expected}, which started this one, is gone")


if __name__ == "__main__":
    run_child()
