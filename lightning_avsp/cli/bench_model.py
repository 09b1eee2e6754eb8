"""`avsp bench model`: cost of each network."""

from __future__ import annotations

from pathlib import Path


def model(json: Path | None = None) -> None:
    """Print parameters, multiply-accumulates and activation memory of every DiffSal beside the paper's figures.

    Args:
        json: Also write the table to this file.
    """
    from lightning_avsp.profiling.model import bench_model, print_records
    from lightning_avsp.run_folder import write_json

    records = bench_model()
    print_records(records)
    if json is not None:
        write_json(json, records)
