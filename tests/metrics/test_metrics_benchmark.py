"""The benchmark compares like with like: its numpy loops give our values, and it runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "metrics.py"
    spec = importlib.util.spec_from_file_location("benchmark_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_prints_a_row_for_each_metric(benchmark: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "HEIGHT", 56)
    monkeypatch.setattr(benchmark, "WIDTH", 96)
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--frames=1", "--rounds=1"])
    benchmark.main()
    rows = [line.split()[:-3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["cc"], ["sim"], ["nss"], ["auc_judd"], ["cc", "sim", "nss", "auc_judd"]]
