"""The benchmark compares like with like: its numpy loops give our values, and it runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rounding import METRIC

from lightning_avsp.metrics import functional as F


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "metrics.py"
    spec = importlib.util.spec_from_file_location("benchmark_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loops_compute_the_same_values(benchmark: ModuleType) -> None:
    prediction, target, fixations = benchmark.make_frames(2)
    p, g, f = prediction.double().numpy(), target.numpy() / 255, fixations.numpy()
    for index in range(2):
        assert f[index].sum() == benchmark.FIXATIONS
        assert benchmark.loop_cc(p[index], g[index]) == pytest.approx(F.cc(prediction, target)[index].item())
        assert benchmark.loop_sim(p[index], g[index]) == pytest.approx(
            F.sim(prediction, target)[index].item()
        )
        assert benchmark.loop_nss(p[index], f[index]) == pytest.approx(
            F.nss(prediction, fixations)[index].item()
        )
        without = F.auc_judd(prediction, fixations, ties="mit_nojitter")[index].item()
        assert benchmark.loop_auc_judd(p[index], f[index]) == pytest.approx(without, abs=METRIC)


def test_it_prints_a_row_for_each_metric(benchmark: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "HEIGHT", 56)
    monkeypatch.setattr(benchmark, "WIDTH", 96)
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--frames=1", "--rounds=1"])
    benchmark.main()
    rows = [line.split()[:-3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["cc"], ["sim"], ["nss"], ["auc_judd"], ["cc", "sim", "nss", "auc_judd"]]
