"""The table of what every experiment and sweep trains: current, and complete."""

from pathlib import Path

import pytest

from lightning_avsp.cli.experiments import COLUMNS, LISTS, PRINTED, list_files, table_of_experiments

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_in_docs_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # stages are named from here
    text = table_of_experiments(Path("experiments"), Path("sweeps"))
    assert text == (ROOT / "docs" / "experiments.md").read_text(), (
        "run: avsp experiments --out docs/experiments.md"
    )
    for path in (*Path("experiments").glob("*_*.yaml"), *Path("sweeps").glob("*.yaml")):
        name = path.stem if path.parent.name == "experiments" else f"sweeps/{path.stem}"
        if not path.stem.startswith(("synthetic", "demo", "smoke")):
            assert f"| {name} |" in text
    assert all(len(values) == len(COLUMNS) - 1 for values in PRINTED.values())


@pytest.mark.parametrize("name", LISTS)
def test_the_lists_of_files_are_current(name: str) -> None:
    text = list_files(ROOT / name, LISTS[name])
    assert text == (ROOT / name / "README.md").read_text(), "run: avsp experiments --readmes"
