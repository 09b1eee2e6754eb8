"""The corpus on disk: exact layout, true lists, determinism, resuming, and refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
import wave
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from lightning_avsp.data.manifest import read_conditions, read_manifest
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.synthetic import (
    SyntheticSpec,
    SynthReport,
    read_video_record,
    synthesise_corpus,
)
from lightning_avsp.synthetic import corpus as video_module
from lightning_avsp.synthetic.layout import assign_conditions, partition
from lightning_avsp.synthetic.packages import SYNTHETIC_CORPORA

SHORT = SyntheticSpec(size=(32, 56), seconds=0.8)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_video_lies_in_the_layout_of_the_package(avad: SynthReport) -> None:
    assert avad.names[:2] == ("V1_Sound", "V2_Music")
    for name in avad.names:
        frames = sorted((avad.root / "video_frames/AVAD" / name).iterdir())
        maps = sorted((avad.root / "annotations/AVAD" / name / "maps").iterdir())
        fixations = sorted((avad.root / "annotations/AVAD" / name).glob("*.mat"))
        assert [path.name for path in frames] == [f"img_{k:05d}.jpg" for k in range(1, 51)]
        assert [path.name for path in maps] == [f"eyeMap_{k:05d}.jpg" for k in range(1, 51)]
        assert [path.name for path in fixations] == [f"fixMap_{k:05d}.mat" for k in range(1, 51)]
        with wave.open(str(avad.root / "video_audio/AVAD" / name / f"{name}.wav")) as sound:
            assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16000)
            assert sound.getnframes() == 50 / 12.5 * 16000
        with Image.open(frames[0]) as image:
            assert (image.size, image.mode) == ((128, 64), "RGB")
            assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1)  # no chroma subsampling
        with Image.open(maps[0]) as image:
            assert (image.size, image.mode) == ((128, 64), "L")
    assert not list(avad.root.glob(".synthesis*"))


def test_fixation_files_hold_what_the_record_says_and_the_map_peaks_among_them(avad: SynthReport) -> None:
    for name in avad.names[:3]:
        record = read_video_record(avad.root, "AVAD", name)
        for frame in (1, 25, 50):
            notes = avad.root / "annotations/AVAD" / name
            stored = loadmat(notes / f"fixMap_{frame:05d}.mat")["eyeMap"]
            expected = np.zeros((64, 128), np.uint8)
            rows, columns = record.fixations[frame - 1].T
            expected[rows, columns] = 1
            assert stored.dtype == np.uint8
            assert np.array_equal(stored, expected)
            saliency = np.asarray(Image.open(notes / "maps" / f"eyeMap_{frame:05d}.jpg"))
            assert saliency.max() >= 250
            assert saliency[stored > 0].mean() > 4 * saliency.mean()


def test_fold_lists_are_true_and_partition_the_videos(avad: SynthReport) -> None:
    assert len(avad.fold_lists) == 6
    tested: Counter[str] = Counter()
    for split in (1, 2, 3):
        names = {}
        for part in ("train", "test"):
            lines = (avad.root / f"fold_lists/AVAD_list_{part}_{split}_fps.txt").read_text().splitlines()
            assert all(line.split(" ")[1:] == ["50", "12.500000"] for line in lines)
            names[part] = {line.split(" ")[0] for line in lines}
        assert names["train"] | names["test"] == set(avad.names)
        assert not names["train"] & names["test"]
        tested.update(names["test"])
    assert tested == Counter(dict.fromkeys(avad.names, 1))


def test_partition_keeps_the_shares_of_conditions_in_every_part() -> None:
    conditions = assign_conditions(SyntheticSpec(), 150)
    tested = partition(conditions, seed=0, corpus="AVAD")
    counts = Counter(zip(tested, conditions, strict=True))
    for split in range(3):
        assert [counts[split, c] for c in ("sound", "music", "silent")] == [30, 10, 10]


def test_a_corpus_of_fifteen_tests_every_condition_in_every_split() -> None:
    conditions = assign_conditions(SyntheticSpec(), 15)
    for seed in range(5):
        pairs = zip(partition(conditions, seed, "AVAD"), conditions, strict=True)
        assert len(set(pairs)) == 9


def test_conditions_of_a_growing_corpus_keep_their_places() -> None:
    long = assign_conditions(SyntheticSpec(), 40)
    assert long[:12] == assign_conditions(SyntheticSpec(), 12)
    assert Counter(long) == {"sound": 24, "music": 8, "silent": 8}


@pytest.mark.parametrize(
    ("corpus", "first", "lists"),
    [
        ("Coutrot_db1", "clip1", 6),
        ("Coutrot_db2", "clip1", 6),
        ("DIEM", "sounding_discs_1_56x32", 2),
        ("ETMD_av", "CHI_1_color", 6),
        ("SumMe", "Sounding_Discs_1", 6),
    ],
)
def test_other_corpora_have_their_own_names_and_lists(
    tmp_path: Path, corpus: str, first: str, lists: int
) -> None:
    report = synthesise_corpus(tmp_path, corpus, 3, spec=SHORT)
    assert report.names[0] == first
    assert len(report.fold_lists) == lists
    assert sorted(read_conditions(tmp_path, corpus).values()) == ["music", "silent", "sound"] or (
        Counter(read_conditions(tmp_path, corpus).values()) == {"sound": 2, "music": 1}
    )
    assert corpus in SYNTHETIC_CORPORA


def test_two_corpora_share_a_root_and_differ(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path, "Coutrot_db1", 3, spec=SHORT)
    synthesise_corpus(tmp_path, "Coutrot_db2", 3, spec=SHORT)
    assert set(read_manifest(tmp_path)["corpora"]) == {"Coutrot_db1", "Coutrot_db2"}
    frames = [(tmp_path / f"video_frames/Coutrot_db{k}/clip1/img_00001.jpg").read_bytes() for k in (1, 2)]
    assert frames[0] != frames[1]


def test_everything_says_synthetic(avad: SynthReport) -> None:
    manifest = json.loads((avad.root / "synthetic.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["statement"].startswith("SYNTHETIC")
    assert (avad.root / "README.txt").read_text().startswith("SYNTHETIC")
    entry = manifest["corpora"]["AVAD"]
    assert entry["seed"] == 3
    assert SyntheticSpec.from_dict(entry["spec"]) == SyntheticSpec(seconds=4.0)
    assert list(entry["videos"]) == list(avad.names)
    assert (avad.root / entry["videos"]["V1_Sound"]["record"]).is_file()


def test_the_seed_fixes_every_byte_whatever_the_number_of_processes(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path / "one", videos=4, spec=SHORT, seed=5, films=True)
    synthesise_corpus(tmp_path / "two", videos=4, spec=SHORT, seed=5, films=True, workers=2)
    synthesise_corpus(tmp_path / "other", videos=4, spec=SHORT, seed=6, films=True)
    one, two, other = (digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    changed = [name for name in one if one[name] != other[name]]
    assert all(name in changed for name in one if name.endswith((".npz", ".wav", ".mp4")))


def test_an_interrupted_corpus_is_completed_and_finished_videos_are_kept(tmp_path: Path) -> None:
    reference = synthesise_corpus(tmp_path, videos=4, spec=SHORT)
    before = digests(tmp_path)
    (tmp_path / "synthetic/AVAD/V2_Music.npz").unlink()  # moved last: this video was interrupted
    shutil.rmtree(tmp_path / "annotations/AVAD/V2_Music")
    (tmp_path / ".synthesis_AVAD/V2_Music").mkdir(parents=True)
    kept = tmp_path / "video_frames/AVAD/V1_Sound/img_00001.jpg"
    touched = kept.stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    again = synthesise_corpus(tmp_path, videos=4, spec=SHORT, progress=lambda *done: seen.append(done))
    assert (reference.written, reference.kept) == (4, 0)
    assert (again.written, again.kept) == (1, 3)
    assert seen == [(4, 4)]
    assert kept.stat().st_mtime_ns == touched
    assert digests(tmp_path) == before


def test_a_failure_leaves_no_part_of_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(video_module, "write_video_record", fail)
    with pytest.raises(OSError, match="disk full"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.txt", "synthetic.json"]


def test_a_corpus_grows_and_films_are_added(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path, videos=3, spec=SHORT)
    grown = synthesise_corpus(tmp_path, videos=5, spec=SHORT)
    assert (grown.written, grown.kept) == (2, 3)
    filmed = synthesise_corpus(tmp_path, videos=5, spec=SHORT, films=True)
    assert filmed.written == 5
    assert len(list((tmp_path / "films/AVAD").iterdir())) == 5


def test_another_spec_or_seed_is_refused_and_overwritten_only_on_demand(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path, videos=4, spec=SHORT)
    louder = replace(SHORT, observers=8)
    with pytest.raises(InputError, match=r"observers: 16 / 8.*overwrite"):
        synthesise_corpus(tmp_path, videos=3, spec=louder)
    with pytest.raises(InputError, match="seed: 0 / 1"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT, seed=1)
    report = synthesise_corpus(tmp_path, videos=3, spec=louder, overwrite=True)
    assert report.written == 3
    assert len(list((tmp_path / "video_frames/AVAD").iterdir())) == 3
    assert read_video_record(tmp_path, "AVAD", "V1_Sound").gaze.shape == (10, 8, 2)


def test_a_corpus_of_unknown_origin_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "video_frames/AVAD/V1_Speech1/img_00001.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"true data")
    with pytest.raises(InputError, match="never overwritten"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT, overwrite=True)
    assert digests(tmp_path) == {
        "video_frames/AVAD/V1_Speech1/img_00001.jpg": hashlib.sha256(b"true data").hexdigest()
    }


def test_wrong_requests_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of AVAD"):
        synthesise_corpus(tmp_path, "avad", 3, spec=SHORT)
    with pytest.raises(InputError, match="at least 3"):
        synthesise_corpus(tmp_path, videos=2, spec=SHORT)
    with pytest.raises(InputError, match=r"workers=0 .* at least 1"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT, workers=0)
    with pytest.raises(InputError, match=r"seed=-1 .* at least 0"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT, seed=-1)
    with pytest.raises(InputError, match="even sizes"):
        synthesise_corpus(tmp_path, videos=3, spec=replace(SHORT, size=(33, 56)), films=True)
    with pytest.raises(InputError, match="12345 Hz"):
        synthesise_corpus(tmp_path, videos=3, spec=replace(SHORT, sample_rate=12345), films=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        synthesise_corpus(tmp_path / "file", videos=3, spec=SHORT)
    (tmp_path / "synthetic.json").write_text("[]")
    with pytest.raises(InputError, match="does not describe"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT)


def test_reading_what_is_not_there_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
        read_conditions(tmp_path, "AVAD")
    with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
        read_video_record(tmp_path, "AVAD", "V1_Sound")


def test_annotations_may_have_another_size_than_frames(tmp_path: Path) -> None:
    spec = replace(SHORT, annotation_size=(48, 64))
    synthesise_corpus(tmp_path, videos=3, spec=spec)
    notes = tmp_path / "annotations/AVAD/V1_Sound"
    assert loadmat(notes / "fixMap_00001.mat")["eyeMap"].shape == (48, 64)
    with Image.open(notes / "maps/eyeMap_00001.jpg") as image:
        assert image.size == (64, 48)
    record = read_video_record(tmp_path, "AVAD", "V1_Sound")  # fixations are whole pixels
    assert np.abs(record.fixations[..., 1] * 56 / 64 - record.gaze[..., 0]).max() <= 1.0
    assert np.abs(record.fixations[..., 0] * 32 / 48 - record.gaze[..., 1]).max() <= 1.0
