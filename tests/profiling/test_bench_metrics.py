"""`avsp bench metrics`: it measures both sides of the same work and says whether targets are met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lightning_avsp.cli import dispatch as cli
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.profiling import metrics as bench

BENCH = cli.Tool("lightning_avsp.cli.bench_metrics", "metrics", "time of the metrics")


def test_both_sides_of_every_row_are_timed_at_the_size_asked_for() -> None:
    sizes = {bench.make_frames(1, 256, size=(20, 30))[index].shape for index in range(3)}
    assert sizes == {(1, 20, 30)}
    kinds = bench.measure_kinds(frames=1, rounds=1, size=(20, 30))
    assert set(kinds) == {"8-bit maps", "float maps"}
    for rows in kinds.values():
        assert set(rows) == {"cc", "sim", "nss", "auc_judd", "auc_judd+jitter", "all four"}
        for row in rows.values():
            assert row["ratio"] == row["ours_ms"] / row["numpy_ms"] > 0


def test_the_share_of_a_test_pass() -> None:
    network = DiffSal(video_encoder="tiny", audio_encoder="tiny")
    found = bench.measure_test_pass(
        network, torch.device("cpu"), (64, 64), (32, 64), batch=2, steps=2, rounds=1
    )
    assert 0 < found.share < 1
    assert found.frames_per_second == pytest.approx(2000 / found.metrics_ms)


def test_targets_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"ours_ms": 1.0, "numpy_ms": 2.5, "ratio": 0.4}
    fast = bench.PassTimes("cuda", 32, 4, metrics_ms=10.0, network_ms=990.0)
    bench.print_report({"8-bit maps": {"auc_judd": row, "all four": row}}, fast, 1, Console(width=120))
    printed = capsys.readouterr().out
    assert "<= 0.33 MISSED" in printed
    assert "<= 0.45 met" in printed
    assert "3200 frames/s; metrics take 1.0% of a DiffSal test pass of 4 steps (target <= 5%: met)" in printed


def test_the_command_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.TOOLS, ("bench", "metrics"), BENCH)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cli.main(["bench", "metrics", "--frames=1", "--rounds=1", f"--json={tmp_path / 'm.json'}"])
    assert "no GPU here" in capsys.readouterr().out
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["size"] == [224, 384]
    assert written["test_pass"] is None
    assert written["results"]["float maps"]["all four"]["ours_ms"] > 0
