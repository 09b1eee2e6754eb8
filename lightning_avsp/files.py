"""Files that no reader sees half of, and folders that no two writers share: atomic writing, and locks."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from lightning_avsp.errors import InputError

log = logging.getLogger(__name__)

_cleared: set[Path] = set()  # listing a cache of thousands of files before each write would be slow
_held: set[Path] = set()  # flock shuts a process out that opens its own file a second time


@contextmanager
def atomic_write(path: Path, *, fsync: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for writing; it replaces ``path`` when the block ends without an error.

    Missing parent folders are made. After an error the temporary file is gone and ``path`` is as it was. A killed
    process leaves its ``.<name>.<random>.part``; the next process that writes into the folder removes it.

    Args:
        path: File to make or to replace.
        fsync: Flush to disk before the replacement, so that a power failure leaves the old or the new content. False
            saves the wait where a damaged file is found out by its reader and can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    handle, temporary = _own_file(path)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)  # mkstemp makes files that only their owner can read
            yield file
            file.flush()
            if fsync:
                os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _own_file(path: Path) -> tuple[int, Path]:
    """Make a temporary file, locked as long as it is open: by that others see that its owner lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        _lock(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # removed between its making and its lock by a process that took it for a leftover


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed writers in a folder, the first time that this process writes there."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    for path in folder.glob(".*.part"):
        with suppress(OSError):  # another process is faster, or may not be disturbed
            handle = os.open(path, os.O_RDWR)
            try:
                if _lock(handle, wait=False):  # not so where the file system has no locks
                    path.unlink()
            finally:
                os.close(handle)


@contextmanager
def lock_folder(folder: Path, name: str = "lock", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder; a process that holds it already gets it again.

    The lock is the kernel's, and ends with its owner: a file that a killed process left is no lock. Processes forked
    from the owner inherit it, so it is free only when they are gone too.

    Args:
        folder: The folder; made if it is missing.
        name: Name of the lock's file, which holds host and process id of the owner.
        wait: Wait until the lock is free instead of refusing.

    Raises:
        InputError: If another process holds the lock; names its host and process id. With ``wait`` also if the file
            system has no locks, of which there is a warning otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / name).resolve()
    if path in _held:
        yield
        return
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            got = _lock(handle, wait)
            if got is None and wait:
                raise InputError(
                    f"{path} cannot be locked: this file system has no flock, which keeps two processes from one "
                    "training; choose another folder with --runs"
                )
            if got is None:
                log.warning("%s cannot be locked: do not start another run in this folder", path)
            if got is False:
                raise InputError(
                    f"{folder} is used by {_owner(handle)}: wait for its end, or choose another folder"
                )
            if os.fstat(handle).st_nlink:
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the last owner removed the file while this process waited
    try:
        # the last owner's text may have been longer
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode(), 0)
        _held.add(path)
        yield
    finally:
        _held.discard(path)
        os.close(handle)


def is_locked(folder: Path, name: str = "lock") -> bool:
    """Return true if a process holds the lock of a folder."""
    try:
        handle = os.open(folder / name, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # closing the file gives a lock back that this call got
        return _lock(handle, wait=False) is False
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool) -> bool | None:
    """Lock an open file: False if another process has locked it, None where there are no locks."""
    if sys.platform == "win32":  # which has no fcntl
        return None
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # network file systems without locks have several codes for it
        return None
    return True


def _owner(handle: int) -> str:
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        host, pid = str(found["host"])[:80], int(found["pid"])
    except (ValueError, LookupError, TypeError):
        return "another process, which is just starting"
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)  # no signal, only the question
        except ProcessLookupError:
            return (
                f"what process {pid} on this host ({host}) started: it is gone, its workers are about to end"
            )
        except PermissionError:  # somebody else's, so it lives
            pass
    return f"process {pid} on host {host}"


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # block by block: some files have 15 GB


def expand_home(value: Any) -> Any:
    """Replace ``~`` at the start of every path in parsed settings (texts, paths, lists, namespaces) by the home folder.

    YAML files have no shell that would; namespaces and lists are changed in place.
    """
    if isinstance(value, str | Path) and re.match(r"~(?=/|$)", str(value)):
        return type(value)(str(Path.home()) + str(value)[1:])
    if isinstance(value, list):
        value[:] = map(expand_home, value)
    elif isinstance(value, dict):
        value.update({key: expand_home(each) for key, each in value.items()})
    elif hasattr(value, "__dict__") and not isinstance(value, Path):
        vars(value).update({key: expand_home(each) for key, each in vars(value).items()})
    return value
