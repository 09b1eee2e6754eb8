"""Corpora of one's own: their files, refused names, and reading them like published ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import own_corpus, own_path, read_own, register
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.sources import VideoFrames
from lightning_avsp.errors import InputError
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

LAB = own_corpus(
    "Lab", splits=(1, 2), counts=((2, 1), (2, 1)), videos=3, frames=30, fps=25.0, made={"sigma_px": 20}
)


def test_registered_corpora_are_read_back(tmp_path: Path) -> None:
    assert read_own(tmp_path) == {}
    path = register(tmp_path, LAB)
    assert path == own_path(tmp_path, "Lab") == tmp_path / "corpora" / "Lab.json"
    assert read_own(tmp_path) == {"Lab": LAB}
    corpus = LAB
    assert (corpus.folder, corpus.published_count("test", 2), corpus.layout) == ("Lab", 1, "stavis")


def test_registering_again_replaces(tmp_path: Path) -> None:
    register(tmp_path, LAB)
    grown = own_corpus("Lab", videos=4)
    register(tmp_path, grown)
    assert read_own(tmp_path) == {"Lab": grown}
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == ["Lab.json"]


@pytest.mark.parametrize("name", ["AVAD", "avad", "Coutrot_db1", "hollywood-2"])
def test_names_of_published_corpora_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is a name of the published corpus"):
        own_corpus(name)


@pytest.mark.parametrize("name", ["", "../x", "a b", "x/y", ".hidden"])
def test_names_that_cannot_name_a_folder(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a corpus"):
        own_corpus(name)


def test_two_corpora_cannot_share_a_folder(tmp_path: Path) -> None:
    register(tmp_path, LAB)
    with pytest.raises(InputError, match="'lab' is already a name of 'Lab'"):
        register(tmp_path, own_corpus("Other", folder="lab"))
    assert list(read_own(tmp_path)) == ["Lab"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("[]", "does not describe a corpus"),
        ('{"version": 9, "name": "Lab"}', "has version 9"),
        ('{"version": 1, "name": "Lab", "colour": 1}', r"unknown fields .*\['colour'\]"),
        ('{"version": 1}', "has no name"),
        ('{"version": 1, "name": "Bal"}', "describes 'Bal'"),
        ('{"version": 1, "name": "Lab", "splits": [0]}', "splits must be"),
        ('{"version": 1, "name": "Lab", "counts": [[1]]}', "does not describe a corpus"),
        ('{"version": 1, "name": "Lab", "counts": [[1, 1], [1, 1]]}', "2 counts for 1 splits"),
        ('{"version": 1, "name": "Lab", "splits": [Infinity]}', "does not describe a corpus"),
        ('{"version": 1, "name": "Lab", "folder": "../x"}', "cannot name a corpus"),
        ('{"version": 1, "name": "Lab", "videos": "3"}', r"wrong type: \['videos'\]"),
    ],
)
def test_broken_files_name_themselves(tmp_path: Path, text: str, message: str) -> None:
    path = own_path(tmp_path, "Lab")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_own(tmp_path)


@pytest.fixture
def lab_root(tmp_path: Path) -> Path:
    """The corpus Lab: three synthetic videos, renamed, the third as a film instead of frames and wav."""
    synthesise_corpus(tmp_path, "SumMe", 3, spec=SyntheticSpec(size=(32, 64), seconds=0.8), films=True)
    names = [json.loads((tmp_path / "synthetic.json").read_text())["corpora"]["SumMe"]["videos"]][0]
    for kind in ("video_frames", "video_audio", "annotations"):
        (tmp_path / kind / "SumMe").rename(tmp_path / kind / "Lab")
    last = list(names)[2]
    shutil.rmtree(tmp_path / "video_frames" / "Lab" / last)
    shutil.rmtree(tmp_path / "video_audio" / "Lab" / last)
    (tmp_path / "videos").mkdir()
    (tmp_path / "films" / "SumMe").rename(tmp_path / "videos" / "Lab")
    lists = {"train": list(names)[:2], "test": [last]}
    for part, chosen in lists.items():
        path = tmp_path / "fold_lists" / f"Lab_list_{part}_1_fps.txt"
        path.write_text("".join(f"{name} 10 12.500000000000002\n" for name in chosen))
    register(tmp_path, own_corpus("Lab"))
    return tmp_path


def test_an_own_corpus_is_read_like_a_published_one(lab_root: Path) -> None:
    (test,) = read_videos(lab_root, ["Lab"], 1, "test")
    train = read_videos(lab_root, ["Lab"], 1, "train")
    assert [entry.corpus for entry in (*train, test)] == ["Lab"] * 3
    assert [entry.fps for entry in train] == pytest.approx([12.5, 12.5])
    assert isinstance(test.frames, VideoFrames)
    assert test.wave == test.frames.path
    assert (test.n_frames, test.size) == (10, (32, 64))
    assert test.frames.read([10], (32, 64))[0].shape == (32, 64, 3)
