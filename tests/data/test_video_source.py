"""Video files by frame number: every frame carries its number in its pixels, so a wrong one is seen."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest
import torch
from conftest import run_in_fork

from lightning_avsp.data.reader import FrameReader
from lightning_avsp.data.sources import VideoFrames, VideoMaps
from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.media import random_access as readers
from lightning_avsp.media.audio_track import load_audio
from lightning_avsp.media.random_access import video_info

SIZE = (48, 64)
FRAMES = 60
FAST = {"preset": "ultrafast", "threads": "1"}
BACKENDS = ["pyav", "decord"]


def stamped(number: int) -> np.ndarray:
    """Eight vertical bars, white where the number has a bit."""
    bits = [(number >> place) & 1 for place in range(8)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 25, SIZE[1] // 8)
    return np.broadcast_to(row[None, :, None], (*SIZE, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    grey = picture.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return sum(int(level > 125) << place for place, level in enumerate(grey))


def write_video(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    sound: np.ndarray | None = None,
    sound_late: int = 0,
    rotation: int = 0,
    container_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = (FAST if codec == "libx264" else {}) | (options or {})
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        track = None if sound is None else container.add_stream("aac", rate=16_000, layout="mono")
        for place in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(stamped(place + 1), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[place], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, sound_late, Fraction(1, 16_000)
            container.mux(track.encode(block))
            container.mux(track.encode())
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_video(tmp_path / "film.mp4", options={"g": "12", "bf": "2", "preset": "fast"})


@pytest.fixture(autouse=True)
def _no_open_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_open", type(readers._open)())


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_frame_in_any_order(film: Path, backend: readers.Backend) -> None:
    order = np.random.default_rng(0).permutation(FRAMES) + 1
    source = VideoFrames(film, backend)
    assert [number_of(source.read([int(number)], SIZE)[0]) for number in order] == list(order)
    clip = [7, 7, 8, 60, 59, 1, 7]
    pictures = source.read(clip, (24, 32))
    assert [number_of(picture) for picture in pictures] == clip
    assert {picture.shape for picture in pictures} == {(24, 32, 3)}
    assert pictures[0].dtype == np.uint8


@pytest.mark.parametrize("backend", BACKENDS)
def test_uneven_times(tmp_path: Path, backend: readers.Backend) -> None:
    steps = np.random.default_rng(1).integers(10, 400, FRAMES)
    path = write_video(
        tmp_path / "uneven.mp4", options={"g": "20", "bf": "0"}, times=[int(t) for t in steps.cumsum()]
    )
    source = VideoFrames(path, backend)
    order = [40, 3, 21, 20, 60, 1, 19]
    assert [number_of(source.read([number], SIZE)[0]) for number in order] == order


def test_what_pyav_reads_exactly_and_decord_refuses(film: Path, tmp_path: Path) -> None:
    options = {
        "preset": "fast",
        "x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0",
    }
    path = write_video(tmp_path / "open.mp4", options=options)
    assert video_info(path).open_groups
    order = [int(number) for number in np.random.default_rng(2).permutation(FRAMES) + 1]
    assert [number_of(VideoFrames(path, "pyav").read([number], SIZE)[0]) for number in order] == order
    with pytest.raises(InputError, match=r"open\.mp4 is coded in open groups.*pyav.*avsp data prepare"):
        VideoFrames(path, "decord").read([1], SIZE)
    turned = write_video(tmp_path / "turned.mp4", rotation=180)
    assert number_of(VideoFrames(turned, "pyav").read([1], SIZE)[0][:, ::-1]) == 1
    with pytest.raises(InputError, match="rotated by 180 degrees"):
        VideoFrames(turned, "decord").read([1], SIZE)
    shorter = replace(video_info(film), frames=FRAMES - 10)
    with pytest.raises(InputError, match="decord counts 60 frames, the container shows 50"):
        readers.DecordReader(shorter, SIZE)


@pytest.mark.parametrize("name", ["film.avi", "film.mpg"])
def test_containers_without_times_are_refused_but_decoded_in_order(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "mpeg2video"
    path = write_video(tmp_path / name, codec, {"bf": "2", "g": "20"})
    for backend in BACKENDS:
        with pytest.raises(InputError, match=rf"{name}: single frames .* `avsp data prepare`"):
            VideoFrames(path, backend).read([3], SIZE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="avsp data prepare"):
        VideoMaps(path).map(1)
    assert [number_of(picture) for picture in VideoFrames(path).in_order(SIZE)] == list(range(1, FRAMES + 1))


def test_frame_one_is_read_before_any_seek(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import decord

    class Recording(decord.VideoReader):
        asked: list[object] = []  # noqa: RUF012

        def __getitem__(self, place: int) -> object:
            self.asked.append(place)
            return super().__getitem__(place)

        def get_batch(self, places: list[int]) -> object:
            self.asked.append(places)
            return super().get_batch(places)

    monkeypatch.setattr(decord, "VideoReader", Recording)
    VideoFrames(film, "decord").read([41, 40], SIZE)
    assert Recording.asked == [0, [39, 40]]


def test_torchcodec_is_asked_for_exact_frames(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class Decoder:
        def __init__(self, path: str, **options: object) -> None:
            calls.append(
                (path, options["seek_mode"], options["dimension_order"], options["num_ffmpeg_threads"])
            )

        def __getitem__(self, place: int) -> None:
            calls.append(place)

        def get_frames_at(self, indices: list[int]) -> SimpleNamespace:
            calls.append(indices)
            return SimpleNamespace(data=torch.from_numpy(np.stack([stamped(place + 1) for place in indices])))

    module = ModuleType("torchcodec.decoders")
    module.VideoDecoder = Decoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    pictures = VideoFrames(film, "torchcodec").read([30, 12], (24, 32))
    assert [number_of(picture) for picture in pictures] == [30, 12]
    assert calls == [(str(film), "exact", "NHWC", 1), 0, [11, 29]]


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_a_decoder_that_is_not_installed(
    film: Path, backend: readers.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    monkeypatch.setitem(sys.modules, f"{backend}.decoders", None)
    with pytest.raises(MissingDependencyError, match=f"{backend} needs .* pyav"):
        VideoFrames(film, backend).read([1], SIZE)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_is_never_used_across_a_fork(film: Path, backend: readers.Backend) -> None:
    source = VideoFrames(film, backend)
    source.read([20], SIZE)  # open in this process
    assert run_in_fork(lambda: [number_of(picture) for picture in source.read([33, 12], SIZE)]) == [33, 12]
    assert number_of(source.read([21], SIZE)[0]) == 21  # and the parent's still works


def test_few_readers_stay_open_and_a_changed_file_is_opened_anew(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{number}.mp4") for number in range(readers.OPEN_READERS + 2)]
    for path in paths:
        VideoFrames(path, "pyav").read([2], SIZE)
    assert [key[0] for key in readers._open] == paths[2:]
    write_video(paths[-1], options={"g": "5"})
    before = readers._open[paths[-1], "pyav", None][1]
    assert number_of(VideoFrames(paths[-1], "pyav").read([9], SIZE)[0]) == 9
    assert readers._open[paths[-1], "pyav", None][1] is not before


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_cut_files_are_named(film: Path, tmp_path: Path, share: float) -> None:
    data = film.read_bytes()
    film.write_bytes(data[: int(len(data) * share)])
    for read in (video_info, lambda path: VideoFrames(path).read([1], SIZE), load_audio):
        with pytest.raises(InputError, match=r"film\.mp4"):
            read(film)
    path = write_video(tmp_path / "front.mp4", container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises(InputError, match=r"front\.mp4 \(\d+ bytes\) is damaged: it is cut off.*replace"):
        video_info(path)


def test_garbage_inside_is_named_with_its_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "garbage.mp4", options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        packet = [one for one in container.demux(video=0) if one.size][30]
        start, length = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[start : start + length] = b"\xff" * length
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"garbage\.mp4.* cannot be decoded"):
        VideoFrames(path, "pyav").read([31], SIZE)
    with pytest.raises(InputError, match=r"garbage\.mp4 \(\d+ bytes\): frame 31 cannot be decoded"):
        list(VideoFrames(path).in_order(SIZE))


def test_missing_and_beyond_the_end(film: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4 is missing"):
        VideoFrames(film.with_name("gone.mp4")).read([1], SIZE)
    for number in (0, FRAMES + 1):
        with pytest.raises(InputError, match=f"has no frame {number}; its frames are 1 to 60"):
            VideoFrames(film).read([number], SIZE)


def test_sources_are_keys_travel_and_know_their_video(film: Path, tmp_path: Path) -> None:
    source = VideoFrames(film, "pyav")
    assert pickle.loads(pickle.dumps(source)) == source
    clip = FrameReader(SIZE, capacity=8).read(source, (4, 5, 5))
    assert [number_of(picture.numpy()) for picture in clip] == [4, 5, 5]
    assert source.name(3) == f"{film}, frame 3"
    info = video_info(film)
    assert (info.frames, info.fps, (info.height, info.width), info.audio) == (60, 25, SIZE, None)
    with pytest.raises(InputError, match=r"film\.mp4 has no audio; set missing_audio"):
        load_audio(film)
    assert video_info(write_video(tmp_path / "loud.mp4", sound=np.zeros(16_000, np.int16))).audio


@pytest.mark.parametrize(
    ("codec", "pixels"), [("libx264", "yuv420p10le"), ("ffv1", "gray16le"), ("ffv1", "gray")]
)
def test_maps_of_any_depth_become_eight_bit(tmp_path: Path, codec: str, pixels: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, SIZE[1]).astype(np.uint16), (SIZE[0], 1))
    path = tmp_path / "maps.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "0"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *SIZE, pixels
        for turn in range(4):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.roll(ramp, 9 * turn, 1)), format="gray16le"
            )
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())
    source = VideoMaps(path)
    for number in (4, 1, 3):
        expected = np.roll(ramp, 9 * (number - 1), 1) / 257
        found = source.map(number)
        assert found.dtype == torch.uint8
        assert tuple(found.shape) == source.size(number) == SIZE
        assert np.abs(found.numpy() - expected).max() < 1.2  # ten bits of the limited range, then eight
    assert np.array_equal(
        np.stack(list(source.in_order())), np.stack([source.map(n).numpy() for n in range(1, 5)])
    )


@pytest.mark.parametrize("late", [0, 1600])
def test_audio_and_frames_share_one_clock(tmp_path: Path, late: int) -> None:
    clicks = np.zeros(32_000, np.int16)
    clicks[8000:8040] = 20_000
    path = write_video(tmp_path / "clicks.mp4", sound=clicks, sound_late=late)
    samples, rate = load_audio(path)
    assert rate == 16_000
    assert samples.shape[0] == 1
    assert abs(int(samples[0].abs().argmax()) - 8020 - late) < 60  # the encoder smears a click
