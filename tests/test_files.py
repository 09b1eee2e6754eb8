"""One atomic write: the old content or the new, and nothing left behind."""

from pathlib import Path

import pytest

from lightning_avsp.files import atomic_write


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
