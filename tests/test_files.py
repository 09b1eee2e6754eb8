"""One atomic write: the old content or the new, and nothing left behind; one lock, which ends with its owner."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.files import _cleared, atomic_write, is_locked, lock_folder
from lightning_avsp.run_folder import write_atomically


@pytest.mark.parametrize("fsync", [True, False])
def test_new_content_appears_only_when_it_is_complete(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "deep" / "file.bin"
    with atomic_write(path, fsync=fsync) as file:
        file.write(b"first")
        assert not path.exists()
    with atomic_write(path, fsync=fsync) as file:
        file.write(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def write_half(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_earlier_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"first")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


OTHER = """
import os, sys, time
from pathlib import Path
from lightning_avsp.files import atomic_write, lock_folder
folder = Path(sys.argv[1])
with lock_folder(folder), atomic_write(folder / "file.bin") as file:
    file.write(b"half")
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_a_folder_belongs_to_one_process_until_that_ends(tmp_path: Path, start: Callable) -> None:
    other = start([sys.executable, "-c", OTHER, str(tmp_path)], stdout=subprocess.PIPE)
    other.stdout.readline()
    assert is_locked(tmp_path)
    with pytest.raises(InputError, match=rf"is used by process {other.pid} on host {socket.gethostname()}"):
        lock_folder(tmp_path).__enter__()
    (rest,) = tmp_path.glob(".*.part")
    _cleared.clear()  # as in a new process
    write_atomically(tmp_path / "a.json", "{}")
    assert rest.exists()  # its owner lives
    other.kill()
    other.wait()
    assert not is_locked(tmp_path)
    with lock_folder(tmp_path), lock_folder(tmp_path):  # one process may take it twice
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    _cleared.clear()
    write_atomically(tmp_path / "a.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "lock"]


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refused)
    (tmp_path / ".a.part").touch()
    write_atomically(tmp_path / "a", "")
    assert (tmp_path / ".a.part").exists()  # its owner might live
    with lock_folder(tmp_path):
        assert "cannot be locked" in caplog.text
    with pytest.raises(InputError, match="has no flock"):
        lock_folder(tmp_path, wait=True).__enter__()
