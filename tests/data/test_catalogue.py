"""The catalogue: names, list names, published counts."""

import pytest

from lightning_avsp.data.catalogue import CATALOGUE, find_corpus
from lightning_avsp.errors import InputError


def test_public_names() -> None:
    assert list(CATALOGUE) == ["AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe"]


def test_published_totals() -> None:
    assert sum(corpus.videos for corpus in CATALOGUE.values()) == 238
    assert sum(corpus.frames for corpus in CATALOGUE.values()) == 459_679


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("AVAD", 30, 15), ("Coutrot1", 40, 20), ("Coutrot2", 10, 5), ("DIEM", 64, 17), ("ETMD", 8, 4)],
)
@pytest.mark.parametrize("split", [1, 2, 3])
def test_counts(name: str, train: int, test: int, split: int) -> None:
    corpus = find_corpus(name)
    assert (corpus.published_count("train", split), corpus.published_count("test", split)) == (train, test)


def test_summe_counts_differ_by_split() -> None:
    summe = find_corpus("SumMe")
    assert [summe.published_count("train", split) for split in summe.splits] == [17, 17, 16]
    assert [summe.published_count("test", split) for split in summe.splits] == [8, 7, 8]


def test_list_names() -> None:
    assert find_corpus("Coutrot1").list_name("train", 2) == "Coutrot_db1_list_train_2_fps.txt"
    assert find_corpus("ETMD").list_name("test", 3) == "ETMD_av_list_test_3_fps.txt"


def test_diem_has_one_list_for_every_split() -> None:
    names = {find_corpus("DIEM").list_name("test", split) for split in (1, 2, 3)}
    assert names == {"DIEM_list_test_fps.txt"}


def test_found_by_folder_name_too() -> None:
    assert find_corpus("Coutrot_db2").name == "Coutrot2"


def test_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'Avad'.*did you mean 'AVAD'.*known: AVAD, Coutrot1"):
        find_corpus("Avad")


def test_unknown_split() -> None:
    with pytest.raises(InputError, match="AVAD has no split 4; its splits are 1, 2, 3"):
        find_corpus("AVAD").list_name("train", 4)
