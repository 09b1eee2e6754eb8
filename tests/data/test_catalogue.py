"""The catalogue: names, lists, published counts, and corpora of one's own beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import (
    CATALOGUE,
    find_corpus,
    known_corpora,
    own_corpus,
    own_path,
    read_own,
    register,
    splits_in_mix,
)
from lightning_avsp.errors import InputError

SIX = ["AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe"]


def test_public_names_and_published_totals() -> None:
    assert list(CATALOGUE) == [*SIX, "DHF1K", "Hollywood2", "UCF", "CrowdSAL"]
    names = [name.lower() for corpus in CATALOGUE.values() for name in {n.lower() for n in corpus.names}]
    assert len(names) == len(set(names))  # no name is taken twice
    assert find_corpus("Hollywood-2") is CATALOGUE["Hollywood2"]
    six = [CATALOGUE[name] for name in SIX]
    assert sum(corpus.videos for corpus in six) == 238
    assert sum(corpus.frames or 0 for corpus in six) == 459_679


@pytest.mark.parametrize(("split", "expected"), [(1, [1, 1]), (2, [2, 1]), (3, [3, 1])])
def test_a_corpus_divided_once_serves_every_split_of_a_mix(split: int, expected: list[int]) -> None:
    assert splits_in_mix([CATALOGUE["AVAD"], CATALOGUE["DHF1K"]], split) == expected


def test_own_corpora_are_found_under_their_root_only(tmp_path: Path) -> None:
    register(tmp_path, own_corpus("Lab", fps=25.0))
    assert find_corpus("Lab", tmp_path).own
    assert list(known_corpora(tmp_path)) == [*CATALOGUE, "Lab"]
    with pytest.raises(InputError, match="did you mean 'Lab'"):
        find_corpus("lab", tmp_path)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: find_corpus("Lab"), "no corpus is called 'Lab'"),
        (lambda: find_corpus("Avad"), r"'Avad'.*did you mean 'AVAD'.*known: AVAD, Coutrot1"),
        (lambda: find_corpus("AVAD").list_name("train", 4), "AVAD has no split 4; its splits are 1, 2, 3"),
        (
            lambda: splits_in_mix([CATALOGUE["DHF1K"], CATALOGUE["UCF"]], 2),
            "no corpus of this mix has split 2: DHF1K has 1; UCF has 1",
        ),
        (
            lambda: splits_in_mix([CATALOGUE["AVAD"], own_corpus("Lab", splits=(1, 2))], 3),
            "Lab has no split 3; its splits are 1, 2",
        ),
        (lambda: own_corpus("Lab").published_count("train", 1), "Lab: the number of its videos is not known"),
    ],
)
def test_what_no_corpus_has(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask()


LAB = own_corpus(
    "Lab", splits=(1, 2), counts=((2, 1), (2, 1)), videos=3, frames=30, fps=25.0, made={"sigma_px": 20}
)


def test_registered_corpora_are_read_back_replaced_and_kept_apart(tmp_path: Path) -> None:
    assert read_own(tmp_path) == {}
    path = register(tmp_path, LAB)
    assert path == own_path(tmp_path, "Lab") == tmp_path / "corpora" / "Lab.json"
    assert read_own(tmp_path) == {"Lab": LAB}
    assert (LAB.folder, LAB.published_count("test", 2), LAB.layout) == ("Lab", 1, "stavis")
    with pytest.raises(InputError, match="'lab' is already a name of 'Lab'"):
        register(tmp_path, own_corpus("Other", folder="lab"))
    grown = own_corpus("Lab", videos=4)
    register(tmp_path, grown)
    assert read_own(tmp_path) == {"Lab": grown}
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == ["Lab.json"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["AVAD", "avad", "Coutrot_db1", "hollywood-2"], "is a name of the published corpus"),
        (["", "../x", "a b", "x/y", ".hidden"], "cannot name a corpus"),
    ],
)
def test_names_that_own_corpora_cannot_have(names: list[str], message: str) -> None:
    for name in names:
        with pytest.raises(InputError, match=message):
            own_corpus(name)


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


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("AVAD", (30,) * 3, (15,) * 3),
        ("Coutrot1", (40,) * 3, (20,) * 3),
        ("Coutrot2", (10,) * 3, (5,) * 3),
        ("DIEM", (64,) * 3, (17,) * 3),
        ("ETMD", (8,) * 3, (4,) * 3),
        ("SumMe", (17, 17, 16), (8, 7, 8)),
        ("DHF1K", (600,), (100,)),
        ("Hollywood2", (823,), (884,)),
        ("UCF", (103,), (47,)),
        ("CrowdSAL", (1200,), (800,)),
    ],
)
def test_counts(name: str, train: tuple[int, ...], test: tuple[int, ...]) -> None:
    corpus = find_corpus(name)
    assert corpus.splits == tuple(range(1, len(train) + 1))
    assert tuple(corpus.published_count("train", split) for split in corpus.splits) == train
    assert tuple(corpus.published_count("test", split) for split in corpus.splits) == test
    assert len(train) > 1 or corpus.videos == train[0] + test[0]


def test_list_names() -> None:
    assert find_corpus("Coutrot1").list_name("train", 2) == "Coutrot_db1_list_train_2_fps.txt"
    assert find_corpus("ETMD").list_name("test", 3) == "ETMD_av_list_test_3_fps.txt"
    names = {find_corpus("DIEM").list_name("test", split) for split in (1, 2, 3)}
    assert names == {"DIEM_list_test_fps.txt"}
