"""Clips per second of every way to read a corpus, as ratios measured in turns.

    python benchmarks/data_sources.py [--rounds 7] [--folder FOLDER] [--json FILE]

The same as `avsp bench data` (:mod:`lightning_avsp.profiling.data`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lightning_avsp.cli.bench_data import data


def main() -> None:
    """Measure, print two tables, and write JSON if asked."""
    parser = argparse.ArgumentParser(description="Clips per second of JPEG, prepared cache and mp4.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each source and number of workers")
    parser.add_argument("--folder", type=Path, help="keep the generated videos here and use them again")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    data(rounds=options.rounds, folder=options.folder, json=options.json)


if __name__ == "__main__":
    main()
