"""Which videos train, validate and test."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.partition import describe_choice, partition_videos
from lightning_avsp.errors import InputError

TRAIN = [("AVAD", f"V{k}") for k in range(30)] + [("ETMD", f"V{k}") for k in range(8)]
TEST = [("AVAD", f"V{k}") for k in range(30, 45)]


@given(
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4),
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 100),
)
def test_parts_share_nothing_and_lose_nothing(sizes: list[int], share: float, seed: int) -> None:
    train = [(f"C{c}", f"v{k}") for c, size in enumerate(sizes) for k in range(size)]
    parts = partition_videos(train, TEST, share=share, seed=seed)
    assert not set(parts.train) & set(parts.validation)
    assert sorted((*parts.train, *parts.validation)) == sorted(train)
    assert parts.test == tuple(TEST)
    for c, size in enumerate(sizes):  # every corpus is represented on both sides
        held_out = sum(key[0] == f"C{c}" for key in parts.validation)
        assert held_out == max(1, round(share * size))
        assert held_out < size


def test_share_is_seeded_and_does_not_depend_on_the_order_of_the_list() -> None:
    parts = partition_videos(TRAIN, TEST, seed=3)
    assert len(parts.validation) == 3 + 1
    assert set(partition_videos(TRAIN[::-1], TEST, seed=3).validation) == set(parts.validation)
    assert any(
        set(partition_videos(TRAIN, TEST, seed=s).validation) != set(parts.validation) for s in range(4)
    )


def test_adding_a_corpus_leaves_the_others_validation_alone() -> None:
    alone = partition_videos(TRAIN[:30], TEST, seed=1).validation
    mixed = partition_videos(TRAIN, TEST, seed=1).validation
    assert alone == tuple(key for key in mixed if key[0] == "AVAD")


def test_choosing_on_the_test_list_is_possible_when_said() -> None:
    parts = partition_videos(TRAIN, TEST, selection="test")
    assert parts.train == tuple(TRAIN)
    assert parts.validation == parts.test == tuple(TEST)


@pytest.mark.parametrize(
    ("selection", "checkpoint", "label"),
    [
        ("validation", "run/checkpoints/best.ckpt", "chosen on validation"),
        (
            "validation",
            "run/checkpoints/last.ckpt",
            "taken last, of a training without the validation videos",
        ),
        ("test", "run/checkpoints/best.ckpt", "chosen on the TEST list"),
        ("test", "run/checkpoints/last.ckpt", "taken last, .* watched the TEST list"),
        ("none", "run/checkpoints/last.ckpt", "taken last, .* whole published training list"),
        ("validation", None, "taken as published"),
    ],
)
def test_results_name_the_choice_of_the_tested_checkpoint(
    selection: str, checkpoint: str | None, label: str
) -> None:
    assert re.match(label, describe_choice(selection, checkpoint))  # type: ignore[arg-type]


@pytest.mark.parametrize("selection", ["validation", "test"])
def test_video_in_both_lists_is_refused(selection: str) -> None:
    with pytest.raises(InputError, match=r"1 videos are both in a training and in a test list.*AVAD/V3"):
        partition_videos(TRAIN, [*TEST, ("AVAD", "V3")], selection=selection)  # type: ignore[arg-type]


def test_one_name_in_two_corpora_is_no_overlap() -> None:
    parts = partition_videos([("Coutrot1", "clip1"), ("Coutrot1", "clip2")], [("Coutrot2", "clip1")])
    assert parts.test == (("Coutrot2", "clip1"),)


def test_too_few_to_hold_one_out() -> None:
    with pytest.raises(InputError, match="lists 1 training videos"):
        partition_videos(TRAIN[:1], TEST)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_impossible_share(share: float) -> None:
    with pytest.raises(InputError, match=r"validation\.share"):
        partition_videos(TRAIN, TEST, share=share)


@pytest.mark.parametrize("part", ["training", "test"])
def test_two_videos_of_one_key_are_refused(part: str) -> None:
    lists = {"training": TRAIN, "test": TEST}
    lists[part] = [*lists[part], lists[part][0]]
    with pytest.raises(InputError, match=rf"1 videos are listed twice for {part} \(AVAD/V"):
        partition_videos(lists["training"], lists["test"])
