"""CrowdSAL: videos, videos of maps, lists of fixations with repeats, the split file, and their faults."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.data.corpora import decoded_with, read_videos
from lightning_avsp.data.crowdsal import SPLIT_FILE, read_header, read_split
from lightning_avsp.data.entries import FrameCountWarning
from lightning_avsp.data.sources import JsonFixations, VideoFrames, VideoMaps
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.audio_track import load_audio
from lightning_avsp.media.random_access import video_info
from lightning_avsp.synthetic import SyntheticSpec, read_video_record, synthesise_corpus
from lightning_avsp.synthetic.films import write_map_film
from lightning_avsp.synthetic.record import saliency_maps

SPEC = SyntheticSpec(size=(32, 64), seconds=0.8)  # 10 frames


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos, two of them tested. Not to be changed."""
    folder = tmp_path_factory.mktemp("crowdsal")
    synthesise_corpus(folder, "CrowdSAL", 6, spec=SPEC)
    return folder


@pytest.fixture
def own_root(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(root, tmp_path / "root"))


def test_entries(root: Path) -> None:
    entries = [e for part in ("train", "test") for e in read_videos(root, ["CrowdSAL"], 1, part)]
    assert [entry.video for entry in entries] == ["0001", "0002", "0004", "0005", "0003", "0006"]
    assert [entry.subset for entry in entries] == ["train"] * 4 + ["public_test", "private_test"]
    for entry in entries:
        record = read_video_record(root, "CrowdSAL", entry.video)
        maps = saliency_maps(SPEC, record.fixations)
        assert (entry.n_frames, entry.fps, entry.size) == (10, 12.5, (32, 64))
        for number in range(1, 11):
            assert np.array_equal(entry.maps.map(number).numpy(), maps[number - 1])
            points = entry.fixations.points(number, entry.maps.size(number)).numpy()
            assert np.array_equal(points, record.fixations[number - 1])  # in order, repeats included
        assert entry.frames.read([1, 10], (32, 64))[1].shape == (32, 64, 3)


def test_repeats_are_kept_and_points_fall_into_pixels(tmp_path: Path) -> None:
    path = tmp_path / "fixations.json"
    path.write_text("[[[3, 4], [3, 4], [0.9, 1.2]], []]")
    source = JsonFixations(path)
    assert source.count() == 2
    assert source.points(1, (8, 8)).tolist() == [[3, 4], [3, 4], [0, 1]]
    assert source.points(2, (8, 8)).shape == (0, 2)
    with pytest.raises(InputError, match="has no frame 3; its frames are 1 to 2"):
        source.points(3, (8, 8))
    with pytest.raises(InputError, match=r"frame 1: fixation \[3, 4\].*outside the map of 8 x 4"):
        source.points(1, (8, 4))
    path.write_text("[[[3, 4]]]")
    assert source.count() == 1  # a file that has changed is read again


@pytest.mark.parametrize("text", ["", "{}", "[[1, 2, 3]]", "[[[1]]]", '[[["a", 1]]]', "[[[1, NaN]]]", "[5]"])
def test_broken_lists_of_fixations(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fixations.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"fixations\.json .* contains no lists of fixations"):
        JsonFixations(path).points(1, (8, 8))


def test_audio_header_and_decoder_of_the_video(root: Path) -> None:
    entry = read_videos(root, ["CrowdSAL"], 1, "test")[0]
    assert entry.wave is not None
    assert entry.wave.suffix == ".mp4"
    samples, rate = load_audio(entry.wave)
    assert rate == 16_000
    assert samples.shape[1] / rate == pytest.approx(0.8, abs=0.1)  # AAC pads to whole blocks
    info = video_info(entry.wave)
    assert read_header(entry.wave) == (info.frames, float(info.fps), (info.height, info.width), True)
    (other,) = decoded_with([entry], "decord")
    assert other == replace(entry, frames=VideoFrames(entry.wave, "decord"))
    pictures = [e.frames.read([5], (32, 64))[0].astype(int) for e in (entry, other)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 4  # decord rounds colours down by a grey level or two


def test_an_unpacked_archive_without_its_inner_folder_and_a_video_without_audio_track(own_root: Path) -> None:
    base = own_root / "CrowdSAL"
    for kind in ("Saliency", "Fixations"):
        (base / f"{kind}Test" / "Test").rename(base / "inner")
        (base / f"{kind}Test").rmdir()
        (base / "inner").rename(base / f"{kind}Test")
    assert len(read_videos(own_root, ["CrowdSAL"], 1, "test")) == 2
    assert len(read_videos(base, ["CrowdSAL"], 1, "test")) == 2
    write_map_film(base / "Videos" / "0002.mp4", np.zeros((10, 32, 64), np.uint8), fps=12.5)
    kept = read_videos(own_root, ["CrowdSAL"], 1, "train", missing_audio="silence")
    assert [entry.wave is None for entry in kept] == [False, True, False, False]


def test_fewer_lists_than_frames_warn_once_with_numbers(own_root: Path) -> None:
    path = own_root / "CrowdSAL" / "FixationsTest" / "Test" / "0003" / "fixations.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-2]))
    with pytest.warns(FrameCountWarning, match="CrowdSAL/0003: .*10 frames, 10 maps, 8 fixations") as record:
        entries = read_videos(own_root, ["CrowdSAL"], 1, "test")
    assert len(record) == 1
    assert [entry.n_frames for entry in entries] == [8, 10]


@pytest.mark.parametrize(
    ("name", "kept", "message"),
    [
        ("Videos/0003.mp4", None, r"CrowdSAL/0003: no video \(.*0003.*to obtain it"),
        ("SaliencyTest/Test/0003.mp4", None, r"CrowdSAL/0003: no maps \(.*0003.*to obtain it"),
        (
            "FixationsTest/Test/0003/fixations.json",
            None,
            r"CrowdSAL/0003: no fixations \(.*0003.*to obtain it",
        ),
        ("Videos/0003.mp4", 200, r"0003\.mp4 is not a video that can be read, or its index was cut off"),
    ],
)
def test_missing_and_truncated_files_are_named(
    own_root: Path, name: str, kept: int | None, message: str
) -> None:
    path = own_root / "CrowdSAL" / name
    data = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(data[:kept])
    with pytest.raises(InputError, match=message):
        read_videos(own_root, ["CrowdSAL"], 1, "test")


def test_the_split_file(own_root: Path) -> None:
    path = own_root / "CrowdSAL" / SPLIT_FILE
    split = {"train": ["a.mp4", "b.mp4"], "public_test": ["c.mp4"], "private_test": ["d.v2.mp4"]}
    path.write_text(json.dumps(split))
    assert read_split(path.parent) == {"train": ["a", "b"], "public_test": ["c"], "private_test": ["d.v2"]}
    path.write_text(json.dumps(split | {"private_test": ["a.mp4"]}))
    with pytest.raises(InputError, match=r"names 1 videos twice \(a\)"):
        read_split(path.parent)
    path.write_text(json.dumps({"train": []}))
    with pytest.raises(InputError, match="needs lists train, public_test and private_test"):
        read_split(path.parent)
    path.unlink()
    with pytest.raises(CorpusNotFoundError, match=r"nothing at .*TrainTestSplit\.json"):
        read_videos(own_root, ["CrowdSAL"], 1, "train")


def test_ground_truth_is_there_at_its_own_depth(tmp_path: Path) -> None:
    """Ten bits, as the challenge scores it, and rounded to eight, as it trains."""
    import av

    path, levels = tmp_path / "maps.mkv", np.tile(np.arange(0, 1024, 16, dtype=np.uint16), (64, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray10le"
        frame = av.VideoFrame(64, 64, "gray10le")
        frame.planes[0].update(levels.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    maps = VideoMaps(path)
    deep = maps.map(1, deep=True).numpy()
    assert len(np.unique(deep)) == 64
    np.testing.assert_allclose(
        deep / 65535, levels / 1023, atol=1 / 65535 + 1e-3
    )  # swscale shifts bits: v * 64
    assert np.abs(maps.map(1).numpy() - levels / 1023 * 255).max() <= 0.76
