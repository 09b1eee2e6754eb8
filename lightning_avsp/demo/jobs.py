"""Runs commands side by side, each with its own log file, and says what happens in one line each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.errors import AVSPError


@dataclass(frozen=True)
class Job:
    """Commands that run one after the other; the next jobs may run beside them."""

    name: str
    """What the user reads."""
    commands: tuple[tuple[str, ...], ...]
    """Arguments after ``python -m``."""
    log: Path
    """File that takes all output."""


def run_jobs(jobs: Sequence[Job], workers: int, say: Callable[[str], None]) -> None:
    """Run all jobs, ``workers`` at a time, each with an equal share of the cores.

    Args:
        jobs: What to run.
        workers: Jobs at a time.
        say: Takes one line per start and end.

    Raises:
        AVSPError: If a command fails; the message ends with the last lines of its log. Other jobs are stopped.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    running: set[subprocess.Popen[bytes]] = set()
    lock = threading.Lock()
    stopped = threading.Event()

    def run(job: Job) -> None:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        say(f"started   {job.name}")
        with job.log.open("wb") as log:
            for command in job.commands:
                if stopped.is_set():
                    return
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT, env=environment
                )
                with lock:
                    running.add(process)
                code = process.wait()
                with lock:
                    running.discard(process)
                if code != 0 and not stopped.is_set():
                    tail = "\n".join(job.log.read_text(errors="replace").splitlines()[-15:])
                    raise AVSPError(
                        f"'{job.name}' failed with code {code}; its log {job.log} ends with\n{tail}"
                    )
        say(f"finished  {job.name} ({time.monotonic() - start:.0f} s)")

    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            # one failure or Ctrl-C ends everything: what was finished stays, nothing keeps running behind
            stopped.set()
            with lock:
                for process in running:
                    process.terminate()
            for future in futures:
                future.cancel()
            raise
