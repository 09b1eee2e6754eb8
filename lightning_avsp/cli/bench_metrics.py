"""`avsp bench metrics`: what the metrics cost against straightforward numpy code."""

from __future__ import annotations

from pathlib import Path


def metrics(frames: int = 8, rounds: int = 40, json: Path | None = None) -> None:
    """Print milliseconds per frame of the metrics and of straightforward numpy loops, measured in turns.

    With a GPU also frames per second at batch 32, and the metrics' share of a DiffSal test pass.

    Args:
        frames: Frames per call.
        rounds: Turns of each side; the least time counts.
        json: Also write the numbers to this file.
    """
    import torch
    from rich.console import Console

    from lightning_avsp.errors import InputError
    from lightning_avsp.profiling.metrics import measure_kinds, measure_test_pass, print_report, report
    from lightning_avsp.run_folder import write_json

    if frames < 1 or rounds < 1:
        raise InputError(f"frames={frames} and rounds={rounds} must both be at least 1")
    kinds = measure_kinds(frames, rounds)
    test_pass = None
    if torch.cuda.is_available():
        from lightning_avsp.papers.diffsal import DiffSal

        test_pass = measure_test_pass(DiffSal(), torch.device("cuda"))
    print_report(kinds, test_pass, rounds, Console())
    if json is not None:
        write_json(Path(json), report(kinds, test_pass, frames, rounds))
