"""Fold lists of the shape of the published ones, faults included: what catalogue and readers make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import CATALOGUE, Corpus
from lightning_avsp.data.corpora import corpus_listing, listed_keys
from lightning_avsp.data.partition import partition_videos

Split = Mapping[str, Sequence[str]]

AVAD_TWICE = ("V3_Speech3", "V39_Guitar4", "V26_Piano2")
AVAD_NEVER = ("V28_Dog1", "V33_Harp", "V42_Violin2")
SUMME_NEVER = ("Scuba", "St_Maarten_Landing")


def clean(names: Sequence[str], tests: int) -> list[Split]:
    """Three splits in which every video is tested once."""
    parts = [names[k * tests : (k + 1) * tests] for k in range(3)]
    return [{"test": part, "train": [name for name in names if name not in part]} for part in parts]


def avad() -> list[Split]:
    once = [f"V{k}_Cat" for k in range(100, 139)]
    names = [*once, *AVAD_TWICE, *AVAD_NEVER]
    tests = [
        [*once[:13], "V3_Speech3", "V39_Guitar4"],
        [*once[13:25], "V3_Speech3", "V39_Guitar4", "V26_Piano2"],
        [*once[25:39], "V26_Piano2"],
    ]
    return [{"test": test, "train": [name for name in names if name not in test]} for test in tests]


def summe() -> list[Split]:
    tested = [f"Film_{k}" for k in range(23)]
    names = [*tested, *SUMME_NEVER]
    tests = [tested[:8], tested[8:15], tested[15:]]
    omitted = [(), ("St_Maarten_Landing",), ("Scuba",)]
    return [
        {"test": test, "train": [name for name in names if name not in test and name not in out]}
        for test, out in zip(tests, omitted, strict=True)
    ]


def diem() -> list[Split]:
    names = [f"film_{k}_of_2010_{1280 - k}x720" for k in range(81)]
    return [{"train": names[:64], "test": names[64:]}]


SHAPES = {
    "AVAD": avad,
    "Coutrot1": lambda: clean([f"clip{k}" for k in range(1, 61)], 20),
    "Coutrot2": lambda: clean([f"clip{k}" for k in range(1, 16)], 5),
    "DIEM": diem,
    "ETMD": lambda: clean(
        [f"{film}_{k}_color" for film in ("CHI", "CRA", "DEP", "FNE", "GLA", "LOR") for k in (1, 2)], 4
    ),
    "SumMe": summe,
}
BLANK_LINES = {
    "AVAD_list_train_1_fps.txt": 2,
    "AVAD_list_train_2_fps.txt": 1,
    "ETMD_av_list_test_2_fps.txt": 1,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the lists of all six corpora; frames add up to the published number of each."""
    root = tmp_path_factory.mktemp("published")
    (root / "fold_lists").mkdir()
    for name, shape in SHAPES.items():
        corpus, splits = CATALOGUE[name], shape()
        videos = sorted({video for split in splits for part in split.values() for video in part})
        share, rest = divmod(corpus.frames or 0, len(videos))
        frames = {video: share + (index < rest) for index, video in enumerate(videos)}
        for number, split in enumerate(splits, start=1):
            for part in ("train", "test"):
                path = root / "fold_lists" / corpus.list_name(part, number)
                lines = [f"{video} {frames[video]} 29.970030" for video in split[part]]
                for _ in range(BLANK_LINES.get(path.name, 0)):
                    lines.insert(len(lines) // 2, "")
                path.write_text("\n".join(lines) + "\n")
    return root


def listed(root: Path, corpus: Corpus, part: str, split: int) -> dict[str, int]:
    return {video.name: video.frames for video in corpus_listing(root, corpus, part, split)}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHAPES)
def test_counts_are_the_published_ones(published: Path, name: str) -> None:
    corpus = CATALOGUE[name]
    union: dict[str, int] = {}
    for split in corpus.splits:
        train, test = listed(published, corpus, "train", split), listed(published, corpus, "test", split)
        assert len(train) == corpus.published_count("train", split)
        assert len(test) == corpus.published_count("test", split)
        union |= train | test
    assert len(union) == corpus.videos
    assert sum(union.values()) == corpus.frames


@pytest.mark.parametrize("split", [1, 2, 3])
def test_no_split_of_the_whole_tests_what_it_trains(published: Path, split: int) -> None:
    train, test = (listed_keys(published, list(SHAPES), split, part) for part in ("train", "test"))
    counts = [CATALOGUE[name].counts[split - 1] for name in SHAPES]
    assert (len(train), len(test)) == tuple(map(sum, zip(*counts, strict=True)))
    parts = partition_videos(train, test, share=0.1)
    assert not set(parts.test) & (set(parts.train) | set(parts.validation))


def test_avad_tests_overlap_and_leave_three_out(published: Path) -> None:
    tested = Counter(
        video for split in (1, 2, 3) for video in listed(published, CATALOGUE["AVAD"], "test", split)
    )
    assert {video for video, times in tested.items() if times == 2} == set(AVAD_TWICE)
    assert len(tested) == 42
    assert not set(AVAD_NEVER) & set(tested)


def test_summe_omits_one_video_of_splits_2_and_3(published: Path) -> None:
    corpus = CATALOGUE["SumMe"]
    whole = [
        {*listed(published, corpus, "train", split), *listed(published, corpus, "test", split)}
        for split in (1, 2, 3)
    ]
    assert [len(names) for names in whole] == [25, 24, 24]
    assert (whole[0] - whole[1], whole[0] - whole[2]) == ({"St_Maarten_Landing"}, {"Scuba"})


def test_one_clip1_in_each_coutrot(published: Path) -> None:
    keys = [
        key for part in ("train", "test") for key in listed_keys(published, ["Coutrot1", "Coutrot2"], 1, part)
    ]
    assert {key for key in keys if key[1] == "clip1"} == {("Coutrot1", "clip1"), ("Coutrot2", "clip1")}
    assert len(set(keys)) == 75
