"""Lines under a table of a report: protocol, provenance and caveats of our numbers, caveats of the printed ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from lightning_avsp.backbones.weights import EARLIER
from lightning_avsp.evaluation.formatting import METRIC_NAMES, shorten
from lightning_avsp.evaluation.statistics import FEW_VIDEOS
from lightning_avsp.evaluation.test_scores import published_protocol
from lightning_avsp.profiling.model import NetworkCost
from lightning_avsp.report.courses import QUANTITIES
from lightning_avsp.report.measured import Measured, dataset_corpus
from lightning_avsp.report.published import FLAGS, PublishedTable
from lightning_avsp.report.results import ReportRow, RunResult


def in_protocol(result: RunResult, protocol: str = "") -> RunResult:
    """Return a result with the scores of another protocol than ``plain``.

    Args:
        result: The result; videos that were not scored so keep their scores by ``plain``.
        protocol: Name of the protocol; by default that in which papers score each video's corpus.
    """
    scored = {
        (name, row["corpus"], row["video"]): {**row, "protocol": name}
        for name, rows in result.protocols.items()
        for row in rows
    }
    shown = [
        scored.get((protocol or published_protocol(row["corpus"]), row["corpus"], row["video"]), row)
        for row in result.videos
    ]
    return replace(result, videos=tuple(shown))


def protocol_notes(results: Sequence[RunResult], protocol: str) -> list[str]:
    """Name the protocols of the numbers with their difference to ``plain``."""
    shown: dict[str, dict[str, list[float]]] = {}
    lacking: dict[str, int] = {}
    for one in results:
        wanted = set()
        for plain, row in zip(one.videos, in_protocol(one, protocol).videos, strict=True):
            moved = shown.setdefault(row.get("protocol", "plain"), {})
            wanted |= {protocol or published_protocol(row["corpus"])} - {row.get("protocol", "plain")}
            # those that every protocol has
            for metric in ("cc", "sim", "nss", "auc_judd"):
                # videos that were not scored so show plain's values
                if row is not plain and plain.get(metric) is not None and row.get(metric) is not None:
                    moved.setdefault(metric, []).append(row[metric] - plain[metric])
        for name in wanted:
            lacking[name] = lacking.get(name, 0) + 1
    notes = []
    for name, moved in shown.items():
        changes = ", ".join(f"{metric} {fmean(values):+.4f}" for metric, values in moved.items())
        notes.append(
            f"ours are scored by the protocol {name}"
            + (f"; against plain, on average over videos: {changes}" if changes else "")
        )
    notes += [
        f"{count} results have no scores by {name} and are shown by plain" for name, count in lacking.items()
    ]
    return notes


FAIR_SELECTION = "chosen on validation"
"""Beginning of the label of a checkpoint that was not chosen on test videos."""
JOINED = {
    "pooled": "several splits: mean over the videos of all test lists pooled, as STAViS does",
    "split_means": "several splits of a corpus with one list: mean of the splits' means",
}


def table_notes(
    table: PublishedTable,
    frame: pd.DataFrame,
    rows: Mapping[str, ReportRow],
    measured: Sequence[Measured],
    strays: Sequence[str],
    protocol: str = "",
) -> tuple[str, ...]:
    """List every line under a table.

    Args:
        table: The paper's table.
        frame: Its cells with our numbers.
        rows: Its rows by name, with their results.
        measured: Our numbers.
        strays: Trials with a result that the sweep file no longer lists.
        protocol: Protocol of our numbers; by default that in which papers score each corpus.
    """
    planned = any(row.planned for row in rows.values())
    notes = [] if planned else ["no sweep of this table is here: printed numbers alone"]
    results = [one for row in rows.values() for one in row.results]
    if (course := table.course) is not None:  # no test is behind it
        names = {course.quantity.format(metric=METRIC_NAMES.get(one, one)) for one in table.metrics}
        quantities = ", ".join(QUANTITIES.get(name, name) for name in sorted(names))
        scaled = f" x {course.scale:,g}" if course.scale != 1 else ""
        notes.append(
            f"ours: training courses of {course.sweep}, row {course.row}: {quantities}{scaled} of the row's epoch"
        )
        return (*notes, *synthetic_notes(frame), *start_notes(results), *printed_notes(table))
    return (
        *notes,
        *synthetic_notes(frame),
        *score_notes(results, {dataset_corpus(dataset)[0] for dataset in frame.dataset.unique()}, protocol),
        *start_notes(results),
        *caveats(rows, measured, strays),
        *printed_notes(table),
    )


def synthetic_notes(frame: pd.DataFrame) -> list[str]:
    """Name the generated corpora, once, with the rows that have numbers on them."""
    measured_cells = frame[frame.runs.gt(0) & frame.dataset.ne("")]
    generated = []
    for dataset, cells in measured_cells.groupby("dataset", sort=False):
        named = cells[cells.synthetic.eq("SYNTHETIC")].row.unique()
        some = f" ({', '.join(named)})" if len(named) < cells.row.nunique() else ""
        generated += [f"{dataset}{some}"] if len(named) else []
    if not generated:
        return []
    return [
        f"SYNTHETIC: ours on {', '.join(generated)} are of a generated corpus; they are not comparable with the "
        "paper's, and no difference is given"
    ]


def score_notes(results: Sequence[RunResult], corpora: Collection[str], protocol: str = "") -> list[str]:
    """Name what our numbers on some corpora are scores of: protocol and frames."""
    shown = [
        replace(one, videos=tuple(row for row in one.videos if row["corpus"] in corpora)) for one in results
    ]
    notes = protocol_notes(shown, protocol)
    frames: dict[str, dict[str, int]] = {}
    for one in shown:
        for row in in_protocol(one, protocol).videos:
            scored = frames.setdefault(row["corpus"], {})
            # a limited test of a video scores fewer frames of it
            scored[row["video"]] = max(scored.get(row["video"], 0), int(row.get("frames") or 0))
    if frames:
        counts = [
            f"{sum(scored.values()):,} in the {len(scored)} test videos of {corpus}"
            for corpus, scored in frames.items()
        ]
        notes.append(f"scored frames: {'; '.join(counts)}")
    return notes


def start_notes(results: Sequence[RunResult]) -> list[str]:
    """Name what trained our networks: initial weights and commit."""
    notes = []
    starts = {f"{part} ({_shorten(source)})" for one in results for part, source in one.starts.items()}
    # in a line of their own: among pretrained ones they would be overlooked
    at_random = sorted(start for start in starts if re.search(r"[( ]random( by name)?\)$", start))
    if known := sorted(starts - set(at_random)):
        notes.append(f"encoders started from {', '.join(known)}")
    if at_random:
        notes.append(f"encoders that started at random: {', '.join(at_random)}")
    if commits := sorted({one.commit for one in results} - {""}):
        notes.append(f"trained at commit {', '.join(commits)}")
    return notes


def _shorten(start: str) -> str:
    """Keep of every path in a start ``<run>/<seed>/checkpoints/<file>``, which names it on any machine."""
    return EARLIER.join(str(Path(*Path(source).parts[-4:])) for source in start.split(EARLIER))


def caveats(rows: Mapping[str, ReportRow], measured: Sequence[Measured], strays: Sequence[str]) -> list[str]:
    """List limits of our numbers: averaging, selection, contamination, other networks, few videos, results left out."""
    results = [one for row in rows.values() for one in row.results]
    # with one split both ways of averaging are the same
    ways = {cell.averaging for cell in measured if len(cell.distinct("split")) > 1}
    notes = [text for way, text in JOINED.items() if way in ways]
    labels = {one.selection for one in results if not one.selection.startswith(FAIR_SELECTION)}
    notes += [f"checkpoints {label}" for label in sorted(labels - {""})]
    notes += sorted({line for one in results for line in one.contamination})
    notes += sorted({f"limited test: {limit}" for one in results for limit in one.limits})
    for name, row in rows.items():
        described = row.cost.all_params if isinstance(row.cost, NetworkCost) else None
        trained = sorted({one.parameters for one in row.results if one.parameters} - {described})
        if described is not None and trained:
            notes.append(
                f"{name}: its runs trained a network of {', '.join(f'{count / 1e6:.2f}' for count in trained)} M "
                f"parameters, but the sweep describes one of {described / 1e6:.2f} M: they were started with other "
                "options"
            )
    if measured and min(cell.videos for cell in measured) < FEW_VIDEOS:
        notes.append(
            f"some cells rest on fewer than {FEW_VIDEOS} videos, with which bootstrap intervals are too narrow"
        )
    if strays:
        notes.append(
            f"{len(strays)} results belong to trials that the sweep file no longer lists, and are left out: "
            f"{shorten(strays)}"
        )
    return notes


def printed_notes(table: PublishedTable) -> list[str]:
    """List the caveats of the printed numbers."""
    notes = [f"printed table: {table.note}"] if table.note else []
    cells = table.cells.assign(where=table.cells.corpus.where(table.cells.corpus != "", table.cells.metric))
    for flags, group in cells[cells["flags"] != ""].groupby("flags", sort=False):
        names = dict.fromkeys(f"{cell.row} ({cell.where})" for cell in group.itertuples())
        notes.append(f"{', '.join(names)}: {'; '.join(FLAGS[flag] for flag in flags.split('; '))}")
    differing = [
        f"{cell.row} {' '.join(dict.fromkeys((cell.where, cell.metric)))} ({cell.disagrees})"
        for cell in cells[cells.disagrees != ""].itertuples()
    ]
    return notes + ([f"printed differently elsewhere: {', '.join(differing)}"] if differing else [])
