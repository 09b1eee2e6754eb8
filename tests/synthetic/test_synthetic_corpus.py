"""The corpus on disk: exact layout, true lists, determinism, resuming, and refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
import wave
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from lightning_avsp.cli.data import synth
from lightning_avsp.data.manifest import read_conditions, read_manifest
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.synthetic import (
    SyntheticSpec,
    SynthReport,
    read_video_record,
    synthesise_corpus,
)
from lightning_avsp.synthetic import corpus as video_module
from lightning_avsp.synthetic.packages import SYNTHETIC_CORPORA, assign_conditions, partition

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


def test_conditions_of_parts_and_of_a_growing_corpus() -> None:
    conditions = assign_conditions(SyntheticSpec(), 150)
    tested = partition(conditions, seed=0, corpus="AVAD")
    counts = Counter(zip(tested, conditions, strict=True))
    for split in range(3):
        assert [counts[split, c] for c in ("sound", "music", "silent")] == [30, 10, 10]
    for seed in range(5):  # a corpus of fifteen tests every condition in every split
        assert len(set(zip(partition(conditions[:15], seed, "AVAD"), conditions[:15], strict=True))) == 9
    assert conditions[:12] == assign_conditions(SyntheticSpec(), 12)
    assert Counter(conditions[:40]) == {"sound": 24, "music": 8, "silent": 8}


def test_other_corpora_have_their_own_names_and_lists_below_one_root(tmp_path: Path) -> None:
    for corpus, first, lists in (
        ("Coutrot_db1", "clip1", 6),
        ("Coutrot_db2", "clip1", 6),
        ("DIEM", "sounding_discs_1_56x32", 2),
        ("ETMD_av", "CHI_1_color", 6),
        ("SumMe", "Sounding_Discs_1", 6),
    ):
        report = synthesise_corpus(tmp_path, corpus, 3, spec=SHORT)
        assert report.names[0] == first
        assert len(list((tmp_path / "fold_lists").glob(f"{corpus}_*"))) == lists
        assert Counter(read_conditions(tmp_path, corpus).values()) == {"sound": 2, "music": 1}
        assert corpus in SYNTHETIC_CORPORA
        assert corpus in read_manifest(tmp_path)["corpora"]
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


def test_a_corpus_grows_films_are_added_and_a_failure_leaves_no_part_of_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(video_module, "write_video_record", fail)
        with pytest.raises(OSError, match="disk full"):
            synthesise_corpus(tmp_path, videos=3, spec=SHORT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.txt", "synthetic.json"]
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


def test_roots_of_unknown_origin_are_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "video_frames/AVAD/V1_Speech1/img_00001.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"true data")
    with pytest.raises(InputError, match="never overwritten"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT, overwrite=True)
    assert digests(tmp_path) == {
        "video_frames/AVAD/V1_Speech1/img_00001.jpg": hashlib.sha256(b"true data").hexdigest()
    }
    with pytest.raises(InputError, match="is a file"):
        synthesise_corpus(precious, videos=3, spec=SHORT)
    for read in (
        lambda: read_conditions(tmp_path, "AVAD"),
        lambda: read_video_record(tmp_path, "AVAD", "V1"),
    ):
        with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
            read()
    (tmp_path / "synthetic.json").write_text("[]")
    with pytest.raises(InputError, match="does not describe"):
        synthesise_corpus(tmp_path, videos=3, spec=SHORT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpus": "avad"}, "choose one of AVAD"),
        ({"videos": 2}, "at least 3"),
        ({"workers": 0}, "workers=0 .* at least 1"),
        ({"seed": -1}, "seed=-1 .* at least 0"),
        ({"spec": replace(SHORT, size=(33, 56)), "films": True}, "even sizes"),
        ({"spec": replace(SHORT, sample_rate=12345), "films": True}, "12345 Hz"),
    ],
)
def test_wrong_requests_say_what_is_wrong(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        synthesise_corpus(tmp_path, **{"videos": 3, "spec": SHORT} | settings)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(("fps", "sample_rate"), [(12.5, 16000), (29.97, 44100)])
def test_a_film_holds_the_frames_and_the_sound(tmp_path: Path, fps: float, sample_rate: int) -> None:
    spec = SyntheticSpec(seconds=2.0, fps=fps, sample_rate=sample_rate)
    synthesise_corpus(tmp_path, videos=3, spec=spec, films=True)
    with av.open(str(tmp_path / "films/AVAD/V1_Sound.mp4")) as film:
        assert float(film.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-5)
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with av.open(str(tmp_path / "films/AVAD/V1_Sound.mp4")) as film:
        assert film.streams.audio[0].rate == sample_rate
        assert film.streams.audio[0].channels == 1
        blocks = [(block.pts, block.to_ndarray()[0]) for block in film.decode(audio=0)]
    assert len(frames) == spec.frames
    for number in (1, spec.frames):
        image = Image.open(tmp_path / f"video_frames/AVAD/V1_Sound/img_{number:05d}.jpg")
        difference = np.abs(np.asarray(image).astype(float) - frames[number - 1])
        assert difference.mean() < 6  # camera noise of 4 grey levels, chroma at half the resolution

    heard = np.concatenate([samples for pts, samples in blocks if pts >= 0])[: spec.samples]
    path = tmp_path / "video_audio/AVAD/V1_Sound/V1_Sound.wav"
    sound = np.frombuffer(path.read_bytes()[44:], "<i2") / 32767
    length = min(len(heard), len(sound), sample_rate)
    spectrum = np.fft.rfft(heard[:length], 2 * length) * np.conj(np.fft.rfft(sound[:length], 2 * length))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    assert min(lag, 2 * length - lag) <= 2


def test_the_command_writes_and_says_that_it_is_synthetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synth(tmp_path, videos=3, height=32, width=56, seconds=0.8, workers=1, films=True, ceilings=True)
    said = capsys.readouterr().out
    assert said.lstrip().startswith("SYNTHETIC AVAD: 3 videos (2 sound, 1 music, 0 silent), 10 frames each")
    assert "3 written, 0 kept" in said
    assert "Nobody was recorded" in said
    assert "attended" in said
    assert len(list((tmp_path / "films/AVAD").iterdir())) == 3
    synth(tmp_path, videos=3, height=32, width=56, seconds=0.8, workers=1)
    assert "0 written, 3 kept" in capsys.readouterr().out
    with pytest.raises(InputError, match="overwrite"):
        synth(tmp_path, videos=3, height=64, width=56, seconds=0.8, workers=1)
    synth(tmp_path, "DHF1K", videos=3, height=32, width=64, seconds=0.8, workers=1, layout="diffsal")
    assert (tmp_path / "DHF1K" / "frames" / "601" / "10.png").is_file()
    assert "SYNTHETIC" in capsys.readouterr().out
    assert "diffsal frames/1" in (tmp_path / "README.txt").read_text()


def test_fold_lists_are_true_and_partition_the_videos(avad: SynthReport) -> None:
    assert len(list((avad.root / "fold_lists").iterdir())) == 6
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
