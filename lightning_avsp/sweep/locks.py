"""The lock of a run folder, which the kernel gives back when its holder dies, by whatever cause."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_avsp.errors import InputError


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, waiting for it as long as another process holds it.

    Loader processes that are forked inherit it, so it is free only when they are gone too.

    Raises:
        InputError: If the file system has no ``flock``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _flock(number, folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def is_locked(folder: Path) -> bool:
    """Return true if a process holds the lock of a run folder."""
    try:
        number = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        _flock(number, folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


def _flock(number: int, folder: Path, operation: int) -> None:
    try:
        fcntl.flock(number, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        raise InputError(
            f"{folder / 'lock'} cannot be locked ({error.strerror}): this file system has no flock, which keeps two "
            "processes from one training; choose another folder with --runs"
        ) from error
