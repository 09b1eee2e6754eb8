"""Names, conditions and fold lists of a synthetic corpus, in the style of the corpus it stands in for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.synthetic.spec import CONDITIONS, Condition, SyntheticSpec

STAVIS_CORPORA = ("AVAD", "Coutrot_db1", "Coutrot_db2", "DIEM", "ETMD_av", "SumMe")
"""The six corpora of the STAViS package, which have fold lists."""
SOUNDLESS_CORPORA = ("DHF1K", "Hollywood2", "UCF")
"""Corpora without sound: in a stand-in for one nobody hears anything either, and observers follow the fastest."""
SYNTHETIC_CORPORA = (*STAVIS_CORPORA, *SOUNDLESS_CORPORA, "CrowdSAL")
"""Corpora that a synthetic one can stand in for."""
SHORT_SHOT_FRAMES = 12
"""Frames of every third video of Hollywood2, whose shots are often shorter than a clip."""
SPLITS = 3
"""Splits of a corpus; each video is tested in exactly one of them."""
MINIMUM_VIDEOS = SPLITS
"""Fewest videos of a corpus: below that a test list would be empty."""

_FILMS = ("CHI", "CRA", "DEP", "FNE", "GLA", "LOR")
_ADJECTIVES = {"sound": "Sounding", "music": "Musical", "silent": "Silent"}


def check_synthesis(corpus: str, videos: int) -> None:
    """Refuse a corpus that cannot be made.

    Raises:
        InputError: If the corpus is unknown or has too few videos.
    """
    if corpus not in SYNTHETIC_CORPORA:
        raise InputError(
            f"corpus {corpus!r} cannot be synthesised; choose one of {', '.join(SYNTHETIC_CORPORA)}"
        )
    if videos < MINIMUM_VIDEOS:
        raise InputError(
            f"{videos} videos cannot fill {SPLITS} test lists; ask for at least {MINIMUM_VIDEOS}"
        )


def assign_conditions(spec: SyntheticSpec, videos: int) -> list[Condition]:
    """Condition of each video, in the shares of the spec.

    Each video takes the condition furthest behind its share, so that a growing corpus keeps its videos.
    """
    counts = [0] * len(CONDITIONS)
    conditions: list[Condition] = []
    for k in range(1, videos + 1):
        behind = [share * k - count for share, count in zip(spec.shares, counts, strict=True)]
        chosen = max(range(len(CONDITIONS)), key=lambda c: (round(behind[c], 9), -c))
        counts[chosen] += 1
        conditions.append(CONDITIONS[chosen])
    return conditions


def video_name(corpus: str, index: int, condition: Condition, size: tuple[int, int]) -> str:
    """Name of the ``index``-th video (from 0), e.g. ``V1_Sound`` in AVAD."""
    number = index + 1
    if corpus == "AVAD":
        return f"V{number}_{condition.capitalize()}"
    if corpus == "DIEM":
        return f"{_ADJECTIVES[condition].lower()}_discs_{number}_{size[1]}x{size[0]}"
    if corpus == "ETMD_av":
        return f"{_FILMS[index % len(_FILMS)]}_{index // len(_FILMS) + 1}_color"
    if corpus == "SumMe":
        return f"{_ADJECTIVES[condition]}_Discs_{number}"
    if corpus == "DHF1K":
        return f"{place_in_part(index) + (1 if part_of(index) == 'train' else 601):04d}"
    if corpus == "Hollywood2":
        return f"actionclip{part_of(index)}{index // 2 + 1:05d}_{index % 2 + 1}"
    if corpus == "UCF":
        return f"{_ADJECTIVES[condition]}-Discs-{number:03d}"
    if corpus == "CrowdSAL":
        return f"{number:04d}"
    return f"clip{number}"


def part_of(index: int) -> Literal["train", "test"]:
    """Part of the ``index``-th video where there are no fold lists: every third is tested, also when more follow."""
    return "test" if index % SPLITS == SPLITS - 1 else "train"


def place_in_part(index: int) -> int:
    """Count the videos before the ``index``-th that are in its part."""
    tests = (index + 1) // SPLITS  # among videos 0 to index - 1 or, for a test video, up to itself
    return tests - 1 if part_of(index) == "test" else index - tests


def video_spec(spec: SyntheticSpec, corpus: str, index: int) -> SyntheticSpec:
    """Spec of one video: that of its corpus, or shorter for some shots of Hollywood2."""
    if corpus == "Hollywood2" and index % 3 == 1 and spec.frames > SHORT_SHOT_FRAMES:
        return replace(spec, seconds=SHORT_SHOT_FRAMES / spec.fps)
    return spec


def seed_of(seed: int, corpus: str, index: int) -> np.random.SeedSequence:
    """Source of all randomness of one video: the same whatever else is generated, and by whom."""
    return np.random.SeedSequence([seed, crc32(corpus.encode()), index])


def partition(conditions: list[Condition], seed: int, corpus: str) -> list[int]:
    """Split in which each video is tested, 0 to 2: a partition with the same conditions in every part."""
    rng = np.random.default_rng([seed, crc32(corpus.encode())])
    tested = [0] * len(conditions)
    turn = 0
    for condition in CONDITIONS:
        for index in rng.permutation([i for i, c in enumerate(conditions) if c == condition]):
            tested[int(index)] = turn % SPLITS
            turn += 1
    return tested


def fold_list_path(root: Path, corpus: str, part: str, split: int) -> Path:
    """List of a part, ``train`` or ``test``, of a split from 1 to 3; DIEM has one split, and no number."""
    number = "" if corpus == "DIEM" else f"_{split}"
    return root / "fold_lists" / f"{corpus}_list_{part}{number}_fps.txt"


def write_fold_lists(
    root: Path, corpus: str, spec: SyntheticSpec, names: list[str], conditions: list[Condition], seed: int
) -> list[Path]:
    """Write the lists of all splits: name, frames, frames per second with 6 decimals.

    Returns:
        The files written.
    """
    tested = partition(conditions, seed, corpus)
    (root / "fold_lists").mkdir(parents=True, exist_ok=True)
    written = []
    for split in range(1 if corpus == "DIEM" else SPLITS):
        for part in ("train", "test"):
            chosen = [
                name for name, test in zip(names, tested, strict=True) if (test == split) == (part == "test")
            ]
            path = fold_list_path(root, corpus, part, split + 1)
            path.write_text("".join(f"{name} {spec.frames} {spec.fps:.6f}\n" for name in chosen))
            written.append(path)
    return written


def write_ordered_lists(root: Path, corpus: str, spec: SyntheticSpec, names: list[str]) -> list[Path]:
    """Write the two lists of a corpus that was divided once (:func:`part_of`), as vinet_v2 has them for DHF1K.

    Returns:
        The files written.
    """
    (root / "fold_lists").mkdir(parents=True, exist_ok=True)
    written = []
    for part in ("train", "test"):
        path = fold_list_path(root, corpus, part, 1)
        lines = [
            f"{name} {spec.frames} {spec.fps}" for index, name in enumerate(names) if part_of(index) == part
        ]
        path.write_text("\n".join(lines) + "\n")
        written.append(path)
    return written
