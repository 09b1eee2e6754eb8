"""Odd and damaged inputs from fixed seeds, read as the package reads them: right, or one line that names the file.

    python benchmarks/fuzz_inputs.py                    # every kind in full, a few minutes
    python benchmarks/fuzz_inputs.py --kinds table --first 17 --count 1   # one case again, with its traceback

The kinds are those of fuzz_cases.py. Counted are ``wrong`` values, ``traceback`` (any error but an AVSPError of one
line), ``hang`` (10 s), ``leftover`` (files beside the input), ``outside`` (by Python's audit events: a program started,
a connection made, or a file changed elsewhere) and ``memory`` (a peak of more than 1 GiB).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_cases import KINDS

from lightning_avsp.errors import AVSPError
from lightning_avsp.profiling.device import peak_memory, reset_peak_memory

LIMIT_S = 10
MOST_BYTES = 1 << 30
"""Largest growth of the process' resident memory while one input is read."""
VERDICTS = ("read", "refused", "wrong", "traceback", "hang", "leftover", "outside", "memory")
RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
CHANGES = (
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir"),
    *("os.link", "os.symlink", "os.chmod", "os.truncate"),
)

CPU = torch.device("cpu")
watched: list[Path] = []
"""Folder of the case that is being read."""
outside: list[str] = []
"""What it did elsewhere."""


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what an input makes the process do outside of its folder; an audit hook."""
    if not watched:
        return
    if event in RUNS:
        outside.append(f"{event} {arguments[0]}")
    writes = (
        event == "open"
        and isinstance(arguments[2], int)
        and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    if (writes or event in CHANGES) and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = Path(os.fsdecode(arguments[0])).absolute()
        if not path.is_relative_to(watched[0]) and path != Path(os.devnull):
            outside.append(f"{event} {path}")


sys.addaudithook(watch)


def run(kind: str, seed: int, verbose: bool = False) -> tuple[str, str]:
    """Generate and read one case: verdict (``read``, ``refused``, or a fault) and its description."""

    def late(*_: object) -> None:
        raise TimeoutError

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        case = KINDS[kind][0](np.random.default_rng([sum(map(ord, kind)), seed]), folder)
        before = set(folder.rglob("*"))
        signal.signal(signal.SIGALRM, late)
        signal.alarm(LIMIT_S)
        reset_peak_memory(CPU)
        held, outside[:], watched[:] = peak_memory(CPU) or 0, [], [folder]
        try:
            found = case.read()
            said = case.wrong(found)
            verdict, text = ("wrong", said) if said else ("read", "")
        except AVSPError as error:
            text = str(error)
            verdict = "wrong" if case.must_read else "refused"
            if "\n" in text or not any(name in text for name in case.names or (case.path.name,)):
                verdict = "traceback"
        except TimeoutError:
            verdict, text = "hang", f"over {LIMIT_S} s"
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            verdict, text = "traceback", f"{type(error).__name__}: {error}"
            if verbose:
                traceback.print_exc()
        finally:
            signal.alarm(0)
            watched.clear()
        if (peak_memory(CPU) or 0) - held > MOST_BYTES:
            verdict, text = "memory", f"{(peak_memory(CPU) or 0) - held >> 20} MiB"
        if outside:
            verdict, text = "outside", ", ".join(outside)
        if set(folder.rglob("*")) != before:
            verdict, text = "leftover", str(set(folder.rglob("*")) - before)
    return verdict, text


def main() -> None:
    """Run the kinds and print what was found; ends with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=0, help="cases of each kind; a full run by default")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    faults = 0
    for kind in options.kinds.split(","):
        begin, verdicts = time.perf_counter(), Counter[str]()
        for seed in range(options.first, options.first + (options.count or KINDS[kind][1])):
            verdict, text = run(kind, seed, verbose=options.count == 1)
            verdicts[verdict] += 1
            if verdict not in ("read", "refused") or options.count == 1:
                print(f"{kind} {seed}: {verdict}: {text}")
        faults += sum(count for verdict, count in verdicts.items() if verdict not in ("read", "refused"))
        counts = ", ".join(f"{verdicts[name]} {name}" for name in VERDICTS)
        print(f"{kind}: {counts}; {time.perf_counter() - begin:.0f} s", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
