"""The table of scripts/mutate.py fits the package, so that a whole run comes to its end."""

import runpy
from pathlib import Path


def test_every_mutation_finds_its_text_once() -> None:
    script = runpy.run_path(str(Path(__file__).resolve().parents[1] / "scripts" / "mutate.py"))
    assert len(script["read_table"]()) > 130
