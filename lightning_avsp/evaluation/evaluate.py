"""Scoring of a folder of predictions against the ground truth of listed test videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, find_corpus
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.predictions import (
    Missing,
    candidates_of,
    check_folder,
    find_video,
    folder_of_split,
)
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.references import PlannedReference, plan_references
from lightning_avsp.evaluation.scoring import VideoJob, score_video, wanted_frames
from lightning_avsp.evaluation.summary import CorpusSummary, summarise
from lightning_avsp.evaluation.truth import AnnotatedTruth
from lightning_avsp.metrics import FrameRow, ScoreTable, VideoAverage
from lightning_avsp.parallel import Progress, run_jobs

SplitName = Literal["1", "2", "3", "all"]


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation."""

    protocol: Protocol
    predictions: Path
    root: Path
    split: str
    tables: dict[int, ScoreTable]
    """Rows of frames and videos, by split."""
    missing: Missing
    """Videos and frames without predictions, which were left out."""
    unscored: int
    """Predicted frames that the protocol does not score: before its first, or after the list's last."""
    shared: bool
    """True if several splits were scored with one model's predictions."""
    corpora: dict[str, CorpusSummary]
    """Means, intervals and counts of each corpus."""
    references: dict[str, dict[str, CorpusSummary]] = field(default_factory=dict)
    """The same of each reference row, by row and corpus."""
    not_computable: dict[str, dict[str, str]] = field(default_factory=dict)
    """Reasons for missing reference rows, by row and corpus."""


def evaluate_predictions(
    predictions: Path,
    root: Path,
    corpora: Sequence[str],
    protocol: Protocol,
    split: SplitName = "1",
    *,
    references: bool = False,
    allow_missing: bool = False,
    count_from: int = 1,
    workers: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Score predictions under a protocol.

    Args:
        predictions: Folder with ``<corpus>/<video>`` or ``<video>``: folders of numbered images or arrays, arrays of
            all frames, or videos. With several splits also in ``split1_results``, ``split1`` or ``split_1``, and so on.
        root: Root of the corpora, with fold lists and annotations.
        corpora: Names in the catalogue.
        protocol: Scoring protocol.
        split: One split's test list, or all three.
        references: Score the reference rows too.
        allow_missing: Leave out and count missing predictions instead of refusing them.
        count_from: Number of a video's first frame in file names, 0 or 1.
        workers: Processes. More than one needs a script with an ``if __name__ == "__main__"`` guard.
        seed: Seed of the bootstrap.
        progress: Called with the number of finished videos and of all videos, references included.

    Raises:
        InputError: If predictions are missing, broken or of a size that makes no sense, or the corpus is not there.
    """
    predictions, root = Path(predictions), Path(root)
    if workers < 1:
        raise InputError(f"workers is {workers}; choose 1 or more")
    check_folder(predictions)
    found = [find_corpus(name, root) for name in dict.fromkeys(corpora)]
    plan = _Plan(predictions, protocol, count_from)
    for corpus in found:
        for number, entries in _test_videos(root, corpus, split).items():
            plan.add(corpus, number, entries)
    missing = plan.missing()
    if not plan.jobs:
        raise InputError(plan.nothing_found())
    if missing and not allow_missing:
        raise InputError(
            f"{missing.sentence()}; complete {predictions}, or pass --allow_missing to score the rest"
        )

    planned: list[tuple[str, PlannedReference]] = []
    impossible: dict[str, dict[str, str]] = {}
    if references:
        for corpus in found:
            rows, reasons = plan_references(root, corpus.name, protocol, plan.scored(corpus.name))
            planned += [(corpus.name, row) for row in rows]
            for name, reason in reasons.items():
                impossible.setdefault(name, {})[corpus.name] = reason
    jobs = [*plan.jobs.values(), *(job for _, row in planned for job in row.jobs)]
    scored = run_jobs(score_video, jobs, workers, progress=progress, name=lambda job: job.entry.video)

    by_job = dict(zip(plan.jobs, scored, strict=False))
    tables = {
        number: _table(protocol, [by_job[key] for key in plan.keys_of(number)]) for number in plan.splits()
    }
    rest = iter(scored[len(plan.jobs) :])
    reference_tables: dict[str, dict[str, dict[int, ScoreTable]]] = {}
    for corpus_name, row in planned:
        rows_of_videos = _directions_averaged(row.jobs, [next(rest) for _ in row.jobs])
        of_corpus = reference_tables.setdefault(row.name, {}).setdefault(corpus_name, {})
        of_corpus[row.split] = _table(protocol, rows_of_videos)

    def summary(corpus: Corpus, of: dict[int, ScoreTable]) -> CorpusSummary:
        return summarise(corpus, protocol, of, seed=seed)

    return Evaluation(
        protocol=protocol,
        predictions=predictions,
        root=root,
        split=split,
        tables=tables,
        missing=missing,
        unscored=plan.unscored,
        shared=len(tables) > 1 and len({folder_of_split(predictions, number) for number in tables}) == 1,
        corpora={corpus.name: summary(corpus, tables) for corpus in found if plan.has(corpus.name)},
        references={
            name: {corpus.name: summary(corpus, of[corpus.name]) for corpus in found if corpus.name in of}
            for name, of in reference_tables.items()
        },
        not_computable=impossible,
    )


class _Plan:
    """Predictions of each video and split; a video shared by splits is scored once."""

    def __init__(self, predictions: Path, protocol: Protocol, count_from: int) -> None:
        self.predictions, self.protocol, self.count_from = predictions, protocol, count_from
        self.jobs: dict[tuple[Path, str, str], VideoJob] = {}
        self.unscored = 0
        self._members: dict[int, list[tuple[Path, str, str]]] = {}
        self._without: list[str] = []
        self._gaps: list[tuple[str, int, int]] = []
        self._tried: list[Path] = []

    def add(self, corpus: Corpus, split: int, entries: Sequence[VideoEntry]) -> None:
        """Find predictions of one split's test videos."""
        folder = folder_of_split(self.predictions, split)
        for entry in entries:
            name = f"{split}/{entry.corpus}/{entry.video}"
            key = (folder, entry.corpus, entry.video)
            wanted = wanted_frames(self.protocol, entry.n_frames)
            if not wanted:
                raise InputError(
                    f"{entry.corpus}/{entry.video} has {entry.n_frames} frames, but protocol {self.protocol.name} "
                    f"scores from frame {self.protocol.first_frame} on: use --protocol plain"
                )
            source = find_video(folder, corpus, entry.video, self.count_from)
            if source is None:
                self._without.append(name)
                self._tried += candidates_of(folder, corpus, entry.video)
                continue
            numbers = set(source.numbers)
            there = tuple(number for number in wanted if number in numbers)
            if len(there) < len(wanted):
                lacking = [number for number in wanted if number not in numbers]
                self._gaps.append((name, len(lacking), lacking[0]))
            if not there:
                continue
            if key not in self.jobs:
                self.unscored += len(numbers) - len(there)
                others = tuple(other for other in entries if other is not entry)
                self.jobs[key] = VideoJob(entry, self.protocol, AnnotatedTruth(entry), source, there, others)
            self._members.setdefault(split, []).append(key)

    def missing(self) -> Missing:
        """Return the predictions that were not found."""
        return Missing(tuple(self._without), tuple(self._gaps))

    def splits(self) -> list[int]:
        """List the splits with predictions."""
        return sorted(self._members)

    def keys_of(self, split: int) -> list[tuple[Path, str, str]]:
        """List the jobs of one split."""
        return self._members[split]

    def scored(self, corpus: str) -> dict[int, list[VideoJob]]:
        """Return the jobs of one corpus by split; reference rows score the same frames."""
        chosen = {
            n: [self.jobs[key] for key in keys if key[1] == corpus] for n, keys in self._members.items()
        }
        return {number: jobs for number, jobs in chosen.items() if jobs}

    def has(self, corpus: str) -> bool:
        """Return True if a video of a corpus is scored."""
        return any(key[1] == corpus for key in self.jobs)

    def nothing_found(self) -> str:
        """Build the error message for a folder without any fitting prediction."""
        if self._tried:
            tried = " or ".join(str(path) for path in self._tried[:3])
            return (
                f"{self.predictions} holds no predictions of the {len(self._without)} listed test videos; looked for "
                f"{tried} (a folder, an array or a video)"
            )
        return f"{self.predictions} holds no prediction of a frame that protocol {self.protocol.name} scores"


def _test_videos(root: Path, corpus: Corpus, split: SplitName) -> dict[int, list[VideoEntry]]:
    numbers = corpus.splits if split == "all" else (int(split),)
    # Scoring does not read audio, so its absence is no error here.
    return {n: read_videos(root, [corpus.name], n, "test", missing_audio="silence") for n in numbers}


def _table(protocol: Protocol, videos: Sequence[Sequence[FrameRow]]) -> ScoreTable:
    average = VideoAverage(protocol.metrics)
    for rows in videos:
        for row in rows:
            average.add((row.corpus, row.video, row.frame), row.values, row.reasons)
    return average.table()


def _directions_averaged(jobs: Sequence[VideoJob], scored: Sequence[list[FrameRow]]) -> list[list[FrameRow]]:
    """Return the rows of each video, averaged over several jobs of one video; NaN where any is."""
    by_video: dict[str, list[list[FrameRow]]] = {}
    for job, rows in zip(jobs, scored, strict=True):
        by_video.setdefault(job.entry.video, []).append(rows)
    merged = []
    for several in by_video.values():
        rows = []
        for same in zip(*several, strict=True):
            values = {name: sum(row.values[name] for row in same) / len(same) for name in same[0].values}
            reasons = {name: reason for row in same for name, reason in row.reasons.items()}
            rows.append(replace(same[0], values=values, reasons=reasons))
        merged.append(rows)
    return merged
