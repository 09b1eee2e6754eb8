"""Each fault is planted in a copy of a generated corpus, and exactly what was planted must be reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import soundfile
from PIL import Image
from scipy.io import savemat

from lightning_avsp.curation.check import CheckReport, check_corpora
from lightning_avsp.curation.check import corpus as corpus_check
from lightning_avsp.data.manifest import read_conditions

Found = tuple[Path, str]
"""(path, severity)."""


@dataclass
class Planted:
    """A damaged corpus and the faults that must be reported, each with a part of its message."""

    root: Path
    expected: dict[Found, str] = field(default_factory=dict)

    def frame(self, video: str, number: int) -> Path:
        return self.root / "video_frames" / "AVAD" / video / f"img_{number:05d}.jpg"

    def map(self, video: str, number: int) -> Path:
        return self.root / "annotations" / "AVAD" / video / "maps" / f"eyeMap_{number:05d}.jpg"

    def fixations(self, video: str, number: int) -> Path:
        return self.root / "annotations" / "AVAD" / video / f"fixMap_{number:05d}.mat"

    def wave(self, video: str) -> Path:
        return self.root / "video_audio" / "AVAD" / video / f"{video}.wav"

    def list(self, part: str, split: int = 1) -> Path:
        return self.root / "fold_lists" / f"AVAD_list_{part}_{split}_fps.txt"

    def expect(self, path: Path, message: str, severity: str = "error") -> None:
        self.expected[path, severity] = message

    def check(self, report: CheckReport) -> None:
        """Exactly the planted faults are reported; a list with two faults is reported twice."""
        assert len(report.faults) == len({(fault.path, fault.message) for fault in report.faults})
        assert {(fault.path, fault.severity) for fault in report.faults} == set(self.expected)
        for key, message in self.expected.items():
            assert any(message in f.message for f in report.faults if (f.path, f.severity) == key)


@pytest.fixture
def planted(corpus: Path, tmp_path: Path) -> Planted:
    return Planted(Path(shutil.copytree(corpus, tmp_path / "copy")))


@pytest.fixture
def videos(corpus: Path) -> list[str]:
    """Videos with sound first: a silent one cannot become silent."""
    conditions = read_conditions(corpus, "AVAD")
    return sorted(conditions, key=lambda name: (conditions[name] == "silent", name))


def jpeg(size: tuple[int, int], value: int = 0, colour: bool = False) -> bytes:
    if colour:
        return simplejpeg.encode_jpeg(np.full((*size, 3), value, np.uint8))
    return simplejpeg.encode_jpeg(np.full((*size, 1), value, np.uint8), colorspace="GRAY")


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def resound(path: Path, rate: int | None = None, share: float = 1.0, gain: float = 1.0) -> None:
    samples, old = soundfile.read(path, dtype="float32")
    seconds = len(samples) / old
    rate = rate or old
    count = round(seconds * rate)
    positions = np.linspace(0, len(samples) - 1, count)
    sound = np.interp(positions, np.arange(len(samples)), samples)[: round(count * share)] * gain
    soundfile.write(path, sound.astype(np.float32), rate, subtype="PCM_16")


def frame_truncated(p: Planted, video: str) -> None:
    cut(p.frame(video, 3))
    p.expect(p.frame(video, 3), "cannot be read as an image")


def frame_padded(p: Planted, video: str) -> None:
    """A download that was given its final size and never filled."""
    path = p.frame(video, 4)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    p.expect(path, "cannot be read as an image")


def frame_header_cut(p: Planted, video: str) -> None:
    p.frame(video, 5).write_bytes(p.frame(video, 5).read_bytes()[:30])
    p.expect(p.frame(video, 5), "cannot be read as an image")


def frame_zero_byte(p: Planted, video: str) -> None:
    p.frame(video, 6).write_bytes(b"")
    p.expect(p.frame(video, 6), "(0 bytes) cannot be read")


def frame_size(p: Planted, video: str) -> None:
    p.frame(video, 7).write_bytes(jpeg((32, 64), 90, colour=True))
    p.expect(p.frame(video, 7), "32 x 64 pixels")


def frame_missing(p: Planted, video: str) -> None:
    p.frame(video, 8).unlink()
    p.expect(p.frame(video, 8), "missing, so frame 8")


def map_truncated(p: Planted, video: str) -> None:
    cut(p.map(video, 9))
    p.expect(p.map(video, 9), "cannot be read as an image")


def map_zero_byte(p: Planted, video: str) -> None:
    p.map(video, 10).write_bytes(b"")
    p.expect(p.map(video, 10), "(0 bytes) cannot be read")


def map_size(p: Planted, video: str) -> None:
    p.map(video, 11).write_bytes(jpeg((32, 64), 90))
    p.expect(p.map(video, 11), "32 x 64 pixels")


def map_blank(p: Planted, video: str) -> None:
    p.map(video, 12).write_bytes(jpeg((64, 128)))
    p.expect(p.map(video, 12), "every pixel is 0", "warning")


def map_without_frame(p: Planted, video: str) -> None:
    shutil.copy(p.map(video, 25), p.map(video, 26))
    p.expect(p.map(video, 26), "beyond the 25 listed", "warning")


def frame_without_map(p: Planted, video: str) -> None:
    p.map(video, 13).unlink()
    p.expect(p.map(video, 13), "missing, so frame 13")


def fixmap_missing(p: Planted, video: str) -> None:
    p.fixations(video, 14).unlink()
    p.expect(p.fixations(video, 14), "missing, so frame 14")


def fixmap_zero_byte(p: Planted, video: str) -> None:
    p.fixations(video, 15).write_bytes(b"")
    p.expect(p.fixations(video, 15), "cannot be read")


def fixmap_unreadable(p: Planted, video: str) -> None:
    cut(p.fixations(video, 16))
    p.expect(p.fixations(video, 16), "cannot be read")


def fixmap_key(p: Planted, video: str) -> None:
    savemat(p.fixations(video, 17), {"fixLocs": np.ones((64, 128), np.uint8)})
    p.expect(p.fixations(video, 17), "no matrix 'eyeMap'")


def fixmap_size(p: Planted, video: str) -> None:
    savemat(p.fixations(video, 18), {"eyeMap": np.ones((128, 64), np.uint8)})
    p.expect(p.fixations(video, 18), "128 x 64")


def fixmap_blank(p: Planted, video: str) -> None:
    savemat(p.fixations(video, 19), {"eyeMap": np.zeros((64, 128))})
    p.expect(p.fixations(video, 19), "no fixation", "warning")


def fixmap_of(name: str, matrix: np.ndarray, message: str) -> Callable[[Planted, str], None]:
    def plant(p: Planted, video: str) -> None:
        savemat(p.fixations(video, 21), {"eyeMap": matrix})
        p.expect(p.fixations(video, 21), message)

    plant.__name__ = f"fixmap_{name}"
    return plant


def map_of(name: str, image: Image.Image, message: str) -> Callable[[Planted, str], None]:
    def plant(p: Planted, video: str) -> None:
        image.save(p.map(video, 22), "JPEG")
        p.expect(p.map(video, 22), message)

    plant.__name__ = f"map_{name}"
    return plant


def sound_of(name: str, value: float, message: str) -> Callable[[Planted, str], None]:
    def plant(p: Planted, video: str) -> None:
        samples, rate = soundfile.read(p.wave(video), dtype="float32")
        samples[rate // 2] = value
        soundfile.write(p.wave(video), samples, rate, subtype="FLOAT")
        p.expect(p.wave(video), message)

    plant.__name__ = f"sound_{name}"
    return plant


def fixmap_without_frame(p: Planted, video: str) -> None:
    shutil.copy(p.fixations(video, 25), p.fixations(video, 27))
    p.expect(p.fixations(video, 27), "beyond the 25 listed", "warning")


def name_duplicate(p: Planted, video: str) -> None:
    double = p.frame(video, 20).with_name("img_20.jpg")
    shutil.copy(p.frame(video, 20), double)
    p.expect(double, "has the number of img_00020.jpg", "warning")


def sound_missing(p: Planted, video: str) -> None:
    p.wave(video).unlink()
    p.expect(p.wave(video), "no audio file")


def sound_unreadable(p: Planted, video: str) -> None:
    p.wave(video).write_bytes(b"")
    p.expect(p.wave(video), "cannot be read as audio")


def sound_short(p: Planted, video: str) -> None:
    resound(p.wave(video), share=0.5)
    p.expect(p.wave(video), "s of audio", "error")


def sound_a_little_short(p: Planted, video: str) -> None:
    resound(p.wave(video), share=0.91)
    p.expect(p.wave(video), "s of audio", "warning")


def sound_silent(p: Planted, video: str) -> None:
    resound(p.wave(video), gain=0.0)
    p.expect(p.wave(video), "silent for all", "warning")


def sound_at(rate: int) -> Callable[[Planted, str], None]:
    def plant(p: Planted, video: str) -> None:
        resound(p.wave(video), rate=rate)
        if not 16_000 <= rate <= 22_050:
            p.expect(p.wave(video), " Hz, published audio", "warning")

    plant.__name__ = f"sound_at_{rate}"
    return plant


FILE_FAULTS = (
    frame_truncated,
    frame_padded,
    frame_header_cut,
    frame_zero_byte,
    frame_size,
    frame_missing,
    map_truncated,
    map_zero_byte,
    map_size,
    map_blank,
    map_without_frame,
    frame_without_map,
    fixmap_missing,
    fixmap_zero_byte,
    fixmap_unreadable,
    fixmap_key,
    fixmap_size,
    fixmap_blank,
    fixmap_without_frame,
    name_duplicate,
)
MEANINGLESS = (
    fixmap_of("nan", np.full((64, 128), np.nan), "8192 values that are NaN or infinite"),
    fixmap_of("infinite", np.full((64, 128), -np.inf), "8192 values that are NaN or infinite"),
    fixmap_of("density", np.random.default_rng(0).random((64, 128)), "a density, not fixations"),
    fixmap_of("complex", np.ones((64, 128)) * 1j, "complex numbers"),
    map_of("cmyk", Image.new("CMYK", (128, 64), (0, 90, 90, 0)), "mode CMYK, not a map"),
    map_of("coloured", Image.new("RGB", (128, 64), (250, 20, 20)), "is in colour"),
    sound_of("nan", np.nan, "1 of its audio samples are NaN or infinite, the first at 0.500 s"),
    sound_of("infinite", np.inf, "NaN or infinite"),
    sound_of("loud", 1e4, "its samples reach 1e+04, full scale is 1"),
)
SOUND_FAULTS = (
    sound_missing,
    sound_unreadable,
    sound_short,
    sound_a_little_short,
    sound_silent,
    sound_at(48_000),
    sound_at(44_100),
    sound_at(22_050),
    sound_at(16_000),
    sound_at(8_000),
)


def list_duplicate(p: Planted, videos: list[str]) -> None:
    lines = p.list("train").read_text().splitlines()
    p.list("train").write_text("\n".join([*lines, "", lines[0]]) + "\n")
    p.expect(p.list("train"), "is listed twice")


def list_line(p: Planted, videos: list[str]) -> None:
    p.list("train").write_text(p.list("train").read_text() + "V99_Piano twenty 25.0\n")
    p.expect(p.list("train"), "expected '<name>")


def list_missing(p: Planted, videos: list[str]) -> None:
    p.list("test", 2).unlink()
    p.expect(p.list("test", 2), "no fold list")


def split_overlap(p: Planted, videos: list[str]) -> None:
    train = p.list("train", 3).read_text().splitlines()
    p.list("test", 3).write_text(p.list("test", 3).read_text() + train[0] + "\n")
    p.expect(p.list("test", 3), "both in a training")


def video_absent(p: Planted, videos: list[str]) -> None:
    p.list("train").write_text(p.list("train").read_text() + "V77_Guitar 25 12.500000\n")
    p.expect(p.frame("V77_Guitar", 1).parent, "neither frames nor annotations")


def list_disagrees(p: Planted, videos: list[str]) -> None:
    """The first list to name a video counts; here that is split 1."""
    path = p.list("train", 2)
    path.write_text(path.read_text().replace(" 25 ", " 24 ", 1))
    p.expect(path, "24 frames", "warning")


LIST_FAULTS = (
    list_duplicate,
    list_line,
    list_missing,
    split_overlap,
    video_absent,
    list_disagrees,
)


def test_a_clean_corpus_has_no_fault(corpus: Path) -> None:
    for depth in ("quick", "standard", "full"):
        report = check_corpora(corpus, depth=depth)
        assert report.faults == []
    (avad,) = report.corpora
    assert (avad.videos, avad.frames, avad.maps, avad.fixations) == (6, 150, 150, 150)
    assert avad.sizes == avad.map_sizes == {"64x128": 6}
    assert avad.rates == {16_000: 6}
    assert avad.generated


@pytest.mark.parametrize("plant", FILE_FAULTS + MEANINGLESS + SOUND_FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_of_a_file_is_reported_and_nothing_else(
    plant: Callable[[Planted, str], None], planted: Planted, videos: list[str]
) -> None:
    plant(planted, videos[0])
    planted.check(check_corpora(planted.root))


@pytest.mark.parametrize("plant", LIST_FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_of_a_list_is_reported_and_nothing_else(
    plant: Callable[[Planted, list[str]], None], planted: Planted, videos: list[str]
) -> None:
    plant(planted, videos)
    planted.check(check_corpora(planted.root))


def test_all_faults_at_once(planted: Planted, videos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for plant in FILE_FAULTS:
        plant(planted, videos[0])
    for index, plant in enumerate((sound_missing, sound_short, sound_silent, sound_at(44_100))):
        plant(planted, videos[index])
    for each in LIST_FAULTS:
        each(planted, videos)
    planted.check(check_corpora(planted.root))
    monkeypatch.setattr(corpus_check, "ALONE_FRAMES", 0)
    planted.check(check_corpora(planted.root, workers=2))


def test_damage_in_the_middle_needs_full_decoding(planted: Planted, videos: list[str]) -> None:
    path = planted.frame(videos[0], 2)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\xd9" * 20  # end markers where code should be
    path.write_bytes(bytes(data))
    assert check_corpora(planted.root).faults == []
    planted.expect(path, "cannot be read as an image")
    planted.check(check_corpora(planted.root, depth="full"))


def test_what_follows_the_end_marker_does_no_harm(planted: Planted, videos: list[str]) -> None:
    path = planted.frame(videos[0], 2)
    path.write_bytes(path.read_bytes() + b"a camera's own notes")
    assert check_corpora(planted.root).faults == []


def test_a_missing_part_of_a_video_is_one_fault(planted: Planted, videos: list[str]) -> None:
    shutil.rmtree(planted.map(videos[0], 1).parent)
    shutil.rmtree(planted.frame(videos[1], 1).parent)
    planted.expect(planted.map(videos[0], 1).parent, "unpack this part again")
    planted.expect(planted.frame(videos[1], 1).parent, "unpack this part again")
    planted.check(check_corpora(planted.root))


@pytest.mark.parametrize(("listed", "severity"), [(27, "warning"), (40, "error")])
def test_a_list_that_says_more_frames(
    listed: int, severity: str, planted: Planted, videos: list[str]
) -> None:
    for part in ("train", "test"):
        for split in (1, 2, 3):
            path = planted.list(part, split)
            path.write_text(path.read_text().replace(f"{videos[0]} 25 ", f"{videos[0]} {listed} "))
    planted.expect(planted.frame(videos[0], 1).parent, "the folders end at 25", severity)
    planted.check(check_corpora(planted.root))


def test_a_video_whose_maps_are_all_blank_is_an_error(planted: Planted, videos: list[str]) -> None:
    for number in range(1, 26):
        planted.map(videos[0], number).write_bytes(jpeg((64, 128)))
        planted.expect(planted.map(videos[0], number), "every pixel is 0")
    planted.check(check_corpora(planted.root))


def test_a_speck_smaller_than_a_block_is_not_blank(planted: Planted, videos: list[str]) -> None:
    speck = np.zeros((64, 128, 1), np.uint8)
    speck[13, 21] = 40
    planted.map(videos[0], 3).write_bytes(simplejpeg.encode_jpeg(speck, quality=95, colorspace="GRAY"))
    assert check_corpora(planted.root).faults == []


def test_numbers_of_a_real_corpus_are_held_against_the_published(planted: Planted) -> None:
    (planted.root / "synthetic.json").unlink()  # now it passes for the real AVAD, which has 45 videos
    report = check_corpora(planted.root)
    published = [fault.message for fault in report.faults if "published" in fault.message]
    assert len(published) == 8  # two parts of three splits, videos and frames in all
    text = " ".join(published)
    assert "split 1: 4 train videos, published 30" in text
    assert "6 distinct videos in all lists, published 45" in text
    assert "150 frames in all lists, published 9589" in text
    # Without that file nothing states that two of its videos were made without audio.
    assert all("published" in f.message or "silent for all" in f.message for f in report.faults)
    assert report.count("error") == 0


def test_unlisted_folders_are_a_fact(planted: Planted, videos: list[str]) -> None:
    shutil.copytree(planted.frame(videos[0], 1).parent, planted.frame("V88_Extra", 1).parent)
    report = check_corpora(planted.root)
    assert report.faults == []
    assert "in no fold list, never read: V88_Extra" in report.corpora[0].facts


def test_tests_that_overlap_between_splits_are_a_fact(planted: Planted) -> None:
    first = planted.list("test", 1).read_text().splitlines()[0]
    train = planted.list("train", 2)
    train.write_text("".join(f"{line}\n" for line in train.read_text().splitlines() if line != first))
    planted.list("test", 2).write_text(planted.list("test", 2).read_text() + first + "\n")
    report = check_corpora(planted.root)
    assert report.faults == []
    assert f"tested in splits 1 and 2: {first.split()[0]}" in report.corpora[0].facts
