from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import iterate_frames, open_video, to_rgb


def order(path_or_info) -> list[int]:
    return [round((frame.pixels[:, :40].mean() - 40) / 7) for frame in iterate_frames(path_or_info)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("x.mp4", {"options": {"bf": "3"}}),
        ("x.mkv", {"channels": 6}),
        ("x.webm", {"vcodec": "libvpx-vp9", "acodec": "libopus", "options": {"cpu-used": "8"}}),
        ("x.avi", {"vcodec": "mpeg4", "acodec": "mp3"}),
        ("x.ts", {}),
        ("x.mov", {"channels": 0}),
    ],
)
def test_every_frame_once_in_presentation_order(make_film, name, settings) -> None:
    path = make_film(name, **settings)
    info = open_video(path)
    assert order(info) == list(range(30))
    assert info.frames == 30
    assert (info.height, info.width) == (64, 96)
    channels = settings.get("channels", 2)
    assert (info.audio.channels if info.audio else 0) == channels


def test_messages_of_a_decoder_never_wait_for_python(make_film) -> None:
    """Another library may have asked for them; a decoder's thread would wait for the lock of whoever closes it."""
    import av

    av.logging.set_level(av.logging.ERROR)
    open_video(make_film())
    assert av.logging.get_level() is None


def test_times_are_those_of_the_video(make_film) -> None:
    pts = [int(40 * i + 13 * (i % 3)) for i in range(20)]  # variable frame rate
    times = [frame.start for frame in iterate_frames(make_film("vfr.mp4", pts=pts))]
    np.testing.assert_allclose(times, np.array(pts) / 1000, atol=1e-4)  # ticks of 1/16000 s
    info = open_video(make_film())
    assert [frame.index for frame in iterate_frames(info)] == list(range(30))
    assert (info.fps, info.seconds) == (Fraction(25), pytest.approx(1.2))


def test_resizing_is_antialiased_bilinear(tmp_path: Path) -> None:
    import av

    smooth = np.random.default_rng(0).normal(size=(25, 40, 1)).repeat(3, axis=2)
    big = torch.nn.functional.interpolate(
        torch.tensor(smooth).permute(2, 0, 1)[None], (250, 400), mode="bicubic"
    )
    pixels = (big[0].permute(1, 2, 0).clamp(-2, 2) * 60 + 128).to(torch.uint8).numpy()
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    full = torch.from_numpy(to_rgb(frame).copy()).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(full, (100, 160), mode="bilinear", antialias=True)
    difference = torch.from_numpy(to_rgb(frame, size=(100, 160)).copy()).permute(2, 0, 1)[None] - wanted
    assert 10 * np.log10(255**2 / float((difference**2).mean())) > 45


@pytest.mark.shared
def test_of_several_video_streams_the_larger_is_taken_and_reported(shared: Path) -> None:
    info = open_video(shared / "clips" / "nasa_13013.mp4")
    assert (info.width, info.height, info.fps) == (480, 270, Fraction(30000, 1001))
    assert any("2 video streams" in note and "480x270" in note and "320x180" in note for note in info.notes)
    assert sum(1 for _ in iterate_frames(info, (28, 48))) == info.frames == 390


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_turned_videos_are_set_upright(make_film, turn) -> None:
    info = open_video(make_film(rotation=turn))
    assert info.rotation == turn % 360
    assert (info.height, info.width) == ((96, 64) if turn % 180 else (64, 96))
    first = next(iterate_frames(info, (info.height // 2, info.width // 2))).pixels
    assert first.shape == (info.height // 2, info.width // 2, 3)
    # The dark half lay left; turned counter-clockwise it comes to lie below, right, or above.
    dark = {90: first[-5:], 180: first[:, -5:], -90: first[:5]}[turn]
    assert dark.mean() < 60 < first.mean()
    assert any("rotating by" in note for note in info.notes)


def test_cover_images_are_not_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=16000, layout="mono")
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(cover.encode(None))
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate = 16000
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    with pytest.raises(
        InputError, match=re.escape(str(path)) + r" has no video stream, only audio \(1 stream\)"
    ):
        open_video(path)


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "text.txt"):
        (tmp_path / name).write_text("these are words, not images\n" * 40)
    Image.new("RGB", (64, 64)).save(tmp_path / "image.png")
    soundfile.write(tmp_path / "audio.wav", np.zeros(16000), 16000)
    for name, words in {
        "missing.mp4": "does not exist",
        ".": "is a folder",
        "empty.mp4": "is empty",
        "text.mp4": "is not a video",
        "text.txt": "is not a video",
        "image.png": "is not a video",
        "audio.wav": "no video stream, only audio",
    }.items():
        with pytest.raises(InputError, match=words) as error:
            open_video(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)


FASTSTART = {"container_options": {"movflags": "faststart"}}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("x.mp4", FASTSTART),
        ("x.mkv", {}),
        ("x.webm", {"vcodec": "libvpx-vp9", "acodec": "libopus", "options": {"cpu-used": "8"}}),
    ],
)
def test_cut_videos_are_refused_or_used_on_request(make_film, cut, name, settings) -> None:
    path = cut(make_film(name, **settings), 0.6)
    with pytest.raises(InputError, match="is cut off") as error:
        open_video(path)
    assert "--allow_truncated" in str(error.value)
    info = open_video(path, allow_truncated=True)
    assert any("damaged video" in note for note in info.notes)
    shown = order(info)
    assert 3 <= len(shown) < 30
    assert shown == sorted(set(shown))  # frames that refer to lost ones may be missing near the end


def test_a_cut_of_the_last_bytes_or_of_the_index_is_seen(make_film, cut) -> None:
    for path in (make_film("x.mp4", **FASTSTART), make_film("x.mkv")):
        with pytest.raises(InputError, match="is cut off"):
            open_video(cut(path, 0.99))
    path = cut(make_film("x.mp4"), 0.6)
    for allow in (False, True):  # without its index no frame can be found
        with pytest.raises(InputError, match="index was cut off"):
            open_video(path, allow_truncated=allow)


def test_damage_in_the_middle_stops_with_the_frame_number(make_film, caplog) -> None:
    path = make_film("x.mp4", options={"g": "10", "bf": "0"}, channels=0)
    import av

    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[20]
        start, length = entry.pos, entry.size
    data = bytearray(path.read_bytes())
    data[start : start + length] = b"\xff" * length
    path.write_bytes(data)
    info = open_video(path)  # nothing shows before the frame is decoded
    with pytest.raises(InputError, match=r"decoding stops after frame \d+"):
        list(iterate_frames(info))
    shown = order(open_video(path, allow_truncated=True))
    assert 20 <= len(shown) < 30
    assert "skipping a damaged part" in caplog.text
