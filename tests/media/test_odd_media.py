"""Odd and damaged media: what can be used is used and noted, what cannot is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import PartResampler, resample, to_mono
from lightning_avsp.media.audio_track import AudioStream, decode_audio, load_audio, read_audio
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.random_access import reader
from lightning_avsp.media.video import iterate_frames, open_video

Film = Callable[..., Path]


def order(path: Path) -> list[int]:
    return [
        round((frame.pixels[:, : frame.pixels.shape[1] // 4].mean() - 40) / 7)
        for frame in iterate_frames(path)
    ]


def join(path: Path, *parts: Path) -> Path:
    """A transport stream of several."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    "content", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:9,\n{}\n", "<MPD>{}</MPD>"]
)
@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.m3u8"])
def test_files_that_name_other_files_are_refused(
    content: str, name: str, make_film: Film, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content.format(make_film("inner.ts")))
    with pytest.raises(InputError, match="is not a video that can be read"):
        open_video(path)


def test_a_name_with_a_colon_and_what_is_no_file(
    make_film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_film("2024-11-14T22:57:44.mp4", frames=5)
    monkeypatch.chdir(tmp_path)
    assert order(Path("2024-11-14T22:57:44.mp4")) == list(range(5))
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path(os.devnull)):
        with pytest.raises(InputError, match=f"{path} is no regular file"):
            open_video(path)


@pytest.mark.parametrize(("code", "kind"), [(b"mp4a", "audio"), (b"avc1", "video")])
def test_streams_without_a_decoder(code: bytes, kind: str, make_film: Film) -> None:
    path = make_film(frames=5)
    path.write_bytes(path.read_bytes().replace(code, b"zzzz").replace(b"esds", b"zzzz"))
    if kind == "video":
        with pytest.raises(InputError, match="only some that cannot be decoded"):
            open_video(path)
        return
    info = open_video(path)
    assert info.audio is None
    assert info.notes == ("no decoder for audio stream 1: not used",)


def test_the_first_audio_that_can_be_decoded_is_taken(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "x.mp4")
    data = path.read_bytes()
    for code in (b"mp4a", b"esds"):
        place = data.rfind(code)
        data = data[:place] + b"zzzz" + data[place + 4 :]
    path.write_bytes(data)
    info = open_video(path)
    assert info.audio is not None
    assert info.audio.channels == 1
    assert "no decoder for audio stream 2: not used" in info.notes


def two_tracks(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sounds = [container.add_stream("aac", rate=16000, layout=layout) for layout in ("mono", "5.1")]
        for _ in range(10):
            container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(video.encode(None))
        for stream, channels in zip(sounds, (1, 6), strict=True):
            block = av.AudioFrame.from_ndarray(
                np.zeros((channels, 1024), np.float32), "fltp", stream.layout.name
            )
            block.sample_rate = 16000
            container.mux(stream.encode(block))
            container.mux(stream.encode(None))
    return path


def test_a_layout_that_changes_on_the_way(make_film: Film, tmp_path: Path) -> None:
    surround, stereo = make_film("a.ts", channels=6, frames=25), make_film("b.ts", channels=2, frames=25)
    info = open_video(join(tmp_path / "mixed.ts", surround, stereo, surround), allow_truncated=True)
    assert {(block.layout.name, block.sample_rate) for block in decode_audio(info)} == {("5.1", 48000)}
    wave, _, _ = read_audio(info)
    assert len(wave) == 6
    assert wave.shape[1] > 2.5 * 48000
    (loud,) = torch.nonzero(wave[0].abs() > 0.02, as_tuple=True)
    assert float(torch.diff(loud).max()) < 48000  # no part is silent


def test_a_size_that_changes_on_the_way(make_film: Film, tmp_path: Path) -> None:
    small, large = make_film("a.ts", size=(64, 96), frames=10), make_film("b.ts", size=(128, 160), frames=10)
    path = join(tmp_path / "sizes.ts", small, large)
    frames = [frame.pixels for frame in iterate_frames(open_video(path, allow_truncated=True))]
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert len(frames) >= 19  # where streams are joined a frame may get lost


def test_jumps_of_the_timestamps_are_named(make_film: Film) -> None:
    days = 10 * 86_400_000
    with pytest.raises(InputError, match="timestamps of its frames jump by 864,000 s"):
        open_video(make_film("gap.mkv", pts=[40 * i + (days if i > 9 else 0) for i in range(20)], channels=0))
    slides = open_video(make_film("slides.mp4", pts=[0, 1000, 2000, 8000]))
    assert slides.frames == 4
    with pytest.raises(InputError, match="timestamps of its audio jump"):
        load_audio(open_video(make_film("late.mkv", acodec="pcm_s16le", gap=(0.4, 0.5), gap_becomes_s=9e5)))


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv"])
def test_the_last_picture_of_a_slideshow_stays(name: str, tmp_path: Path) -> None:
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for time in (0, 1000, 2000):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(video.encode(frame))
        rest = video.encode(None)
        rest[-1].duration = round(5 / rest[-1].time_base)
        container.mux(rest)
    info = open_video(path)
    assert (info.frames, info.last, info.seconds) == (3, 5, 7)
    writer = Mp4Writer(tmp_path / "copy.mp4", info)
    for decoded in iterate_frames(info):
        writer.write(decoded.pixels, decoded.pts)
    writer.close()
    assert open_video(tmp_path / "copy.mp4").seconds == 7


@pytest.mark.parametrize(
    ("rate", "value", "message"),
    [
        (1, 0.0, r"claims 1 samples per second"),
        (999, 0.0, r"claims 999 samples per second"),
        (16_000, np.nan, r"odd\.wav: 1 of its audio samples are NaN or infinite, the first at 0\.250 s"),
        (16_000, np.inf, r"odd\.wav: 1 of its audio samples are NaN or infinite, the first at 0\.250 s"),
    ],
)
def test_absurd_rates_and_samples_are_refused(rate: int, value: float, message: str, tmp_path: Path) -> None:
    wave = np.zeros(16_000, np.float32)
    wave[4_000] = value
    soundfile.write(tmp_path / "odd.wav", wave, rate, subtype="FLOAT")
    with pytest.raises(InputError, match=message):
        load_audio(tmp_path / "odd.wav")


def test_half_an_avi_is_noticed(make_film: Film, cut: Callable[..., Path]) -> None:
    path = make_film("x.avi", vcodec="mpeg4", channels=0, size=(256, 384))
    assert open_video(path).frames == 30
    half = cut(path, 0.7)
    with pytest.raises(InputError, match=r"is damaged: it"):
        open_video(half)
    assert open_video(half, allow_truncated=True).frames < 30


@pytest.mark.parametrize("flaw", ["marked", "missing"])
def test_packets_that_a_transport_stream_marks_as_corrupt(flaw: str, make_film: Film) -> None:
    path = make_film("x.ts", channels=0, size=(256, 384))
    data = bytearray(path.read_bytes())
    video = [at for at in range(0, len(data), 188) if data[at + 1] & 0x1F == 1]  # packets of stream 256
    middle = video[len(video) // 2]
    if flaw == "marked":
        data[middle + 1] |= 0x80  # transport error indicator
    else:
        del data[middle : middle + 188]
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="it holds packets that its container marks as corrupt"):
        open_video(path)
    assert open_video(path, allow_truncated=True).frames >= 29


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Replace the display matrix of a mp4's video track: (a, b, c, d)."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4 + 4 + 20 + 16  # version 0: flags, times and duration, layer to reserved
    a, b, c, d = (value * 65536 for value in matrix)
    values = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    assert data[start + 32 : start + 36] == b"\x40\0\0\0"
    data[start : start + 36] = values
    path.write_bytes(bytes(data))


TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORS = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


@pytest.mark.parametrize("matrix", TURNS + MIRRORS)
def test_display_matrices_of_every_kind(matrix: tuple[int, int, int, int], make_film: Film) -> None:
    """A stored pixel (x, y) is shown at (a x + c y, b x + d y), both axes from the left and from the top."""
    path = make_film(frames=3, channels=0)
    stored = next(iterate_frames(path)).pixels
    set_matrix(path, matrix)
    a, b, c, d = matrix
    rows, columns = np.mgrid[: stored.shape[0], : stored.shape[1]]
    x, y = a * columns + c * rows, b * columns + d * rows
    expected = np.zeros((int(np.ptp(y)) + 1, int(np.ptp(x)) + 1, 3), np.uint8)
    expected[y - y.min(), x - x.min()] = stored
    info = open_video(path)
    assert (info.height, info.width) == expected.shape[:2]
    np.testing.assert_array_equal(next(iterate_frames(info)).pixels, expected)
    np.testing.assert_array_equal(reader(path, "pyav", None).read([0], None)[0], expected)
    if matrix != (1, 0, 0, 1):
        pytest.importorskip("decord")
        with pytest.raises(
            InputError, match=r"is stored (rotated|mirrored).*which decord does not decode faithfully"
        ):
            reader(path, "decord", None)


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(48_000, 16_000), (44_100, 22_050), (44_100, 16_000), (8_000, 16_000)]
)
def test_resampling_in_parts_is_resampling(rate: int, new_rate: int) -> None:
    generator = np.random.default_rng(0)
    wave = torch.from_numpy(generator.normal(size=(2, 60_001)).astype(np.float32))
    resampler, parts = PartResampler(rate, new_rate, part=5_000), []
    for block in wave.split(1_337, dim=1):
        parts += resampler.feed(block)
    parts += resampler.feed(None)
    assert len(parts) > 5
    # the same sums of some 40 products below 5 in float32, in another order
    torch.testing.assert_close(torch.cat(parts, dim=1), resample(wave, rate, new_rate), rtol=0, atol=4e-6)


def test_audio_is_resampled_as_it_is_decoded(make_film: Film) -> None:
    path = make_film("x.mkv", acodec="flac", sound_delay=0.1)
    whole, rate = load_audio(open_video(path))
    parts = AudioStream(open_video(path), 16_000).around(0, 1)
    assert (rate, parts.rate, parts.first) == (48_000, 16_000, 0)
    wanted = resample(to_mono(whole), 48_000, 16_000)
    torch.testing.assert_close(parts.samples, wanted, rtol=0, atol=0)  # one part: the same operations


def test_a_sample_of_a_video_that_is_no_number_is_named_before_it_is_encoded(make_film: Film) -> None:
    path = make_film("x.mkv", acodec="pcm_f32le", bad_sample=24_000)
    for read in (lambda info: load_audio(info), lambda info: list(decode_audio(info))):
        with pytest.raises(
            InputError, match=r"1 of its audio samples are NaN or infinite, the first at 0\.50\d s"
        ):
            read(open_video(path))
