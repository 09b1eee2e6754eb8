"""The first seeds of benchmarks/fuzz_inputs.py; all of them take minutes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from conftest import LIMIT_S

KINDS = ("media", "table", "picture", "matrix", "wave", "checkpoint", "weights", "record", "arrays")


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        module = import_module("fuzz_inputs")
        patch.setattr(module, "LIMIT_S", LIMIT_S)  # a loaded machine is slower, not red
        yield module


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs_are_read_right_or_refused_in_one_line(kind: str, fuzz: ModuleType) -> None:
    found = [(seed, *fuzz.run(kind, seed)) for seed in range(20)]
    assert [one for one in found if one[1] not in ("read", "refused")] == []
    assert {verdict for _, verdict, _ in found} == {"read", "refused"}
    assert fuzz.KINDS[kind][1] >= 60
