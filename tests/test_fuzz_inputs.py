"""The first seeds of benchmarks/fuzz_inputs.py; all of them take minutes."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

KINDS = ("media", "table", "picture", "matrix", "wave", "checkpoint", "weights", "record", "arrays")


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "fuzz_inputs.py"
    spec = spec_from_file_location("fuzz_inputs", path)
    module = module_from_spec(spec)
    sys.modules["fuzz_inputs"] = module  # its dataclass looks its module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs_are_read_right_or_refused_in_one_line(kind: str, fuzz: ModuleType) -> None:
    found = [(seed, *fuzz.run(kind, seed)) for seed in range(20)]
    assert [one for one in found if one[1] not in ("read", "refused")] == []
    assert {verdict for _, verdict, _ in found} == {"read", "refused"}
    assert fuzz.KINDS[kind][1] >= 60
