"""`avsp bench data`: every source shows the same clips, and the report says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lightning_avsp.cli import dispatch as cli
from lightning_avsp.errors import InputError
from lightning_avsp.profiling import data as bench
from lightning_avsp.profiling import material

BENCH = cli.Tool("lightning_avsp.cli.bench_data", "data", "clips per second of each source")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def small(folder: Path) -> list[material.Material]:
    return material.write_material(folder, 1, 40, size=(96, 160))


def test_all_sources_show_the_same_clips(small: list[material.Material], folder: Path) -> None:
    sources = bench.make_sources(small, folder, (48, 80))
    assert {"plain PIL", "JPEG", "packed", "raw", "mp4 decord", "mp4 pyav"} <= set(sources)
    batches = {name: list(bench.training_loader(found, 0, 2, (48, 80), 3)) for name, found in sources.items()}
    for name, found in batches.items():
        for one, own in zip(found, batches["JPEG"], strict=True):
            assert torch.equal(one["frame"], own["frame"])
            assert torch.equal(one["audio"], own["audio"])
            assert torch.equal(one["saliency"], own["saliency"])
            assert (one["video"].float() - own["video"].float()).abs().mean() < 6, name
    rows = {row.source: row for row in bench.differences(sources, (48, 80))}
    assert rows["raw"] == bench.Difference("raw", 0, 0.0, None)
    assert 38 < rows["packed"].psnr_db < 60


def test_workers_give_the_same_clips(small: list[material.Material]) -> None:
    entries = [one.entry for one in small]
    alone, shared = (list(bench.training_loader(entries, count, 2, (48, 80), 5)) for count in (0, 2))
    assert all(torch.equal(one["video"], other["video"]) for one, other in zip(alone, shared, strict=True))


def test_ratios_are_taken_round_by_round() -> None:
    cells = [bench.Cell("plain PIL", 2, (2.0, 4.0, 1.0)), bench.Cell("raw", 2, (40.0, 40.0, 40.0))]
    assert bench.ratios(cells)["raw"]["2"] == {"median": 20.0, "least": 10.0, "most": 40.0}


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.TOOLS, ("bench", "data"), BENCH)
    real = material.write_material
    monkeypatch.setattr(bench, "write_material", lambda *given: real(*given, size=(96, 160)))
    monkeypatch.setattr(bench, "SIZE", (48, 80))
    arguments = ["--videos=1", "--frames=40", "--workers=[0]", "--rounds=1", "--seconds=0.05"]
    cli.main(["bench", "data", *arguments, f"--json={tmp_path / 'd.json'}"])
    assert "plain PIL" in capsys.readouterr().out
    written = json.loads((tmp_path / "d.json").read_text())
    assert {cell["source"] for cell in written["cells"]} >= {"plain PIL", "JPEG", "packed", "raw"}
    assert all(cell["median"] > 0 for cell in written["cells"])


def test_targets_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    speeds = {"plain PIL": 10.0, "packed": 49.0, "raw": 151.0}
    cells = [bench.Cell(name, 2, (speed,)) for name, speed in speeds.items()]
    report = {
        "cells": [vars(cell) | {"median": cell.median} for cell in cells],
        "ratios": bench.ratios(cells),
        "targets": bench.TARGETS,
        "size": [224, 384],
        "clip_frames": 16,
        "rounds": 1,
        "differences": [],
        "machine": {"processor": "x", "cores": 2, "torch": "2"},
        "load_average": 0.0,
        "source": {"jpeg_kib": 60.0},
    }
    bench.print_report(report, Console(width=160))
    printed = capsys.readouterr().out
    assert ">= 5 MISSED" in printed
    assert ">= 15 met" in printed


def test_impossible_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 32"):
        bench.bench_data(tmp_path, frames=10)
