"""Locks that the kernel gives back when their holders die, whatever killed them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lightning_avsp.errors import InputError


class FileLock:
    """An exclusive ``flock`` on a file, held by this process and every child that is given its number.

    A child that inherits the number (``pass_fds``) keeps the lock when this process is killed: what still computes
    stays locked. When the last holder ends, by whatever cause, the kernel frees the lock; no lock is ever stale.

    Args:
        path: The lock file; made if needed, never removed.
        needed: Whether a file system without ``flock`` is an error; it is none where trials were divided beforehand.
    """

    def __init__(self, path: Path, needed: bool = True) -> None:
        self.path = path
        self.needed = needed
        self.number: int | None = None

    def take(self) -> bool:
        """Try to take the lock, without waiting.

        Returns:
            Whether it is held now.

        Raises:
            InputError: If this file system has no working ``flock``.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            return False
        except OSError as error:
            os.close(number)
            if not self.needed:
                return True
            raise InputError(
                f"{self.path} cannot be locked ({error.strerror}): this file system has no flock, which keeps two "
                "workers from one trial; use another folder (--runs), or divide the trials with --shard i/n"
            ) from error
        self.number = number
        return True

    def wait(self, pause: float = 0.5, waiting: Callable[[], None] | None = None) -> None:
        """Take the lock, however long others hold it.

        Args:
            pause: Seconds between two tries.
            waiting: Called once if it is not free at once.
        """
        while not self.take():
            if waiting is not None:
                waiting()
                waiting = None
            time.sleep(pause)

    def release(self) -> None:
        """Let go; a child that still holds the number keeps the lock."""
        if self.number is not None:
            os.close(self.number)  # closing, not unlocking: an unlock would take it from the children too
            self.number = None

    def __enter__(self) -> FileLock:
        """Held already: nothing happens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of this file."""
    if not path.exists():
        return False
    lock = FileLock(path, needed=False)
    if not lock.take():
        return True
    lock.release()
    return False
