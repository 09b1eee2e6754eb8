"""The benchmark compares like with like: its numpy loops give our values, and it runs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lightning_avsp.metrics import functional as F


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "metrics.py"
    spec = importlib.util.spec_from_file_location("benchmark_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loops_compute_the_same_values(benchmark: ModuleType) -> None:
    prediction, target, fixations = benchmark.make_frames(2, levels=None)
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
        assert benchmark.loop_auc_judd(p[index], f[index]) == pytest.approx(without, abs=1e-12)


def test_it_prints_a_table_and_writes_json(benchmark: ModuleType, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "HEIGHT", 56)
    monkeypatch.setattr(benchmark, "WIDTH", 96)
    monkeypatch.setattr(
        sys, "argv", ["metrics.py", "--frames=1", "--rounds=1", f"--json={tmp_path / 'm.json'}"]
    )
    benchmark.main()
    assert "all four" in capsys.readouterr().out
    results = json.loads((tmp_path / "m.json").read_text())["results"]
    for rows in results.values():
        assert rows["all four"]["ratio"] == rows["all four"]["ours_ms"] / rows["all four"]["numpy_ms"]
