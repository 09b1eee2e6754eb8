"""Atomic writing: the one place in which a file is written so that no reader ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path, *, fsync: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for writing; it replaces ``path`` when the block ends without an error.

    Missing parent folders are made. After an error the temporary file is gone and ``path`` is as it was; a killed
    process may leave the hidden temporary file ``.<name>.<random>.part``.

    Args:
        path: File to make or to replace.
        fsync: Flush to disk before the replacement, so that a power failure leaves the old or the new content. False
            saves the wait where a damaged file is found out by its reader and can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
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
