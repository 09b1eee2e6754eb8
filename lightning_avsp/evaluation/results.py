"""Results: a table for the terminal, one JSON with everything, and CSV tables of corpora, videos and frames."""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from lightning_avsp import __version__
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.evaluate import Evaluation
from lightning_avsp.evaluation.formatting import Value, heading, number, print_table, with_interval
from lightning_avsp.evaluation.protocols import CONVENTIONS
from lightning_avsp.evaluation.references import DESCRIPTIONS
from lightning_avsp.evaluation.statistics import FEW_VIDEOS, LEVEL, RESAMPLES, CorpusSummary
from lightning_avsp.metrics import ScoreTable
from lightning_avsp.run_folder import as_csv, write_atomically, write_json

if TYPE_CHECKING:
    from rich.console import Console

KIND = "lightning_avsp evaluation"
FORMAT = 1


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of the JSON file."""
    missing, tables = evaluation.missing, evaluation.tables.items()
    manifest = read_manifest(evaluation.root)

    def plain(summaries: Mapping[str, CorpusSummary]) -> dict[str, Any]:
        return {name: asdict(summary) for name, summary in summaries.items()}

    return {
        "kind": KIND,
        "format": FORMAT,
        "versions": {
            "lightning_avsp": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "predictions": str(evaluation.predictions),
        "root": str(evaluation.root),
        # a result on generated data must never pass for one on people
        "synthetic": manifest["statement"] if manifest["corpora"] else None,
        "split": evaluation.split,
        "same_predictions_for_all_splits": evaluation.shared,
        "protocol": asdict(evaluation.protocol),
        # undefined frames change averages as much as a formula does: results state their treatment
        "degenerate_frames": CONVENTIONS[evaluation.protocol.policy],
        "interval": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "over": "videos",
            "method": "percentile bootstrap",
        },
        "missing": {
            "videos": list(missing.videos),
            "frames": {name: count for name, count, _ in missing.frames},
            "frame_count": missing.frame_count,
        },
        "predicted_but_not_scored": evaluation.unscored,
        "corpora": plain(evaluation.corpora),
        "references": {
            row: {"what": DESCRIPTIONS[row], "corpora": plain(of)}
            for row, of in evaluation.references.items()
        },
        "not_computable": evaluation.not_computable,
        "videos": [{"split": split} | record for split, table in tables for record in table.video_records()],
        # in columns: keys repeated for every frame would be most of the file
        "frames": [{"split": split} | record for split, table in tables for record in _frames(table)],
    }


def _frames(table: ScoreTable) -> list[dict[str, Any]]:
    """List the frames of each video in columns: numbers, values by metric, and numbers of frames by reason."""
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for row in table.frames:
        video = columns.setdefault(
            (row.corpus, row.video),
            {"corpus": row.corpus, "video": row.video, "numbers": [], "values": {}, "reasons": {}},
        )
        video["numbers"].append(row.frame)
        for name, value in row.values.items():
            video["values"].setdefault(name, []).append(value)
        for name, reason in row.reasons.items():
            video["reasons"].setdefault(name, {}).setdefault(reason, []).append(row.frame)
    return list(columns.values())


def write_results(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write ``out`` (JSON) and beside it ``<stem>_corpora.csv``, ``<stem>_videos.csv`` and ``<stem>_frames.csv``.

    Each file appears whole or not at all.

    Returns:
        The files written.

    Raises:
        InputError: If the disk is full or may not be written to; nothing of this call is left behind then.
    """
    tables = evaluation.tables.items()
    rows = {
        "corpora": corpus_records(evaluation),
        "videos": [{"split": split} | row for split, table in tables for row in table.video_records()],
        "frames": [{"split": split} | row for split, table in tables for row in table.frame_records()],
    }
    written: list[Path] = []
    try:
        for name, records in rows.items():
            path = out.with_name(f"{out.stem}_{name}.csv")
            write_atomically(path, as_csv(records))
            written.append(path)
        # last: where the JSON is, the others are
        write_json(out, as_record(evaluation))
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise cannot_write(out, error) from error
    return [out, *written]


def cannot_write(path: Path, error: OSError) -> InputError:
    """Build the error of results that do not reach the disk."""
    full, forbidden = (errno.ENOSPC, errno.EDQUOT), (errno.EACCES, errno.EROFS)
    # a quota is a full disk to its user
    advice = "make room" if error.errno in full else "choose another folder"
    if error.errno in forbidden:
        advice = "choose a folder that you may write to"
    return InputError(f"cannot write {path}: {error.strerror or error}; {advice}, or give another --out")


def corpus_records(evaluation: Evaluation) -> list[dict[str, Any]]:
    """List one flat row per corpus and metric, predictions first, then reference rows."""
    rows = [("predictions", evaluation.corpora), *evaluation.references.items()]
    return [
        {
            "row": row,
            "corpus": corpus,
            "split": evaluation.split,
            "protocol": evaluation.protocol.name,
            "metric": name,
            **vars(one),
            "skipped": " ".join(f"{reason}:{count}" for reason, count in one.skipped.items()),
            "zeroed": " ".join(f"{reason}:{count}" for reason, count in one.zeroed.items()),
        }
        for row, summaries in rows
        for corpus, summary in summaries.items()
        for name, one in summary.metrics.items()
    ]


def read_results(path: Path) -> dict[str, Any]:
    """Read the JSON file of :func:`write_results`.

    Raises:
        InputError: If the file is missing or something else.
    """
    if not path.is_file():
        raise InputError(
            f"no results at {path}; write them with `avsp evaluate PREDICTIONS --out {path.name}`"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kind, version = record["kind"], record["format"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold results of `avsp evaluate` ({error}); give its JSON file"
        ) from error
    if kind != KIND or version != FORMAT:
        raise InputError(
            f"{path} holds {kind!r} of format {version}, but {KIND!r} of format {FORMAT} is needed"
        )
    return dict(record)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print one row per corpus, reference rows below it, and the counts."""
    protocol = evaluation.protocol
    records: list[tuple[str, dict[str, Value | str]]] = []
    for corpus, summary in evaluation.corpora.items():
        rows = [(corpus, summary)]
        rows += [(f"  {row}", of[corpus]) for row, of in evaluation.references.items() if corpus in of]
        for name, one in rows:
            cells = {heading(metric): with_interval(one.metrics[metric]) for metric in protocol.metrics}
            records.append((name, {**cells, "videos / frames": f"{one.videos} / {one.frames}"}))
        unknown: dict[str, Value | str] = {heading(metric): number(None) for metric in protocol.metrics}
        records += [(f"  {row}", unknown) for row, of in evaluation.not_computable.items() if corpus in of]
    frame = pd.DataFrame([cells for _, cells in records], index=[name for name, _ in records]).fillna("")
    title = (
        f"protocol {protocol.name}, split {evaluation.split}: mean over videos, below it its 95 % interval"
    )
    print_table(title, frame, console, remarks(evaluation))


def remarks(evaluation: Evaluation) -> list[str]:
    """List what limits the numbers: everything missing, skipped, shared, or not computable."""
    lines = []
    # ETMD tests 4 videos a split, Coutrot2 5
    few = [corpus for corpus, summary in evaluation.corpora.items() if summary.videos < FEW_VIDEOS]
    if few:
        lines.append(
            f"{', '.join(few)}: fewer than {FEW_VIDEOS} videos, with which bootstrap intervals are too narrow"
        )
    if evaluation.missing:
        lines.append(f"left out: {evaluation.missing.sentence()}")
    if evaluation.unscored:
        lines.append(f"predicted but outside what the protocol scores: {evaluation.unscored} frames")
    if evaluation.shared:
        lines.append(
            "all splits were scored with the same predictions: of one model, which must have seen no test video"
        )
    for corpus, summary in evaluation.corpora.items():
        for name, one in summary.metrics.items():
            for treatment, by_reason in (("skipped", one.skipped), ("counted at a fixed value", one.zeroed)):
                if by_reason:
                    counts = ", ".join(f"{count} {reason}" for reason, count in by_reason.items())
                    lines.append(f"{corpus}, {heading(name)}: frames {treatment}: {counts}")
    for row, of_corpora in evaluation.not_computable.items():
        lines += [f"{corpus}, {row}: {reason}" for corpus, reason in of_corpora.items()]
    return lines
