"""The catalogue: names, names of lists, published counts."""

from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import (
    CATALOGUE,
    find_corpus,
    known_corpora,
    own_corpus,
    register,
    splits_in_mix,
)
from lightning_avsp.errors import InputError

SIX = ["AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe"]


def test_public_names() -> None:
    assert list(CATALOGUE) == [*SIX, "DHF1K", "Hollywood2", "UCF", "CrowdSAL"]


def test_published_totals_of_the_audio_visual_six() -> None:
    six = [CATALOGUE[name] for name in SIX]
    assert sum(corpus.videos for corpus in six) == 238
    assert sum(corpus.frames or 0 for corpus in six) == 459_679


def test_no_name_is_taken_twice() -> None:
    names = [name.lower() for corpus in CATALOGUE.values() for name in {n.lower() for n in corpus.names}]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "corpus"), [("Hollywood-2", "Hollywood2"), ("UCF-Sports", "UCF"), ("Coutrot_db2", "Coutrot2")]
)
def test_found_by_other_names(name: str, corpus: str) -> None:
    assert find_corpus(name).name == corpus


@pytest.mark.parametrize(("split", "expected"), [(1, [1, 1]), (2, [2, 1]), (3, [3, 1])])
def test_a_corpus_divided_once_serves_every_split_of_a_mix(split: int, expected: list[int]) -> None:
    assert splits_in_mix([CATALOGUE["AVAD"], CATALOGUE["DHF1K"]], split) == expected


def test_alone_it_has_split_1_only() -> None:
    with pytest.raises(InputError, match="no corpus of this mix has split 2: DHF1K has 1; UCF has 1"):
        splits_in_mix([CATALOGUE["DHF1K"], CATALOGUE["UCF"]], 2)


def test_a_split_that_one_of_several_lacks() -> None:
    own = own_corpus("Lab", splits=(1, 2))
    with pytest.raises(InputError, match="Lab has no split 3; its splits are 1, 2"):
        splits_in_mix([CATALOGUE["AVAD"], own], 3)


def test_own_corpora_are_found_under_their_root_only(tmp_path: Path) -> None:
    register(tmp_path, own_corpus("Lab", fps=25.0))
    assert find_corpus("Lab", tmp_path).own
    assert list(known_corpora(tmp_path)) == [*CATALOGUE, "Lab"]
    with pytest.raises(InputError, match="no corpus is called 'Lab'"):
        find_corpus("Lab")
    with pytest.raises(InputError, match="did you mean 'Lab'"):
        find_corpus("lab", tmp_path)


def test_counts_that_nobody_published() -> None:
    with pytest.raises(InputError, match="Lab: the number of its videos is not known"):
        own_corpus("Lab").published_count("train", 1)


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


def test_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'Avad'.*did you mean 'AVAD'.*known: AVAD, Coutrot1"):
        find_corpus("Avad")


def test_unknown_split() -> None:
    with pytest.raises(InputError, match="AVAD has no split 4; its splits are 1, 2, 3"):
        find_corpus("AVAD").list_name("train", 4)
