"""The published corpora: paths in their packages, splits, and published counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning_avsp.errors import InputError

Part = Literal["train", "test"]
"""The two parts of published lists; validation videos are taken from ``train``."""

Layout = Literal["stavis", "dhf1k", "hollywood", "crowdsal"]
"""Layouts of a corpus' files; each has one reader (:mod:`lightning_avsp.data.corpora`)."""


@dataclass(frozen=True)
class Corpus:
    """Facts about a corpus: a published one, or one's own."""

    name: str
    """Public name, in papers and in commands."""
    folder: str
    """Folder name inside the package, and stem of its lists."""
    videos: int
    """Distinct videos in all its lists; 0 if not counted."""
    frames: int | None
    """Frames of these videos, by the lists; None if not counted."""
    counts: tuple[tuple[int, int], ...]
    """(train, test) number of videos, one pair for each split; empty if not counted."""
    source: str
    """Way to obtain it, in one sentence."""
    licence: str = "research use, by its authors' terms"
    """Terms as far as they were published."""
    list_pattern: str = "{folder}_list_{part}_{split}_fps.txt"
    """Name of a fold list; a pattern without ``{split}`` means one list that serves every split."""
    splits: tuple[int, ...] = (1, 2, 3)
    """Splits that exist. A corpus that was divided only once has split 1 alone (``splits_in_mix``)."""
    layout: Layout = "stavis"
    """Layout of its files, which chooses the reader (:mod:`lightning_avsp.data.corpora`)."""
    aliases: tuple[str, ...] = ()
    """Other names, in papers and of folders."""
    has_sound: bool = True
    """False for a corpus without audio, where a missing audio file is no fault."""
    fps: float | None = None
    """Frames per second where the layout does not say."""
    shots: bool = False
    """True if its folders contain shots of the videos that are counted here, so that there are more folders."""
    note: str = ""
    """Remark on scores on it, in one sentence."""
    films: str = ""
    """Pattern of the names of videos that share a film, which its group names; empty where none do."""
    own: bool = False
    """True if it was registered by ``avsp data import`` and is in no published catalogue."""
    made: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Settings of the import of one's own corpus, for the record: JSON values."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the corpus."""
        return tuple(dict.fromkeys((self.name, self.folder, *self.aliases)))

    def film(self, video: str) -> str:
        """Name the film that a video was cut from; a video that shares none is its own."""
        match = re.fullmatch(self.films, video) if self.films else None
        return match[1] if match else video

    def list_name(self, part: Part, split: int) -> str:
        """Return the file name of the list of one part of one split.

        Raises:
            InputError: If the corpus has no such split.
        """
        if split not in self.splits:
            have = ", ".join(map(str, self.splits))
            raise InputError(f"{self.name} has no split {split}; its splits are {have}")
        # DIEM's pattern has no {split}: one list, whatever the split
        return self.list_pattern.format(folder=self.folder, part=part, split=split)

    def published_count(self, part: Part, split: int) -> int:
        """Return the published number of videos of this part and split.

        Raises:
            InputError: If they were not counted.
        """
        if not self.counts:
            raise InputError(
                f"{self.name}: the number of its videos is not known; it has no published counts"
            )
        train, test = self.counts[self.splits.index(split)]
        return train if part == "train" else test


_STAVIS_PACKAGE = (
    "download video_frames, video_audio and annotations of {folder} and fold_lists from the STAViS data page "
    "(cvsp.cs.ntua.gr/research/stavis) and unpack them side by side under one root"
)


# Counts are those of the published fold lists. They are not always clean three-fold partitions: AVAD's tests
# overlap between splits and three of its videos are never tested; SumMe's splits 2 and 3 omit one video each. ETMD's
# twelve videos are two parts of each of six films, which its splits divide: the sibling of a test video is trained on.
_STAVIS: dict[str, tuple[str, int, int, tuple[tuple[int, int], ...]]] = {
    "AVAD": ("AVAD", 45, 9_589, ((30, 15),) * 3),
    "Coutrot1": ("Coutrot_db1", 60, 25_192, ((40, 20),) * 3),
    "Coutrot2": ("Coutrot_db2", 15, 16_983, ((10, 5),) * 3),
    "DIEM": ("DIEM", 81, 236_459, ((64, 17),) * 3),
    "ETMD": ("ETMD_av", 12, 61_668, ((8, 4),) * 3),
    "SumMe": ("SumMe", 25, 109_788, ((17, 8), (17, 7), (16, 8))),
}
"""Folder, videos, frames and counts of each corpus of the STAViS package."""
_FURTHER: dict[str, dict[str, str]] = {
    "DIEM": {
        "licence": "CC BY-NC-SA 3.0",
        "list_pattern": "{folder}_list_{part}_fps.txt",  # one standard split, used with each split
        "films": r"(50_people_[a-z]+)_.+",  # with voices and without
    },
    "ETMD": {"films": r"([A-Z]+)_\d_color"},
}

_ENTRIES = (
    *(
        Corpus(name, *row, _STAVIS_PACKAGE.format(folder=row[0]), **_FURTHER.get(name, {}))  # type: ignore[arg-type]
        for name, row in _STAVIS.items()
    ),
    Corpus(
        name="DHF1K",
        folder="DHF1K",
        videos=700,
        frames=406_413,
        counts=((600, 100),),
        licence="research use, by its authors' terms; videos from YouTube",
        source=(
            "follow the links at github.com/wenguanwang/DHF1K and unpack video and annotation into a folder DHF1K "
            "under the root"
        ),
        splits=(1,),
        layout="dhf1k",
        aliases=("DHF1k", "DHF1k_extracted"),
        has_sound=False,
        fps=30.0,
        note=(
            "tested on its published validation videos (601 to 700), as papers do; labels of the true test (701 to "
            "1000) are withheld and scored by its authors alone"
        ),
    ),
    Corpus(
        name="Hollywood2",
        folder="Hollywood2",
        videos=1_707,
        frames=None,
        counts=((823, 884),),
        licence="research use, by its authors' terms; frames of feature films",
        source=(
            "take Hollywood-2 with the gaze of Mathe and Sminchisescu, divided into shots, from the links at "
            "github.com/wenguanwang/DHF1K and unpack training and testing into a folder Hollywood2 under the root"
        ),
        splits=(1,),
        layout="hollywood",
        aliases=("Hollywood-2", "Hollywood"),
        has_sound=False,
        fps=24.0,
        shots=True,
        films=r"(.+)_\d+",
        note="tested by shots, those shorter than a clip included; some published code leaves them out",
    ),
    Corpus(
        name="UCF",
        folder="UCF",
        videos=150,
        frames=None,
        counts=((103, 47),),
        source=(
            "take UCF Sports with the gaze of Mathe and Sminchisescu from the links at github.com/wenguanwang/DHF1K "
            "and unpack training and testing into a folder UCF under the root"
        ),
        splits=(1,),
        layout="hollywood",
        aliases=("UCF-Sports", "UCFSports", "ucf_sports", "ucf"),
        has_sound=False,
        fps=24.0,
    ),
    Corpus(
        name="CrowdSAL",
        folder="CrowdSAL",
        videos=2_000,
        frames=None,
        counts=((1_200, 800),),
        licence="CC BY",
        source=(
            "download Videos, SaliencyTrain, SaliencyTest, FixationsTrain, FixationsTest and TrainTestSplit.json "
            "of the NTIRE 2026 challenge (huggingface.co/datasets/ANDRYHA/VideoSaliencyChallenge) and unpack them "
            "side by side in a folder CrowdSAL under the root"
        ),
        splits=(1,),
        layout="crowdsal",
        aliases=("VideoSaliencyChallenge", "NTIRE2026"),
        note="tested on public_test (300 videos) and private_test (500) together, and scored for each of them too",
    ),
)

CATALOGUE: dict[str, Corpus] = {entry.name: entry for entry in _ENTRIES}
"""Every known corpus by its public name."""
