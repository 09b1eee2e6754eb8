"""The prepared cache: equal to the corpus, whole or not there, and noticed when it is out of date."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_in_fork

from lightning_avsp.array_file import ArrayWriter, read_index
from lightning_avsp.data.cache import prepare
from lightning_avsp.data.cache.prepare import DiskFullError, prepare_cache
from lightning_avsp.data.cache.sources import (
    PreparedFrames,
    attach_cache,
    pack_map,
    unpack_map,
)
from lightning_avsp.data.clips import clip_at
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.sources import NoFixations, VideoFrames, VideoMaps
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import ClipPolicy

SIZE = (32, 48)
Clips = list[dict]


def read_all(entries: Sequence[VideoEntry], audio: LogMel | Waveform) -> Clips:
    reader = ClipReader(SIZE, audio)
    policy = ClipPolicy()
    firsts = (-3, 9, 30)  # before the start, inside, past the end
    return [
        dict(reader.read(entry, clip_at(first, entry.n_frames, policy), with_ground_truth=True))
        for entry in entries
        for first in firsts
    ]


def assert_equal(one: Clips, other: Clips, but: tuple[str, ...] = ()) -> None:
    assert len(one) == len(other) > 0
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for key in first.keys() - set(but):
            same = (
                torch.equal(first[key], second[key])
                if torch.is_tensor(first[key])
                else first[key] == second[key]
            )
            assert same, key


def psnr(one: Clips, other: Clips) -> float:
    apart = [
        (a["video"].double() - b["video"].double()).square().mean() for a, b in zip(one, other, strict=True)
    ]
    return float(10 * torch.log10(255**2 / torch.stack(apart).mean()))


@pytest.fixture(scope="module")
def entries(corpus_root: Path) -> list[VideoEntry]:
    return read_videos(corpus_root, ["AVAD"], "all")


@pytest.fixture(scope="module")
def caches(entries: list[VideoEntry], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for form in ("packed", "raw"):
        found[form] = tmp_path_factory.mktemp(form)
        report = prepare_cache(entries, found[form], SIZE, format=form, workers=1)  # type: ignore[arg-type]
        assert (report.made, report.kept, report.failed) == (6, 0, {})
        assert report.frames == 6 * 40
    return found


@pytest.mark.parametrize(
    "audio", [LogMel(), Waveform(), LogMel(alignment="released"), LogMel(sample_rate=15_000)]
)
def test_raw_is_equal_bit_for_bit(
    entries: list[VideoEntry], caches: dict[str, Path], audio: LogMel | Waveform
) -> None:
    assert_equal(read_all(entries, audio), read_all(attach_cache(entries, caches["raw"], SIZE), audio))


def test_packed_differs_by_jpeg_loss_in_the_frames_alone(
    entries: list[VideoEntry], caches: dict[str, Path]
) -> None:
    own, cached = (
        read_all(entries, LogMel()),
        read_all(attach_cache(entries, caches["packed"], SIZE), LogMel()),
    )
    assert_equal(own, cached, but=("video",))
    assert 36 < psnr(own, cached) < 60  # 64x128 pictures of noise, shrunk: harder than films
    assert (
        max(int((a["video"].int() - b["video"].int()).abs().max()) for a, b in zip(own, cached, strict=True))
        < 40
    )


def test_up_to_date_files_are_kept_and_processes_make_the_same(
    entries: list[VideoEntry], caches: dict[str, Path], tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in caches["packed"].rglob("*.packed")}
    report = prepare_cache(entries, caches["packed"], SIZE, workers=2)
    assert (report.made, report.kept) == (0, 6)
    assert {path: path.stat().st_mtime_ns for path in caches["packed"].rglob("*.packed")} == before
    done: list[tuple[int, int]] = []
    report = prepare_cache(entries[:3], tmp_path, SIZE, workers=2, progress=lambda *at: done.append(at))
    assert (report.made, done) == (3, [(1, 3), (2, 3), (3, 3)])
    attached = attach_cache(entries[:3], tmp_path, SIZE), attach_cache(entries[:3], caches["packed"], SIZE)
    assert_equal(*(read_all(one, LogMel()) for one in attached))


def test_a_changed_source_is_noticed_and_made_anew_but_a_moved_corpus_is_the_same(
    own_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = read_videos(own_root, ["Coutrot1"], "all")
    cache = tmp_path / "cache"
    prepare_cache(entries, cache, SIZE, format="raw", workers=1)
    first = entries[0].frames.path(5)  # type: ignore[attr-defined]
    first.write_bytes(entries[0].frames.path(6).read_bytes())  # type: ignore[attr-defined]
    attached = attach_cache(entries, cache, SIZE)
    assert attached[0] is entries[0]
    assert isinstance(attached[1].frames, PreparedFrames)
    text = "1 of 3 videos are read from the corpus instead (1 changed since they were prepared)"
    assert text in caplog.text
    assert "avsp data prepare ROOT --size 32x48" in caplog.text
    report = prepare_cache(entries, cache, SIZE, format="raw", workers=1)
    assert (report.made, report.kept) == (1, 2)
    assert_equal(read_all(entries, LogMel()), read_all(attach_cache(entries, cache, SIZE), LogMel()))
    moved = read_videos(own_root.rename(tmp_path / "elsewhere"), ["Coutrot1"], "all")
    report = prepare_cache(moved, cache, SIZE, format="raw", workers=1)
    assert (report.made, report.kept) == (0, 3)
    assert moved[0].wave is not None
    os.utime(moved[0].wave)
    assert attach_cache(moved, cache, SIZE)[0] is moved[0]


def test_other_sizes_versions_and_nothing(
    entries: list[VideoEntry], caches: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        InputError, match=r"contains 32x48, not 64x96; make it with `avsp data prepare ROOT --size 64x96"
    ):
        attach_cache(entries, caches["raw"], (64, 96))
    with pytest.raises(InputError, match=r"contains no prepared videos.*avsp data prepare"):
        attach_cache(entries, tmp_path / "none", SIZE)
    prepare_cache(entries[:2], tmp_path, SIZE, workers=1)
    path = attach_cache(entries[:1], tmp_path, SIZE)[0].frames.path  # type: ignore[attr-defined]
    with path.open("wb") as stream:
        writer = ArrayWriter(stream)
        writer.finish({"built": "x"} | {"fingerprint": "y", "version": 0})
    attached = attach_cache(entries, tmp_path, SIZE)
    assert [one is other for one, other in zip(attached, entries, strict=True)] == [True, False] + [True] * 4
    assert "1 of format version 0, not 3" in caplog.text
    assert "4 not prepared" in caplog.text
    with pytest.raises(InputError, match=r"contains frames of 32x48, not 16x16"):
        attached[1].frames.read([1], (16, 16))
    with pytest.raises(InputError, match="has frames 1 to 40"):
        attached[1].maps.map(41)


def test_a_cut_altered_or_replaced_file_is_never_taken_for_a_whole_one(
    entries: list[VideoEntry], tmp_path: Path
) -> None:
    prepare_cache(entries[:1], tmp_path, SIZE, workers=1)
    attached = attach_cache(entries[:1], tmp_path, SIZE)
    path = attached[0].frames.path  # type: ignore[attr-defined]
    whole = path.read_bytes()
    for kept in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert read_index(path) is None
        assert attach_cache(entries[:1], tmp_path, SIZE)[0] is entries[0]
    for place in np.random.default_rng(0).integers(17, len(whole) - whole.rindex(b'{"version"'), 30):
        altered = bytearray(whole)
        altered[-int(place)] ^= 1  # in the index, its length or its hash
        path.write_bytes(altered)
        assert attach_cache(entries[:1], tmp_path, SIZE)[0] is entries[0]
    assert prepare_cache(entries[:1], tmp_path, SIZE, workers=1).made == 1
    with pytest.raises(InputError, match="was made anew while it was in use"):
        attached[0].frames.read([1], SIZE)


RUN = """
import sys, time
from pathlib import Path
from lightning_avsp.data.cache import prepare
from lightning_avsp.data.cache.prepare import prepare_cache
from lightning_avsp.data.corpora import read_videos
encode_frame = prepare.encode_frame
def encode(picture):
    if list(cache.rglob("*.packed")) and list(cache.rglob(".*.part")):
        print("second video", flush=True)
        time.sleep(600)
    return encode_frame(picture)
cache = Path(sys.argv[2])
if sys.argv[3:]:
    prepare.encode_frame = encode
report = prepare_cache(read_videos(Path(sys.argv[1]), ["Coutrot1"], "all"), cache, (32, 48), workers=1)
print(report.made, report.kept, flush=True)
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_and_run_again(
    corpus_root: Path, tmp_path: Path, start: Callable, stop: signal.Signals
) -> None:
    command = [sys.executable, "-c", RUN, str(corpus_root), str(tmp_path), "wait"]
    run = start(command, stdout=subprocess.PIPE)
    assert run.stdout.readline() == "second video\n"
    run.send_signal(stop)
    run.communicate()
    assert run.returncode not in (0, None)
    assert bool(list(tmp_path.rglob(".*.part"))) == (stop == signal.SIGKILL)  # Ctrl-C leaves nothing behind
    entries = read_videos(corpus_root, ["Coutrot1"], "all")
    report = prepare_cache(entries, tmp_path, SIZE, workers=1)
    assert (report.made, report.kept, report.failed) == (2, 1, {})
    assert not list(tmp_path.rglob(".*.part"))
    cached = attach_cache(entries, tmp_path, SIZE)
    assert_equal(read_all(entries, LogMel()), read_all(cached, LogMel()), but=("video",))


def test_two_runs_at_once(corpus_root: Path, tmp_path: Path, start: Callable) -> None:
    command = [sys.executable, "-c", RUN, str(corpus_root), str(tmp_path)]
    runs = [start(command, stdout=subprocess.PIPE) for _ in range(2)]
    reports = [run.communicate()[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(int(made) for made, _ in reports) == 3  # each video was written once
    assert sum(int(kept) for _, kept in reports) == 3
    entries = read_videos(corpus_root, ["Coutrot1"], "all")
    assert all(isinstance(entry.frames, PreparedFrames) for entry in attach_cache(entries, tmp_path, SIZE))
    assert not list(tmp_path.rglob(".*.part"))


@pytest.mark.parametrize("after", [0, 3, 30])
def test_a_full_disk_leaves_nothing_broken(
    entries: list[VideoEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    prepare_cache(entries[:1], tmp_path, SIZE, workers=1)
    written = 0
    real = ArrayWriter.blobs

    def full(self: ArrayWriter, name: str, blobs: object) -> int:
        def counted() -> object:
            nonlocal written
            for blob in blobs:  # type: ignore[attr-defined]
                written += 1
                if written > after:
                    raise OSError(errno.ENOSPC, "No space left on device")
                yield blob

        return real(self, name, counted())  # type: ignore[arg-type]

    monkeypatch.setattr(ArrayWriter, "blobs", full)
    with pytest.raises(DiskFullError, match=r"no room on the disk for .* same command goes on"):
        prepare_cache(entries[:3], tmp_path, SIZE, workers=1)
    monkeypatch.undo()
    assert len(list(tmp_path.rglob("*.packed"))) == 1
    assert not list(tmp_path.rglob(".*.part"))
    report = prepare_cache(entries[:3], tmp_path, SIZE, workers=1)
    assert (report.made, report.kept) == (2, 1)


def test_what_cannot_be_is_refused_beforehand(
    entries: list[VideoEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ({"size": (0, 4)}, {"workers": 0}, {"rates": ()}):
        with pytest.raises(InputError, match="must all be at least 1"):
            prepare_cache(entries, tmp_path, **({"size": SIZE} | setting))  # type: ignore[arg-type]
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"raw frames of 6 videos need 0\.0 GB.* --format packed"):
        prepare_cache(entries, tmp_path, SIZE, format="raw", workers=1)
    assert not list(tmp_path.rglob("*.raw"))


def test_a_damaged_video_is_reported_and_the_others_prepared(own_root: Path, tmp_path: Path) -> None:
    entries = read_videos(own_root, ["Coutrot1"], "all")
    broken = entries[1].frames.path(7)  # type: ignore[attr-defined]
    broken.write_bytes(broken.read_bytes()[:300])
    report = prepare_cache(entries, tmp_path / "cache", SIZE, workers=1)
    assert report.made == 2
    assert list(report.failed) == [f"Coutrot1/{entries[1].video}"]
    assert str(broken) in report.failed[f"Coutrot1/{entries[1].video}"]
    assert not list(tmp_path.rglob(".*.part"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_sources_in_a_forked_process(entries: list[VideoEntry], caches: dict[str, Path]) -> None:
    attached = attach_cache(entries[:2], caches["packed"], SIZE)
    here = read_all(attached, LogMel())  # mapped in this process first
    assert pickle.loads(pickle.dumps(attached)) == attached
    there = run_in_fork(lambda: [clip["video"].numpy() for clip in read_all(attached, LogMel())])
    assert all(np.array_equal(one, other["video"].numpy()) for one, other in zip(there, here, strict=True))


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_videos_of_frames_and_maps_are_decoded_in_order(
    entries: list[VideoEntry], tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    import av

    caplog.set_level(logging.WARNING)
    film, maps = tmp_path / f"film.{suffix}", tmp_path / f"maps.{suffix}"
    for path, levels in ((film, (40, 160)), (maps, (0, 255))):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4" if suffix == "avi" else "libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 64, 128, "yuv420p"
            stream.bit_rate = 4_000_000
            for number in range(30):
                level = levels[0] + (levels[1] - levels[0]) * number // 29
                picture = np.full((64, 128, 3), level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    entry = replace(
        entries[0],
        video=f"v1.{suffix}/x",
        frames=VideoFrames(film, "pyav"),
        maps=VideoMaps(maps),
        fixations=NoFixations(tmp_path / "none"),
        wave=None,
    )
    assert prepare_cache([entry], tmp_path / "cache", SIZE, workers=1).failed == {}
    assert "expected 40 frames, decoded 30 frames and 30 maps" in caplog.text
    cached = attach_cache([entry], tmp_path / "cache", SIZE)[0]
    assert cached.n_frames == 30
    assert cached.wave is None
    assert cached.fixations is entry.fixations
    # levels that MPEG-4, H.264 and JPEG round away from a plain picture
    for number in (30, 1, 17):
        picture = cached.frames.read([number], SIZE)[0]
        assert picture.mean() == pytest.approx(40 + 120 * (number - 1) // 29, abs=4)
        assert float(cached.maps.map(number).float().mean()) == pytest.approx(255 * (number - 1) // 29, abs=4)
        if suffix == "mp4":
            assert torch.equal(cached.maps.map(number), entry.maps.map(number))
            assert np.abs(entry.frames.read([number], SIZE)[0].astype(int) - picture).max() <= 3  # JPEG


def test_maps_are_packed_without_loss() -> None:
    generator = np.random.default_rng(0)
    for saliency in (generator.integers(0, 256, (37, 51), np.uint8), np.zeros((4, 5), np.uint8)):
        assert np.array_equal(unpack_map(memoryview(pack_map(saliency)), saliency.shape), saliency)
    rows, columns = np.mgrid[:480, :640]
    smooth = (255 * np.exp(-((rows - 200) ** 2 + (columns - 300) ** 2) / 5000)).astype(np.uint8)
    assert len(pack_map(smooth)) < smooth.size / 20
