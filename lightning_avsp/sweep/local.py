"""`avsp sweep run`: several workers in one process, a share of the machine each, and signals that stop them all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import FrameType

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.worker import Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def run_workers(worker: Worker, count: int) -> int:
    """Run several workers until every trial is over.

    SIGTERM, Ctrl-C and SIGUSR1 stop all of them: every trial saves a checkpoint, and goes on from it at the next start.

    Args:
        worker: The worker that all of them are like.
        count: How many trials run at a time.

    Returns:
        The number of the signal that stopped them, 0 if none did.

    Raises:
        InputError: If there are more workers than GPUs on a machine that has some, or a trial cannot be started.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        worker.stop.set()

    shares = shares_of_machine(count, worker.environment)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in SIGNALS} if main else {}
    try:
        with ThreadPoolExecutor(max_workers=count) as pool:
            likes = [replace(worker, environment=share) for share in shares]
            futures = [pool.submit(_guarded, like.run, worker.stop) for like in likes]
            for future in futures:
                future.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return received[0] if received else 0


def _guarded(work: Callable[[], None], stop: threading.Event) -> None:
    """One worker's error stops the others: nothing goes on unseen."""
    try:
        work()
    except BaseException:
        stop.set()
        raise


def shares_of_machine(count: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Environment of each worker: an equal share of the GPUs, or of the cores where there are none.

    Raises:
        InputError: If there are more workers than GPUs.
    """
    if count < 1:
        raise InputError(f"--workers must be at least 1, got {count}")
    gpus = visible_gpus(environment)
    if gpus and count > len(gpus):
        raise InputError(
            f"{count} workers would share {len(gpus)} GPUs, and a trial uses all GPUs of its worker: give at most "
            f"--workers {len(gpus)}, or hide the GPUs with CUDA_VISIBLE_DEVICES="
        )
    shares = []
    for number in range(count):
        share = dict(environment)
        if gpus and count > 1:
            share["CUDA_VISIBLE_DEVICES"] = ",".join(
                gpus[number * len(gpus) // count : (number + 1) * len(gpus) // count]
            )
        if not gpus:
            share.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
        shares.append(share)
    return shares


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that a trial would use, as CUDA_VISIBLE_DEVICES takes them."""
    told = environment.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # a driver without a GPU
    return [str(number) for number, line in enumerate(done.stdout.splitlines()) if line.startswith("GPU ")]
