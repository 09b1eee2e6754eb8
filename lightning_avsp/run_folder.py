"""Layout of a run's files, and the rule that nothing finished or half-finished is overwritten by accident."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.files import atomic_write


@dataclass(frozen=True)
class RunFolder:
    """``runs/<experiment>/seed<seed>`` by default: config.yaml, run.json, metrics, checkpoints, figures, results."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of ``last.ckpt`` and ``best.ckpt``."""
        return self.path / "checkpoints"

    @property
    def results(self) -> Path:
        """Folder of test results."""
        return self.path / "results"

    @property
    def figures(self) -> Path:
        """Folder of sample figures."""
        return self.path / "figures"

    @property
    def record(self) -> Path:
        """``run.json``: facts of the run, its videos, and ``finished``."""
        return self.path / "run.json"

    @property
    def is_finished(self) -> bool:
        """True once the training that this folder holds has ended by itself."""
        return self.record.is_file() and bool(read_run_json(self.record).get("finished"))

    def next_metrics(self, command: str) -> str:
        """Return the name of a folder under ``metrics/`` that does not exist yet: the CSV logger deletes what it finds.

        ``fit`` for the first run of a command, ``fit-2`` when it was resumed once, and so on.
        """
        names = (command if number == 1 else f"{command}-{number}" for number in count(1))
        return next(name for name in names if not (self.path / "metrics" / name).exists())

    def checkpoint(self, name: str) -> Path:
        """Return the path of a checkpoint given as ``last``, ``best`` or a path.

        Raises:
            InputError: If it does not exist.
        """
        path = self.checkpoints / f"{name}.ckpt" if name in ("last", "best") else Path(name)
        if not path.is_file():
            held = (
                sorted(p.name for p in self.checkpoints.glob("*.ckpt")) if self.checkpoints.is_dir() else []
            )
            raise InputError(
                f"no checkpoint at {path}; {self.checkpoints} holds {', '.join(held) or 'none'}: "
                "train first, or give --run_dir or the path of a checkpoint"
            )
        return path

    def refuse_overwriting(self) -> None:
        """Raise unless a new training may start here.

        Raises:
            InputError: If the folder holds a run, finished or not; the message says how to go on.
        """
        if self.is_finished:
            raise InputError(
                f"{self.path} holds a finished run; choose another --run_dir or --seed_everything, "
                "or replace it with --overwrite=true"
            )
        if (self.checkpoints / "last.ckpt").is_file():
            raise InputError(
                f"{self.path} holds an unfinished run; resume it with --ckpt_path last, "
                "choose another --run_dir, or replace it with --overwrite=true"
            )

    def clear(self) -> None:
        """Remove the record and the checkpoints of an earlier run, as ``--overwrite=true`` asks.

        Left in place, they would pass for the new run's own should that be killed before it has saved anything.
        """
        # the record first: without it the rest is no run
        for path in (self.record, self.checkpoints / "last.ckpt", self.checkpoints / "best.ckpt"):
            path.unlink(missing_ok=True)


def read_run_json(path: Path) -> dict[str, Any]:
    """Read a table from a JSON file that this package wrote.

    Raises:
        InputError: If it is damaged or holds something else; names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    # thousands of brackets in a damaged file
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): restore it, or remove it") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not a table: restore it, or remove it")
    return content


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 so that readers see the old or the new content, never half of it."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; not-a-number becomes null, which every reader understands."""
    # json itself would write NaN, which is no JSON
    write_atomically(path, json.dumps(_plain(content), indent=2, sort_keys=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # NaN differs from itself
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)  # paths, enums


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Format rows with the same keys as CSV text with a header; empty for no rows."""
    if not rows:
        return ""
    text = io.StringIO()
    # the module's own default is \r\n, on every system
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
