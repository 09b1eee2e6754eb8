"""The first seeds of benchmarks/fuzz_inputs.py; all of them take minutes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

KINDS = ("media", "table", "picture", "matrix", "wave", "checkpoint", "weights", "record", "arrays")


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield import_module("fuzz_inputs")


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs_are_read_right_or_refused_in_one_line(kind: str, fuzz: ModuleType) -> None:
    found = [(seed, *fuzz.run(kind, seed)) for seed in range(20)]
    assert [one for one in found if one[1] not in ("read", "refused")] == []
    assert {verdict for _, verdict, _ in found} == {"read", "refused"}
    assert fuzz.KINDS[kind][1] >= 60
