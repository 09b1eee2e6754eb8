"""Scoring of a folder of predictions against the ground truth of listed test videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, find_corpus
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.evaluation.predictions import (
    Missing,
    candidates_of,
    check_folder,
    find_video,
    folder_of_split,
)
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.references import plan_references
from lightning_avsp.evaluation.scoring import ScoringJob, score_video
from lightning_avsp.evaluation.statistics import CorpusSummary, summarise_corpus
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
    """Means, intervals and counts of each corpus, and of each part of its test list that has a name."""
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
    count_from: Literal[0, 1] = 1,
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
        references: Also score centre prior, mean training map, chance and, where known, the human ceiling.
        allow_missing: Leave out and count what has no prediction, instead of refusing.
        count_from: Number of a video's first frame in file names: 1, or 0.
        workers: Processes. More than one needs a script with an ``if __name__ == "__main__"`` guard.
        seed: Seed of the bootstrap intervals.
        progress: Called with the number of finished videos and of all videos, references included.

    Raises:
        InputError: If predictions are missing, broken or of a size that makes no sense, or the corpus is not there.
    """
    predictions, root = Path(predictions), Path(root)
    require_range(1, workers=workers)
    check_folder(predictions)
    found = [find_corpus(name, root) for name in dict.fromkeys(corpora)]
    plan = _find_predictions(predictions, root, found, protocol, split, count_from)
    # an average over what happens to be there would pass for a full score
    if plan.missing and not allow_missing:
        raise InputError(
            f"{plan.missing.sentence()}; complete {predictions}, or pass --allow_missing to score the rest"
        )

    planned: dict[tuple[str, str, int], list[ScoringJob]] = {}  # by row, corpus and split
    impossible: dict[str, dict[str, str]] = {}
    for corpus in found if references else ():
        # reference rows score the same frames
        members = {n: [plan.jobs[k] for k in keys if k[1] == corpus.name] for n, keys in plan.members.items()}
        rows, reasons = plan_references(root, corpus, {n: jobs for n, jobs in members.items() if jobs})
        planned |= {(name, corpus.name, number): jobs for (name, number), jobs in rows.items()}
        for name, reason in reasons.items():
            impossible.setdefault(name, {})[corpus.name] = reason
    jobs = [*plan.jobs.values(), *chain(*planned.values())]
    # one pool for predictions and references: its results come in the order of the jobs
    scored = iter(run_jobs(score_video, jobs, workers, progress=progress, name=lambda job: job.entry.video))
    by_job = {key: next(scored) for key in plan.jobs}
    tables = {n: _table(protocol, [by_job[key] for key in keys]) for n, keys in sorted(plan.members.items())}
    reference_tables: dict[str, dict[str, dict[int, ScoreTable]]] = {}
    for (name, corpus_name, number), jobs in planned.items():
        # halves of observers predict each other
        of_videos = _directions_averaged(jobs, list(islice(scored, len(jobs))))
        of_corpus = reference_tables.setdefault(name, {}).setdefault(corpus_name, {})
        of_corpus[number] = _table(protocol, of_videos)

    subsets: dict[str, dict[str, set[str]]] = {}
    for job in plan.jobs.values():
        if (entry := job.entry).subset:
            parts = subsets.setdefault(entry.corpus, {})  # CrowdSAL's two test sets are printed apart
            parts.setdefault(f"{entry.corpus} {entry.subset}", set()).add(entry.video)

    def summarise(of: Mapping[str, Mapping[int, ScoreTable]]) -> dict[str, CorpusSummary]:
        summaries = {}
        for corpus in found:
            for name, only in {corpus.name: None, **subsets.get(corpus.name, {})}.items():
                if corpus.name in of:
                    summaries[name] = summarise_corpus(
                        corpus, protocol, of[corpus.name], seed=seed, only=only
                    )
        return summaries

    return Evaluation(
        protocol=protocol,
        predictions=predictions,
        root=root,
        split=split,
        tables=tables,
        missing=plan.missing,
        unscored=plan.unscored,
        shared=len(tables) > 1 and len({folder_of_split(predictions, number) for number in tables}) == 1,
        corpora=summarise({key[1]: tables for key in plan.jobs}),
        references={name: summarise(of) for name, of in reference_tables.items()},
        not_computable=impossible,
    )


@dataclass
class _Plan:
    """Predictions that were found; a video shared by splits is scored once."""

    jobs: dict[tuple[Path, str, str], ScoringJob] = field(default_factory=dict)
    """By folder, corpus and video."""
    members: dict[int, list[tuple[Path, str, str]]] = field(default_factory=dict)
    """Jobs of each split."""
    unscored: int = 0
    missing: Missing = field(default_factory=Missing)


def _find_predictions(
    predictions: Path,
    root: Path,
    corpora: Sequence[Corpus],
    protocol: Protocol,
    split: SplitName,
    count_from: int,
) -> _Plan:
    """Find the predictions of all test videos."""
    plan, tried = _Plan(), []
    for corpus in corpora:
        for number in corpus.splits if split == "all" else (int(split),):
            folder = folder_of_split(predictions, number)
            # Scoring does not read audio, so its absence is no error here.
            entries = read_videos(root, [corpus.name], number, "test", missing_audio="silence")
            for entry in entries:
                key = (folder, entry.corpus, entry.video)
                wanted = range(protocol.first_frame, entry.n_frames + 1)
                if not wanted:
                    raise InputError(
                        f"{entry.corpus}/{entry.video} has {entry.n_frames} frames, but protocol {protocol.name} "
                        f"scores from frame {protocol.first_frame} on: use --protocol plain"
                    )
                source = find_video(folder, corpus, entry.video, count_from)
                if source is None:
                    plan.missing.videos.append(f"{number}/{entry.corpus}/{entry.video}")
                    tried += candidates_of(folder, corpus, entry.video)
                    continue
                numbers = set(source.numbers)  # looked up for every frame below
                there = tuple(frame for frame in wanted if frame in numbers)
                if lacking := [frame for frame in wanted if frame not in numbers]:
                    gap = (f"{number}/{entry.corpus}/{entry.video}", len(lacking), lacking[0])
                    plan.missing.frames.append(gap)
                if not there:  # all of its frames are listed as missing above
                    continue
                if key not in plan.jobs:
                    # said in the result: silence would look like a full score
                    plan.unscored += len(numbers) - len(there)
                    others = tuple(other for other in entries if other is not entry)
                    plan.jobs[key] = ScoringJob(entry, protocol, AnnotatedTruth(entry), source, there, others)
                plan.members.setdefault(number, []).append(key)
    if not plan.jobs and tried:
        raise InputError(
            f"{predictions} holds no predictions of the {len(plan.missing.videos)} listed test videos; looked for "
            f"{' or '.join(map(str, tried[:3]))} (a folder, an array or a video)"
        )
    if not plan.jobs:
        raise InputError(f"{predictions} holds no prediction of a frame that protocol {protocol.name} scores")
    return plan


def _table(protocol: Protocol, videos: Sequence[Sequence[FrameRow]]) -> ScoreTable:
    average = VideoAverage(protocol.metrics)
    for rows in videos:
        for row in rows:
            average.add((row.corpus, row.video, row.frame), row.values, row.reasons)
    return average.table()


def _directions_averaged(
    jobs: Sequence[ScoringJob], scored: Sequence[list[FrameRow]]
) -> list[list[FrameRow]]:
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
