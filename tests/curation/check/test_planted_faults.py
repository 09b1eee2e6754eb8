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

from lightning_avsp.curation.check import corpus as corpus_check
from lightning_avsp.curation.check.corpus import check_corpora
from lightning_avsp.curation.check.report import CheckReport
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


def put(path: Path, data: bytes = b"") -> Path:
    path.write_bytes(data)
    return path


def cut(path: Path, share: float = 0.6, fill: bool = False) -> Path:
    """Keep a share of a file; filled up with zeros like a download that was given its final size and never filled."""
    data = path.read_bytes()
    kept = data[: int(len(data) * share)]
    return put(path, kept.ljust(len(data) * fill, b"\0"))


def drop(path: Path) -> Path:
    path.unlink()
    return path


def jpeg(path: Path, size: tuple[int, int] = (64, 128), value: int = 0, channels: int = 1) -> Path:
    colour = "GRAY" if channels == 1 else "RGB"
    return put(path, simplejpeg.encode_jpeg(np.full((*size, channels), value, np.uint8), colorspace=colour))


def picture(path: Path, mode: str, colour: tuple[int, ...]) -> Path:
    Image.new(mode, (128, 64), colour).save(path, "JPEG")
    return path


def matrix(path: Path, values: np.ndarray, key: str = "eyeMap") -> Path:
    savemat(path, {key: values})
    return path


def copied(path: Path, other: Path) -> Path:
    shutil.copy(path, other)
    return other


def resound(path: Path, rate: int | None = None, share: float = 1.0, gain: float = 1.0) -> Path:
    samples, old = soundfile.read(path, dtype="float32")
    rate = rate or old
    count = round(len(samples) / old * rate)
    positions = np.linspace(0, len(samples) - 1, count)
    sound = np.interp(positions, np.arange(len(samples)), samples)[: round(count * share)] * gain
    soundfile.write(path, sound.astype(np.float32), rate, subtype="PCM_16")
    return path


def sample(path: Path, value: float) -> Path:
    samples, rate = soundfile.read(path, dtype="float32")
    samples[rate // 2] = value
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def rewritten(path: Path, change: Callable[[str], str]) -> Path:
    path.write_text(change(path.read_text()))
    return path


def absent(p: Planted) -> Path:
    rewritten(p.list("train"), lambda text: text + "V77_Guitar 25 12.500000\n")
    return p.frame("V77_Guitar", 1).parent


NOISE = np.random.default_rng(0).random((64, 128))
Plant = tuple[Callable[[Planted, str], Path], str, str]
"""What damages a video and returns the path to be named, a part of the message (empty: no fault), and the severity."""
FILE_FAULTS: dict[str, Plant] = {
    "frame_truncated": (lambda p, v: cut(p.frame(v, 3)), "cannot be read as an image", "error"),
    "frame_unfilled": (lambda p, v: cut(p.frame(v, 4), 0.5, True), "cannot be read as an image", "error"),
    "frame_header": (lambda p, v: cut(p.frame(v, 5), 0.01), "cannot be read as an image", "error"),
    "frame_empty": (lambda p, v: put(p.frame(v, 6)), "(0 bytes) cannot be read", "error"),
    "frame_size": (lambda p, v: jpeg(p.frame(v, 7), (32, 64), 90, 3), "32 x 64 pixels", "error"),
    "frame_missing": (lambda p, v: drop(p.frame(v, 8)), "missing, so frame 8", "error"),
    "map_truncated": (lambda p, v: cut(p.map(v, 9)), "cannot be read as an image", "error"),
    "map_empty": (lambda p, v: put(p.map(v, 10)), "(0 bytes) cannot be read", "error"),
    "map_size": (lambda p, v: jpeg(p.map(v, 11), (32, 64), 90), "32 x 64 pixels", "error"),
    "map_blank": (lambda p, v: jpeg(p.map(v, 12)), "every pixel is 0", "warning"),
    "map_beyond": (lambda p, v: copied(p.map(v, 25), p.map(v, 26)), "beyond the 25 listed", "warning"),
    "map_missing": (lambda p, v: drop(p.map(v, 13)), "missing, so frame 13", "error"),
    "fixmap_missing": (lambda p, v: drop(p.fixations(v, 14)), "missing, so frame 14", "error"),
    "fixmap_empty": (lambda p, v: put(p.fixations(v, 15)), "cannot be read", "error"),
    "fixmap_truncated": (lambda p, v: cut(p.fixations(v, 16)), "cannot be read", "error"),
    "fixmap_key": (lambda p, v: matrix(p.fixations(v, 17), NOISE, "fixLocs"), "no matrix 'eyeMap'", "error"),
    "fixmap_size": (lambda p, v: matrix(p.fixations(v, 18), NOISE.T), "128 x 64", "error"),
    "fixmap_blank": (lambda p, v: matrix(p.fixations(v, 19), NOISE * 0), "no fixation", "warning"),
    "fixmap_beyond": (
        lambda p, v: copied(p.fixations(v, 25), p.fixations(v, 27)),
        "beyond the 25 listed",
        "warning",
    ),
    "name_twice": (
        lambda p, v: copied(p.frame(v, 20), p.frame(v, 20).with_name("img_20.jpg")),
        "has the number of img_00020.jpg",
        "warning",
    ),
}
SOUND_FAULTS: dict[str, Plant] = {
    "sound_missing": (lambda p, v: drop(p.wave(v)), "no audio file", "error"),
    "sound_short": (lambda p, v: resound(p.wave(v), share=0.5), "s of audio", "error"),
    "sound_silent": (lambda p, v: resound(p.wave(v), gain=0.0), "silent for all", "warning"),
    "sound_at_44100": (lambda p, v: resound(p.wave(v), 44_100), " Hz, published audio", "warning"),
    "sound_at_48000": (lambda p, v: resound(p.wave(v), 48_000), " Hz, published audio", "warning"),
    "sound_at_8000": (lambda p, v: resound(p.wave(v), 8_000), " Hz, published audio", "warning"),
    "sound_at_22050": (lambda p, v: resound(p.wave(v), 22_050), "", ""),
    "sound_at_16000": (lambda p, v: resound(p.wave(v), 16_000), "", ""),
    "sound_empty": (lambda p, v: put(p.wave(v)), "cannot be read as audio", "error"),
    "sound_a_little_short": (lambda p, v: resound(p.wave(v), share=0.91), "s of audio", "warning"),
    "sound_nan": (lambda p, v: sample(p.wave(v), np.nan), "NaN or infinite, the first at 0.500 s", "error"),
    "sound_infinite": (lambda p, v: sample(p.wave(v), np.inf), "1 of its audio samples are NaN", "error"),
    "sound_loud": (lambda p, v: sample(p.wave(v), 1e4), "its samples reach 1e+04, full scale is 1", "error"),
}
MEANINGLESS: dict[str, Plant] = {
    "fixmap_nan": (
        lambda p, v: matrix(p.fixations(v, 21), NOISE * np.nan),
        "8192 values that are NaN or infinite",
        "error",
    ),
    "fixmap_infinite": (lambda p, v: matrix(p.fixations(v, 21), NOISE - np.inf), "8192 values that", "error"),
    "fixmap_density": (lambda p, v: matrix(p.fixations(v, 21), NOISE), "a density, not fixations", "error"),
    "fixmap_complex": (lambda p, v: matrix(p.fixations(v, 21), NOISE * 1j), "complex numbers", "error"),
    "map_cmyk": (lambda p, v: picture(p.map(v, 22), "CMYK", (0, 90, 90, 0)), "mode CMYK, not a map", "error"),
    "map_coloured": (lambda p, v: picture(p.map(v, 22), "RGB", (250, 20, 20)), "is in colour", "error"),
}
LIST_FAULTS: dict[str, Plant] = {
    "listed_twice": (
        lambda p, v: rewritten(p.list("train"), lambda text: f"{text}\n{text.splitlines()[0]}\n"),
        "is listed twice",
        "error",
    ),
    "list_line": (
        lambda p, v: rewritten(p.list("train"), lambda text: text + "V99_Piano twenty 25.0\n"),
        "expected '<name>",
        "error",
    ),
    "list_missing": (lambda p, v: drop(p.list("test", 2)), "no fold list", "error"),
    "split_overlap": (
        lambda p, v: rewritten(
            p.list("test", 3), lambda text: text + p.list("train", 3).read_text().splitlines()[0] + "\n"
        ),
        "both in a training",
        "error",
    ),
    "video_absent": (lambda p, v: absent(p), "neither frames nor annotations", "error"),
    # the first list to name a video counts; here that is split 1
    "lists_disagree": (
        lambda p, v: rewritten(p.list("train", 2), lambda text: text.replace(" 25 ", " 24 ", 1)),
        "24 frames",
        "warning",
    ),
}
FAULTS = FILE_FAULTS | SOUND_FAULTS | MEANINGLESS | LIST_FAULTS


def plant(fault: Plant, p: Planted, video: str) -> None:
    damage, message, severity = fault
    path = damage(p, video)
    if message:
        p.expect(path, message, severity)


def test_a_clean_corpus_has_no_fault(corpus: Path) -> None:
    for depth in ("quick", "standard", "full"):
        report = check_corpora(corpus, depth=depth)
        assert report.faults == []
    (avad,) = report.corpora
    assert (avad.videos, avad.frames, avad.maps, avad.fixations) == (6, 150, 150, 150)
    assert avad.sizes == avad.map_sizes == {"64x128": 6}
    assert avad.rates == {16_000: 6}
    assert avad.generated


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_and_nothing_else(name: str, planted: Planted, videos: list[str]) -> None:
    plant(FAULTS[name], planted, videos[0])
    planted.check(check_corpora(planted.root))


def test_all_faults_at_once(planted: Planted, videos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (*FILE_FAULTS.values(), *LIST_FAULTS.values()):
        plant(fault, planted, videos[0])
    for video, name in zip(videos, list(SOUND_FAULTS)[:4], strict=False):
        plant(SOUND_FAULTS[name], planted, video)
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


def test_odd_but_whole_files_are_no_fault(planted: Planted, videos: list[str]) -> None:
    frame = planted.frame(videos[0], 2)
    put(frame, frame.read_bytes() + b"a camera's own notes")
    speck = np.zeros((64, 128, 1), np.uint8)
    speck[13, 21] = 40  # smaller than a block of JPEG
    put(planted.map(videos[0], 3), simplejpeg.encode_jpeg(speck, quality=95, colorspace="GRAY"))
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
        planted.expect(jpeg(planted.map(videos[0], number)), "every pixel is 0")
    planted.check(check_corpora(planted.root))


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


def test_what_is_no_fault_is_a_fact(planted: Planted, videos: list[str]) -> None:
    shutil.copytree(planted.frame(videos[0], 1).parent, planted.frame("V88_Extra", 1).parent)
    first = planted.list("test", 1).read_text().splitlines()[0]
    rewritten(planted.list("train", 2), lambda text: text.replace(f"{first}\n", ""))
    rewritten(planted.list("test", 2), lambda text: text + first + "\n")
    report = check_corpora(planted.root)
    assert report.faults == []
    assert "in no fold list, never read: V88_Extra" in report.corpora[0].facts
    assert f"tested in splits 1 and 2: {first.split()[0]}" in report.corpora[0].facts
