"""What a table of a paper costs in GPU hours, from measured speeds and the sizes of the sets.

    python -m lightning_avsp.profiling.cost --paper DiffSal --samples-per-s 2 --clips-per-s 10 --cards 4 --seeds 3

card hours = rows x corpora x splits x seeds x (training clips x epochs / samples per second
+ test frames / predicted clips per second) / 3600, and the pretraining once for each seed. Speeds are those of one
card, from ``avsp bench train --inference``; nothing here knows how fast anything is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.clips import training_count
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy


@dataclass(frozen=True)
class Recipe:
    """How long a paper trains."""

    epochs: int
    """Epochs on the corpus of a row."""
    pretraining_epochs: int = 0
    """Epochs on DHF1K before, without sound; 0 for none."""
    policy: ClipPolicy = field(default_factory=ClipPolicy)
    """How training clips are cut: that says how many an epoch has."""
    note: str = ""
    """What the paper does not say."""


@dataclass(frozen=True)
class PaperTable:
    """A table whose rows are trained."""

    paper: str
    table: str
    rows: int
    """Rows that are the paper's own models."""
    corpora: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """Hours of one card."""

    runs: int
    """Trainings, without pretraining."""
    training_h: float
    test_h: float
    pretraining_h: float

    @property
    def total_h(self) -> float:
        """All of it."""
        return self.training_h + self.test_h + self.pretraining_h


_LAST = ClipPolicy(frames=32, target="last", draw="random")  # as experiments/_base/avrsp_clip.yaml
RECIPES = {
    "DiffSal": Recipe(5, 5, note="epochs of the pretraining are not printed: taken as those of training"),
    "TAVDiff": Recipe(80, 80, note="'within 80 epochs', the most; epochs of the pretraining taken as these"),
    "MUBiC": Recipe(12),
    "AVRSP": Recipe(100, 80, _LAST, note="clips of an epoch are not printed: as many as fit into the videos"),
}
"""By paper; what is printed and what is assumed is in the model cards."""

_SIX = ("DIEM", "Coutrot1", "Coutrot2", "AVAD", "ETMD", "SumMe")
_TWO = ("AVAD", "ETMD")
TABLES = (
    PaperTable("DiffSal", "1", 4, _TWO),
    PaperTable("DiffSal", "2", 3, _TWO),
    PaperTable("DiffSal", "3", 4, _TWO),
    PaperTable("DiffSal", "4", 2, _TWO),
    PaperTable("DiffSal", "5", 3, _TWO),
    PaperTable("DiffSal", "6", 1, _SIX),
    PaperTable("DiffSal", "7", 3, ("AVAD", "ETMD", "Coutrot1")),
    PaperTable("DiffSal", "fig6", 4, _TWO),
    PaperTable("TAVDiff", "I", 4, ("DIEM", "ETMD", "AVAD")),
    PaperTable("TAVDiff", "II", 4, ("Coutrot1", "Coutrot2", "SumMe")),
    PaperTable("TAVDiff", "III", 3, _TWO),
    PaperTable("TAVDiff", "IV", 2, _TWO),
    PaperTable("TAVDiff", "V", 4, _TWO),
    PaperTable("MUBiC", "4.2", 4, ("AVAD",)),
    PaperTable("MUBiC", "4.3", 6, ("AVAD",)),
    PaperTable("AVRSP", "I", 2, ("DIEM", "ETMD", "AVAD")),
    PaperTable("AVRSP", "II", 2, ("Coutrot1", "Coutrot2", "SumMe")),
    PaperTable("AVRSP", "III", 8, ("DIEM", "AVAD")),
    PaperTable("AVRSP", "IV", 10, ("DIEM",)),
    PaperTable("AVRSP", "V", 7, ("DIEM", "AVAD")),
)
"""Tables whose rows are trainings, every row from its own start. DiffSal's table 8 is left out (no frame counts of
Hollywood-2 and UCF are published), and so are tables that only test a trained model with other numbers of steps."""


def training_clips(corpus: str, policy: ClipPolicy, split: int = 1) -> int:
    """Clips of an epoch, with videos of the corpus' mean length.

    Raises:
        InputError: If the corpus' frames were never counted.
    """
    entry = find_corpus(corpus)
    return entry.published_count("train", split) * training_count(round(_mean_frames(corpus)), policy)


def scored_frames(corpus: str, split: int = 1) -> float:
    """Frames of the test videos, with videos of the corpus' mean length."""
    return find_corpus(corpus).published_count("test", split) * _mean_frames(corpus)


def _mean_frames(corpus: str) -> float:
    entry = find_corpus(corpus)
    if entry.frames is None:
        raise InputError(f"nobody published how many frames {corpus} has; count your copy: avsp data check")
    return entry.frames / entry.videos


def own_splits(corpus: str) -> tuple[int, ...]:
    """Splits that differ: one where a single list serves every split."""
    entry = find_corpus(corpus)
    return entry.splits if "{split}" in entry.list_pattern else entry.splits[:1]


def card_hours(table: PaperTable, samples_per_s: float, clips_per_s: float, seeds: int = 1) -> Cost:
    """Hours that one card would work on a table.

    Args:
        table: Rows and corpora.
        samples_per_s: Training clips per second of one card.
        clips_per_s: Predicted clips per second of one card, at the paper's number of denoising steps.
        seeds: Runs of every row on every split.

    Raises:
        InputError: If a speed or the number of seeds is not above 0.
    """
    if min(samples_per_s, clips_per_s, seeds) <= 0:
        raise InputError(
            f"speeds and seeds must be above 0, got samples_per_s={samples_per_s}, clips_per_s={clips_per_s}, "
            f"seeds={seeds}"
        )
    recipe = RECIPES[table.paper]
    pairs = [(corpus, split) for corpus in table.corpora for split in own_splits(corpus)]
    runs = table.rows * seeds
    clips = sum(training_clips(corpus, recipe.policy, split) for corpus, split in pairs)
    frames = sum(scored_frames(corpus, split) for corpus, split in pairs)
    before = recipe.pretraining_epochs and training_clips("DHF1K", recipe.policy) * recipe.pretraining_epochs
    return Cost(
        runs=runs * len(pairs),
        training_h=runs * clips * recipe.epochs / samples_per_s / 3600,
        test_h=runs * frames / clips_per_s / 3600,
        pretraining_h=seeds * before / samples_per_s / 3600,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the tables of a paper cost at given speeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", required=True, choices=list(RECIPES))
    parser.add_argument(
        "--samples-per-s", type=float, required=True, help="training clips per second, one card"
    )
    parser.add_argument(
        "--clips-per-s", type=float, required=True, help="predicted clips per second, one card"
    )
    parser.add_argument("--cards", type=int, default=4, help="cards that share the work without loss")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args(arguments)
    recipe = RECIPES[options.paper]
    print(
        f"{options.paper}: {options.samples_per_s:g} training and {options.clips_per_s:g} predicted clips/s a card "
        f"(given, not measured by this command), {options.seeds} seed(s), {options.cards} cards; {recipe.epochs} epochs"
        f"{'; ' + recipe.note if recipe.note else ''}"
    )
    print(f"{'table':<8} {'runs':>5} {'training':>9} {'test':>8} {'DHF1K':>8} {'card h':>8} {'days':>7}")
    for table in (table for table in TABLES if table.paper == options.paper):
        cost = card_hours(table, options.samples_per_s, options.clips_per_s, options.seeds)
        print(
            f"{table.table:<8} {cost.runs:>5} {cost.training_h:>9.1f} {cost.test_h:>8.1f} {cost.pretraining_h:>8.1f} "
            f"{cost.total_h:>8.1f} {cost.total_h / options.cards / 24:>7.1f}"
        )


if __name__ == "__main__":
    main()
