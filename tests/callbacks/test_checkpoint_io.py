"""A checkpoint that cannot be written leaves the earlier one whole."""

import errno
import os
from pathlib import Path

import pytest
import torch

from lightning_avsp.callbacks.checkpoints import AtomicCheckpointIO
from lightning_avsp.errors import AVSPError


def test_a_checkpoint_is_written_whole_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(3)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_the_earlier_checkpoint_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)

    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        AVSPError, match=r"could not be written.*the earlier last.ckpt is whole.*--ckpt_path last"
    ):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_write_that_fails_inside_torch_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: open_file(os.open("/dev/full", os.O_WRONLY), mode))
    with pytest.raises(AVSPError, match="there was none before"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(1 << 20)}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())
