from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import wait_for

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio_track import read_audio
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import VideoInfo, iterate_frames, open_video
from lightning_avsp.predict.writer import DRAWING_THREADS, PredictionWriter, check_space, to_levels

SHAPE = (16, 24)


def open_writer(out: Path, info: VideoInfo, request: str = "a", **settings) -> PredictionWriter:
    return PredictionWriter(out, info, {"request": request}, SHAPE, **settings)


def write_all(out: Path, info: VideoInfo, saliency: np.ndarray, **settings) -> None:
    with open_writer(out, info, **settings) as writer:
        for index in range(info.frames):
            writer.write(index, saliency)
        writer.finish({"seed": 3})


def stop_after(frames: int, out: Path, info: VideoInfo, error: type[BaseException], **settings) -> None:
    with open_writer(out, info, **settings) as writer:
        for index in range(frames):
            writer.write(index, right_half(index / 100))
        raise error("stop")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-6, np.mean((a.astype(float) - b) ** 2))))


def right_half(low: float = 0.0) -> np.ndarray:
    saliency = np.full((16, 24), low, np.float32)
    saliency[:, 12:] = 1
    return saliency


FILMS = [
    ("x.mp4", {"channels": 0}),
    ("x.mp4", {"channels": 1, "rate": 22050}),
    ("x.mp4", {"channels": 2, "rate": 44100}),
    ("x.mkv", {"channels": 6}),
    ("x.webm", {"vcodec": "libvpx-vp9", "acodec": "libopus", "channels": 6, "options": {"cpu-used": "8"}}),
    ("x.mkv", {"acodec": "pcm_s16le", "channels": 2, "rate": 8000}),
    ("x.ts", {"acodec": "mp3", "channels": 2}),
    ("x.mp4", {"pts": [40 * i + 13 * (i % 3) for i in range(30)], "channels": 1}),
    ("x.mkv", {"pts": [300 + 40 * i for i in range(30)], "channels": 1}),
    ("x.mkv", {"sound_delay": 0.3, "channels": 1}),
    ("x.mp4", {"rotation": 90}),
    ("x.mkv", {"vcodec": "ffv1", "size": (65, 97), "pix_fmt": "yuv444p"}),
]


@pytest.mark.parametrize(("name", "settings"), FILMS)
def test_videos_keep_frames_times_and_audio(make_film, align, tmp_path: Path, name, settings) -> None:
    info = open_video(make_film(name, **settings))
    out = tmp_path / "out"
    write_all(out, info, right_half())
    originals = list(iterate_frames(info))
    for file in ("overlay.mp4", "saliency.mp4"):
        written = open_video(out / file)
        frames = list(iterate_frames(written))
        assert (written.height, written.width) == (info.height + info.height % 2, info.width + info.width % 2)
        assert len(frames) == len(originals) == 30
        times = [[frame.start for frame in film] for film in (frames, originals)]
        np.testing.assert_allclose(*times, atol=1e-3)  # Matroska rounds to a millisecond
        if file == "overlay.mp4":
            half = np.s_[: info.height, : info.width // 2 - 8]  # well left of where saliency begins
            for ours, original in zip(frames, originals, strict=True):
                assert psnr(ours.pixels[half], original.pixels[half]) > 38
        else:
            assert frames[7].pixels[:, 5].max() <= 1
            assert frames[7].pixels[:, -5].min() >= 253
        check_sound(info, written, align)


def check_sound(info: VideoInfo, written: VideoInfo, align) -> None:
    if info.audio is None:
        assert written.audio is None
        return
    assert written.audio is not None
    assert written.audio.codec in ("aac", "mp3float")
    assert (written.audio.channels, written.audio.rate) == (info.audio.channels, info.audio.rate)
    before, rate, offset = read_audio(info)
    after, _, new_offset = read_audio(written)
    for channel in range(info.audio.channels):
        if channel == 3:
            continue  # encoders low-pass the effects channel of 5.1
        lag, correlation = align(before[channel].numpy(), after[channel].numpy())
        assert correlation > 0.9
        assert abs(lag / rate + new_offset - offset) < 2e-3  # Matroska and MPEG-TS round to a millisecond


def test_record_maps_and_nothing_else(make_film, tmp_path: Path) -> None:
    info = open_video(make_film())
    out = tmp_path / "deep" / "out"
    write_all(out, info, right_half(0.25), format="png")
    assert {path.name for path in out.iterdir()} == {"maps", "overlay.mp4", "prediction.json", "saliency.mp4"}
    assert json.loads((out / "prediction.json").read_text()) == {
        "request": {"request": "a", "shape": [16, 24], "format": "png"},
        "look": {"style": "heat", "colours": "inferno", "opacity": 0.7},
        "seed": 3,
        "frames": 30,
    }
    assert len(list((out / "maps").iterdir())) == 30
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, InputError])
def test_an_error_keeps_the_maps_for_the_next_start(make_film, tmp_path: Path, error) -> None:
    info, folder = open_video(make_film()), tmp_path / "here"
    with pytest.raises(error, match="stop"):
        stop_after(0, folder / "out", info, error)
    assert list(folder.iterdir()) == []
    with pytest.raises(error, match="stop"):
        stop_after(7, folder / "out", info, error)
    with open_writer(folder / "out", info) as writer:
        assert (
            writer.resume(stride=4) == 4
        )  # frames 5 and 6 lay between this one and one that was not there yet
        for index in range(4, 30):
            writer.write(index, right_half(index / 100))
        assert writer.finish({}) == 30
    assert [path.name for path in folder.iterdir()] == ["out"]
    with np.load(folder / "out" / "maps.npz") as stored:
        np.testing.assert_array_equal(stored["maps"][:, 0, 0], (np.arange(30) / 100).astype(np.float16))


def test_videos_and_maps_are_written_while_further_maps_come(make_film, tmp_path: Path) -> None:
    info = open_video(make_film())
    with open_writer(tmp_path / "out", info) as writer:
        for index in range(20):
            writer.write(index, right_half())
        wait_for(lambda: writer.written == 20 - DRAWING_THREADS)  # as many are drawn ahead
        assert not (tmp_path / "out").exists()
        for index in range(20, 30):
            writer.write(index, right_half())
        assert writer.finish({}) == 30
        assert writer.written == 30


def test_a_disk_that_is_full_ends_the_prediction_at_once(make_film, tmp_path: Path, monkeypatch) -> None:
    info = open_video(make_film())
    with open_writer(tmp_path / "out", info) as writer:

        def full(*_) -> None:
            raise OSError("No space left on device")

        monkeypatch.setattr(Mp4Writer, "write", full)
        for index in range(DRAWING_THREADS + 1):
            writer.write(index, right_half())
        jobs = writer._jobs
        assert jobs is not None
        wait_for(jobs[0].done)
        with pytest.raises(OSError, match="No space left"):
            writer.write(index + 1, right_half())
    assert (tmp_path / ".out.partial" / "maps.raw").stat().st_size


def test_maps_of_another_request_are_not_continued(make_film, tmp_path: Path, caplog) -> None:
    info = open_video(make_film())
    for request, settings in (("b", {}), ("a", {"format": "png"})):
        with pytest.raises(RuntimeError, match="stop"):
            stop_after(7, tmp_path / "out", info, RuntimeError)
        with open_writer(tmp_path / "out", info, request, **settings) as writer:
            assert writer.resume(1) == 0
        assert "maps of another request" in caplog.text


def test_a_second_prediction_into_the_folder_fails_at_its_start(make_film, hold_lock, tmp_path: Path) -> None:
    other = hold_lock(tmp_path / ".out.partial")
    with pytest.raises(InputError, match=rf"is used by process {other.pid} "):
        open_writer(tmp_path / "out", open_video(make_film())).__enter__()
    other.kill()
    other.wait()
    write_all(tmp_path / "out", open_video(make_film()), right_half())  # a killed owner holds nothing
    assert not (tmp_path / "out" / "lock").exists()


def test_what_would_fail_at_the_end_is_tried_first(make_film, tmp_path: Path, monkeypatch) -> None:
    info = open_video(make_film())
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
        with pytest.raises(
            InputError, match=r"out and 1 more needs up to \d+ MiB, but the disk has 1 MiB free"
        ):
            check_space([open_writer(tmp_path / name, info) for name in ("out", "b")])
    with pytest.raises(InputError, match="cannot be encoded"):
        open_writer(tmp_path / "out", replace(info, width=info.width + 16386)).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == [info.path.name]


def test_what_lies_in_out_is_not_lost(make_film, tmp_path: Path) -> None:
    info = open_video(make_film())
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is used
    write_all(out, info, right_half())
    assert open_writer(out, info).finished
    before = (out / "overlay.mp4").read_bytes()
    with pytest.raises(RuntimeError, match="stop"):
        stop_after(1, out, info, RuntimeError, overwrite=True)
    assert (out / "overlay.mp4").read_bytes() == before
    with pytest.raises(InputError, match="--overwrite"):
        open_writer(out, info, "b")
    write_all(out, info, right_half(), overwrite=True, format="png16")
    assert not (out / "maps.npz").exists()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        open_writer(out, info, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        open_writer(out / "thesis.tex", info)


def test_frames_must_come_in_order(make_film, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="got map 1, expected map 0"),
        open_writer(tmp_path / "out", open_video(make_film())) as writer,
    ):
        writer.write(1, right_half())


def test_levels_are_resized_smoothly() -> None:
    ramp = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (10, 1))
    levels = to_levels(ramp, (40, 80))
    assert levels.shape == (40, 80)
    assert (np.diff(levels[20].astype(int)) >= 0).all()
    assert levels.min() == 0
    assert levels.max() == 255


def test_faint_maps_fill_the_range_of_the_saliency_video(make_film, tmp_path: Path) -> None:
    """Absolute values of 0.02 to 0.08 are 13 levels of 8 bits."""
    info = open_video(make_film(channels=0, frames=3))
    faint = np.tile(np.linspace(0.02, 0.08, SHAPE[1], dtype=np.float32), (SHAPE[0], 1))
    write_all(tmp_path / "out", info, faint)
    shown = next(iterate_frames(tmp_path / "out" / "saliency.mp4")).pixels[32, :, 0].astype(float)
    assert shown.max() > 250
    wanted = np.interp(np.linspace(0, 1, 96), np.linspace(0, 1, SHAPE[1]), faint[0] / 0.08 * 255)
    assert np.abs(shown - wanted)[8:-8].max() < 8  # H.264 at crf 18, and bilinear pixels' edges
    assert len(np.unique(shown)) > 40
