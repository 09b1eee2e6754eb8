"""Time of the saliency metrics against straightforward numpy code, as a ratio measured in turns.

    python benchmarks/metrics.py [--frames 8] [--rounds 40] [--json FILE]

The same as `avsp bench metrics` (:mod:`lightning_avsp.profiling.metrics`), in plain text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lightning_avsp.profiling.metrics import (
    FIXATIONS,
    HEIGHT,
    WIDTH,
    loop_auc_judd,
    loop_cc,
    loop_nss,
    loop_sim,
    make_frames,
    measure,
    measure_kinds,
    report,
)

from lightning_avsp.run_folder import write_json

__all__ = ["loop_auc_judd", "loop_cc", "loop_nss", "loop_sim", "make_frames", "measure"]


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description="Saliency metrics against straightforward numpy loops.")
    parser.add_argument("--frames", type=int, default=8, help="frames per call")
    parser.add_argument(
        "--rounds", type=int, default=40, help="turns that each side gets; the least time counts"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    kinds = measure_kinds(options.frames, options.rounds, (HEIGHT, WIDTH))
    print(f"{HEIGHT}x{WIDTH}, {FIXATIONS} fixations, one thread, ms per frame, least of {options.rounds}")
    for kind, rows in kinds.items():
        print(f"\n{kind:18}{'ours':>8}{'numpy':>8}{'ratio':>8}")
        for name, row in rows.items():
            print(f"{name:18}{row['ours_ms']:8.3f}{row['numpy_ms']:8.3f}{row['ratio']:8.2f}")
    if options.json is not None:
        write_json(options.json, report(kinds, None, options.frames, options.rounds))


if __name__ == "__main__":
    main()
