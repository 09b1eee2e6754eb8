"""Names, conditions and fold lists of a synthetic corpus, in the style of the corpus it stands in for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from lightning_avsp.synthetic.spec import CONDITIONS, Condition, SyntheticSpec

STAVIS_CORPORA = ("AVAD", "Coutrot_db1", "Coutrot_db2", "DIEM", "ETMD_av", "SumMe")
"""The six corpora of the STAViS package, which have fold lists."""
SOUNDLESS_CORPORA = ("DHF1K", "Hollywood2", "UCF")
"""Corpora without audio: their stand-ins are silent too, and observers follow the fastest object."""
SHORT_SHOT_FRAMES = 12
"""Frames of every third video of Hollywood2, whose shots are often shorter than a clip."""
SPLITS = 3
"""Splits of a corpus; each video is tested in exactly one of them."""

_FILMS = ("CHI", "CRA", "DEP", "FNE", "GLA", "LOR")
_ADJECTIVES = {"sound": "Sounding", "music": "Musical", "silent": "Silent"}


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


def write_fold_lists(root: Path, corpus: str, lines: list[str], tested: list[int], splits: int) -> list[Path]:
    """Write the training and the test list of every split, and return their paths.

    Each video has its line (name, frames, frames per second) and the split in which it is ``tested``, from 0.
    """
    (root / "fold_lists").mkdir(parents=True, exist_ok=True)
    written = []
    for split in range(splits):
        for part in ("train", "test"):
            chosen = [
                line for line, test in zip(lines, tested, strict=True) if (test == split) == (part == "test")
            ]
            written.append(fold_list_path(root, corpus, part, split + 1))
            written[-1].write_text("".join(f"{line}\n" for line in chosen))
    return written
