"""``avsp compare``: two result files, video by video."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path


def compare(first: Path, second: Path, out: Path | None = None, seed: int = 0) -> None:
    """Compare two results of `avsp evaluate` over the videos that both scored.

    Per metric: the difference of video means (first minus second), its 95 % bootstrap interval over videos, on how many
    videos the first is better and worse, and a sign test. Videos that only one of them scored are listed.

    Args:
        first: JSON file that `avsp evaluate` wrote.
        second: Another one, of the same protocol.
        out: Also write the comparison to this JSON file.
        seed: Seed of the bootstrap intervals.
    """
    from rich.console import Console

    from lightning_avsp.evaluation.compare import compare_results
    from lightning_avsp.evaluation.tables import print_comparison
    from lightning_avsp.run_folder import write_json

    comparison = compare_results(Path(first), Path(second), seed=seed)
    print_comparison(comparison, Console())
    if out is not None:
        write_json(Path(out), asdict(comparison))
