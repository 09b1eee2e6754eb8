"""Stored features: what was written is read, whatever else happens to the folder."""

from __future__ import annotations

import errno
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import wait_for
from torch import Tensor

from lightning_avsp.backbones import feature_store
from lightning_avsp.backbones.feature_store import GIB, FeatureStore, frames_key
from lightning_avsp.errors import InputError

ENCODER = "e" * 24


def clip(number: int, width: int = 6) -> tuple[str, tuple[Tensor, ...]]:
    """A clip's key, and features of which one has its channels last in memory."""
    generator = torch.Generator().manual_seed(number)
    deep = torch.randn(4, 2, 3, 5, generator=generator).to(torch.bfloat16)
    tokens = torch.randn(2 * 3 * 5, width, generator=generator).T.unflatten(1, (2, 3, 5))
    return f"{number:040x}", (deep, tokens)


def same(one: tuple[Tensor, ...] | None, two: tuple[Tensor, ...]) -> bool:
    assert one is not None
    pairs = list(zip(one, two, strict=True))
    return all(a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b) for a, b in pairs)


def test_features_are_read_as_written_with_its_type_and_its_order_in_memory(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "new" / "folder")
    key, features = clip(1)
    assert store.read(ENCODER, key) is None
    store.write(ENCODER, key, features)
    assert same(store.read(ENCODER, key), features)
    assert store.read("f" * 24, key) is None
    assert same(FeatureStore(tmp_path / "new" / "folder").read(ENCODER, key), features)
    assert store.size() == (1, pytest.approx(store.path(ENCODER, key).stat().st_size / GIB))
    assert not list(tmp_path.rglob("*.part"))


def test_a_clip_of_a_batch_does_not_bring_the_batch_along(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    batch = torch.randn(64, 4, 8, 8, 8)
    store.write(ENCODER, "0" * 40, [batch[3]])
    assert store.path(ENCODER, "0" * 40).stat().st_size < 2 * batch[3].numel() * 4


def test_keys_tell_frames_and_shapes_apart() -> None:
    frames = torch.randint(0, 256, (4, 6, 8, 3), dtype=torch.uint8)
    other = frames.clone()
    other[3, 5, 7, 2] ^= 1
    keys = {frames_key(x) for x in (frames, other, frames.flip(0), frames.flip(2), frames.view(2, 12, 8, 3))}
    assert len(keys) == 5
    assert frames_key(frames) == frames_key(frames.clone()) == frames_key(torch.stack([frames, other])[0])


@pytest.mark.parametrize("damage", ["empty", "short", "other", "nothing to load", "another clip"])
def test_damaged_files_are_named_and_written_anew(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path)
    key, features = clip(2)
    store.write(ENCODER, key, features)
    path = store.path(ENCODER, key)
    whole = path.read_bytes()
    if damage == "nothing to load":
        torch.save({"other": 1}, path)
    elif damage == "another clip":
        torch.save({"clip": "1" * 40, "features": list(features)}, path)
    else:
        path.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "other": b"abc" * 50}[damage])
    assert store.read(ENCODER, key) is None
    assert f"{path} is damaged and computed anew" in caplog.text
    store.write(ENCODER, key, features)
    assert same(store.read(ENCODER, key), features)


def test_a_full_folder_is_read_not_added_to_and_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = sum(x.numel() * x.element_size() for x in clip(0)[1])
    store = FeatureStore(tmp_path, max_gib=3.5 * size / GIB)
    store._look_every = GIB  # the files' own overhead is larger than these features
    for number in range(8):
        store.write(ENCODER, *clip(number))
    assert store.size()[0] == 3
    assert same(store.read(ENCODER, clip(1)[0]), clip(1)[1])
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1
    assert f"no more features are added to {tmp_path}: it has reached max_gib=" in said[0]


def test_files_of_other_processes_count(tmp_path: Path) -> None:
    one = FeatureStore(tmp_path, max_gib=20_000 / GIB)
    two = FeatureStore(tmp_path, max_gib=20_000 / GIB)
    for number in range(40):
        (one if number % 2 else two).write(ENCODER, *clip(number))
    total = sum(path.stat().st_size for path in tmp_path.rglob("*.pt"))
    assert 16_000 < total < 24_000


def test_a_disk_that_is_nearly_full_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path)
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * GIB))
    store.write(ENCODER, *clip(1))
    assert store.size()[0] == 0
    assert "its disk has less than 5 GiB left" in caplog.text


def test_an_error_of_the_disk_ends_the_writing_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path)
    store.write(ENCODER, *clip(1))

    def fail(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    store.write(ENCODER, *clip(2))
    store.write(ENCODER, *clip(3))
    monkeypatch.undo()
    assert caplog.text.count("No space left on device") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{clip(1)[0]}.pt"]
    assert store.read(ENCODER, clip(1)[0]) is not None


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_gib must be above 0 or null, got 0"):
        FeatureStore(tmp_path, max_gib=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"feature_cache.folder=.*file.* cannot be used"):
        FeatureStore(tmp_path / "file")


WRITER = """
import sys, torch
from pathlib import Path
from lightning_avsp.backbones.feature_store import FeatureStore
store = FeatureStore(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    store.write("e" * 24, f"{number:040x}", [torch.full((256, 8, 16, 16), float(number))])
print("done", flush=True)
"""


def whole_clips(folder: Path) -> int:
    """Number of clips in a folder, of which each must be whole."""
    store = FeatureStore(folder)
    files = sorted(folder.rglob("*.pt"))
    for path in files:
        found = store.read(ENCODER, path.stem)
        assert found is not None
        assert torch.equal(found[0], torch.full((256, 8, 16, 16), float(int(path.stem, 16))))
    return len(files)


def test_processes_share_a_folder_and_a_kill_leaves_no_broken_file(tmp_path: Path, start: Callable) -> None:
    command = [sys.executable, "-c", WRITER]
    one, two = (start([*command, tmp_path / "shared", "60"], stdout=subprocess.PIPE) for _ in range(2))
    killed = start([*command, tmp_path / "killed", "10000"], stdout=subprocess.PIPE)
    wait_for(lambda: len(list((tmp_path / "killed").rglob("*.pt"))) >= 5, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert whole_clips(tmp_path / "killed") >= 5
    for process in (one, two):
        assert process.communicate()[0].endswith("done\n")
        assert process.returncode == 0
    assert whole_clips(tmp_path / "shared") == 60
    assert not list((tmp_path / "shared").rglob("*.part"))
