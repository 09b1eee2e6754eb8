"""The STAViS layout: entries, warnings, refusals."""

import logging
import warnings
from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import find_corpus, own_corpus, register
from lightning_avsp.data.corpora import listed_keys, read_videos
from lightning_avsp.data.entries import FrameCountWarning, MissingAudio, VideoEntry
from lightning_avsp.data.lists import list_path
from lightning_avsp.errors import CorpusNotFoundError, InputError


def train_videos(root: Path, missing_audio: MissingAudio = "error") -> list[VideoEntry]:
    return read_videos(root, ["AVAD"], 1, "train", missing_audio=missing_audio)


def test_entry(corpus_root: Path) -> None:
    entry = train_videos(corpus_root)[0]
    assert entry.corpus == "AVAD"
    assert entry.n_frames == 40
    assert entry.fps == pytest.approx(12.5)
    assert entry.size == (64, 128)
    assert entry.wave is not None
    assert entry.wave.is_file()
    for files in (entry.frames, entry.maps, entry.fixations):
        assert files.path(1).is_file()
        assert files.path(40).is_file()
        assert not files.path(41).exists()


def test_entries_are_in_the_order_of_lists_and_one_name_in_two_corpora_is_two_videos(
    corpus_root: Path,
) -> None:
    corpora = ["AVAD", "Coutrot1", "Coutrot2"]
    entries = read_videos(corpus_root, corpora, "all")
    assert [entry.key for entry in entries] == listed_keys(corpus_root, corpora, "all")
    one, other = (entry for entry in entries if entry.video == "clip1")
    assert {one.key, other.key} == {("Coutrot1", "clip1"), ("Coutrot2", "clip1")}
    assert one.frames.path(1).read_bytes() != other.frames.path(1).read_bytes()


def test_keep_looks_at_nothing_else(own_root: Path) -> None:
    first, second = train_videos(own_root)[:2]
    second.frames.folder.rename(own_root / "elsewhere")
    videos = read_videos(own_root, ["AVAD"], 1, "train", keep=frozenset([first.key]))
    assert [entry.key for entry in videos] == [first.key]


@pytest.mark.parametrize(
    ("what", "removed", "numbers"),
    [
        ("frames", 3, "37 frames, 40 maps, 40 fixMaps"),
        ("maps", 2, "40 frames, 38 maps, 40 fixMaps"),
        ("fixations", 1, "40 frames, 40 maps, 39 fixMaps"),
    ],
)
def test_fewer_files_than_listed_warns_once_with_numbers(
    own_root: Path, what: str, removed: int, numbers: str
) -> None:
    entry = train_videos(own_root)[0]
    for number in range(41 - removed, 41):
        getattr(entry, what).path(number).unlink()
    with pytest.warns(
        FrameCountWarning, match=f"{entry.video}: the list says 40 frames.*{numbers}"
    ) as record:
        again = train_videos(own_root)[0]
    assert len(record) == 1
    assert again.n_frames == 40 - removed


def test_list_may_name_fewer_frames_than_there_are(own_root: Path) -> None:
    path = list_path(own_root, find_corpus("AVAD"), "train", 1)
    path.write_text(path.read_text().replace(" 40 ", " 35 "))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {entry.n_frames for entry in train_videos(own_root)} == {35}


def test_gaps_and_missing_files_and_folders(own_root: Path) -> None:
    entry = train_videos(own_root)[0]
    kept = entry.frames.path(7).read_bytes()
    entry.frames.path(7).unlink()
    with pytest.raises(InputError, match=r"img_00007\.jpg is missing although img_00008\.jpg is there"):
        train_videos(own_root)
    entry.frames.path(7).write_bytes(kept)
    for number in range(1, 41):
        entry.maps.path(number).unlink()
    with pytest.raises(CorpusNotFoundError, match=r"eyeMap_00001\.jpg is missing"):
        train_videos(own_root)
    entry.frames.folder.rename(own_root / "elsewhere")
    with pytest.raises(CorpusNotFoundError, match=f"no folder of frames.*{entry.video}.*to obtain it"):
        train_videos(own_root)


def test_policies_for_missing_audio(own_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = train_videos(own_root)[1]
    assert entry.wave is not None
    entry.wave.unlink()
    with pytest.raises(
        CorpusNotFoundError, match=rf"1 of 4 videos.*{entry.video}\.wav.*missing_audio: silence"
    ):
        train_videos(own_root)
    with caplog.at_level(logging.WARNING):
        silent = {video.key: video.wave is None for video in train_videos(own_root, "silence")}
        left = [video.key for video in train_videos(own_root, "skip")]
    assert sum(silent.values()) == silent[entry.key] == 1
    assert left == [key for key in silent if key != entry.key]
    for text in ("1 of 4 videos have no audio file", "kept as silent", "left out"):
        assert text in caplog.text
    for path in (own_root / "video_audio" / "AVAD").rglob("*.wav"):
        path.unlink()
    with pytest.raises(InputError, match="none of 4 listed videos has audio"):
        train_videos(own_root, "skip")


def test_a_corpus_without_audio_keeps_every_video(own_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("video_frames", "annotations"):
        (own_root / kind / "AVAD").rename(own_root / kind / "Silent")
    for path in (own_root / "fold_lists").glob("AVAD_*"):
        path.rename(path.with_name(path.name.replace("AVAD", "Silent")))
    register(own_root, own_corpus("Silent", splits=(1, 2, 3), has_sound=False))
    for policy in ("error", "skip"):
        videos = read_videos(own_root, ["Silent"], 1, "train", missing_audio=policy)
        assert [video.wave for video in videos] == [None] * 4
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
