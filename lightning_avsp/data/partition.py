"""Partition of videos into training, validation and test, by their names alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.data.published import CATALOGUE
from lightning_avsp.errors import InputError

Selection = Literal["validation", "test", "none"]
"""Videos on which checkpoints are chosen."""

SELECTION_LABELS: dict[Selection, str] = {
    "validation": "chosen on validation videos held out of the training list",
    "test": "chosen on the TEST list: scores are optimistic and not comparable with honest ones",
    "none": "taken last, of a fixed schedule on the whole published training list",
}
"""Descriptions of the choice of a training's best checkpoint, in results."""
LAST_LABELS: dict[Selection, str] = {
    "validation": "taken last, of a training without the validation videos",
    "test": "taken last, of a training on the whole list that watched the TEST list",
    "none": SELECTION_LABELS["none"],
}
"""The same of its last one."""
GIVEN_LABEL = "taken as published, chosen by their authors"


@dataclass(frozen=True)
class Partition:
    """Videos of each part, by (corpus, video)."""

    train: tuple[VideoKey, ...]
    validation: tuple[VideoKey, ...]
    test: tuple[VideoKey, ...]


def describe_choice(selection: Selection, checkpoint: str | Path | None) -> str:
    """Describe the choice of a tested checkpoint, by its path; None for one that no run of ours wrote."""
    if checkpoint is None:
        return GIVEN_LABEL
    # callbacks name the last one so, and write it whatever its score
    labels = LAST_LABELS if Path(checkpoint).name.startswith("last") else SELECTION_LABELS
    return labels[selection]


def partition_videos(
    train: Sequence[VideoKey],
    test: Sequence[VideoKey],
    *,
    selection: Selection = "validation",
    share: float = 0.1,
    seed: int = 0,
) -> Partition:
    """Partition listed videos.

    Args:
        train: Videos of the training lists.
        test: Videos of the test lists.
        selection: ``validation``: of each corpus, a seeded share of its training videos (at least one) is
            taken out of training. ``test``: all training videos train and the test list validates, as in the
            field's released code; to be labelled in every result (:data:`SELECTION_LABELS`). ``none``: all training
            videos train, and nothing is validated.
        share: Share of the training videos, above 0 and below 1.
        seed: Seed of that choice, the same for the same names in any order.

    Raises:
        InputError: If the lists share a video or name one twice, or a corpus has too few videos to hold one out.
    """
    refuse_shared(train, test)
    if selection == "none":
        return Partition(train=tuple(train), validation=(), test=tuple(test))
    if selection == "test":
        # as the field's released code does; every result carries its label
        return Partition(train=tuple(train), validation=tuple(test), test=tuple(test))
    if not 0 < share < 1:
        raise InputError(f"validation.share must lie between 0 and 1, got {share}")
    held_out: set[VideoKey] = set()
    # corpus by corpus, or a mix could hold out videos of the largest alone
    for corpus in dict.fromkeys(corpus for corpus, _ in train):
        held_out |= _hold_out([key for key in train if key[0] == corpus], share, seed)
    return Partition(
        train=tuple(key for key in train if key not in held_out),
        validation=tuple(key for key in train if key in held_out),
        test=tuple(test),
    )


def refuse_shared(train: Sequence[VideoKey], test: Sequence[VideoKey]) -> None:
    """Refuse lists of a split of which a model could not be tested honestly.

    Raises:
        InputError: If the lists share a video, or one of them names a video twice, which then is two videos of one
            name or would weigh double.
    """
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(
            f"{len(both)} videos are both in a training and in a test list of this split ({_names(both)}); a model "
            "would be tested on what it was trained on: replace the fold lists by the published ones"
        )
    for keys, part in ((train, "training"), (test, "test")):
        twice = sorted(key for key, count in Counter(keys).items() if count > 1)
        if twice:
            raise InputError(
                f"{len(twice)} videos are listed twice for {part} ({_names(twice)}); videos are told apart by corpus "
                "and name: rename one of them, or remove the second line"
            )


def _names(keys: Sequence[VideoKey]) -> str:
    return ", ".join("/".join(key) for key in keys[:5]) + (", ..." if len(keys) > 5 else "")


def _hold_out(keys: Sequence[VideoKey], share: float, seed: int) -> set[VideoKey]:
    """Choose videos of a corpus; parts of one film are held out together, until the share is reached."""
    corpus = keys[0][0]
    # one at least: a small corpus too needs a checkpoint to be chosen
    count = max(1, round(share * len(keys)))
    films: dict[str, list[VideoKey]] = {}
    for key in sorted(keys):  # the order of a list must not decide who is held out
        films.setdefault(film_of(key), []).append(key)
    if count >= len(keys) or len(films) < 2:
        raise InputError(
            f"{corpus} lists {len(keys)} training videos of {len(films)} films; holding out {count} for validation "
            "leaves none to train on. Add videos, or lower validation.share"
        )
    # The corpus' name is part of the seed: adding a corpus to a mix leaves the others' validation videos as
    # they are.
    generator = np.random.default_rng([seed, crc32(corpus.encode())])
    ordered = list(films.values())
    held_out: set[VideoKey] = set()
    for index in generator.permutation(len(ordered)):
        if len(held_out) < count:
            # all parts of a film, even beyond the share: the other parts show nearly the same
            held_out |= set(ordered[index])
    return held_out


def film_of(key: VideoKey) -> str:
    """Name the film that a video of a known corpus was cut from."""
    corpus = CATALOGUE.get(key[0])
    return key[1] if corpus is None else corpus.film(key[1])


def shared_films(train: Iterable[VideoKey], test: Iterable[VideoKey]) -> list[str]:
    """Name the films of which both parts have videos, as ``CORPUS/FILM``."""
    films = [{f"{key[0]}/{film_of(key)}" for key in part} for part in (train, test)]
    return sorted(films[0] & films[1])
