"""Two result files, paired by video."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lightning_avsp.cli import dispatch as cli
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.compare import compare_results
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.results import FORMAT, KIND


def write(path: Path, cc: dict[str, float | None], protocol: str = "plain", **changes: Any) -> Path:
    chosen = find_protocol(protocol)
    videos = [
        {"split": int(key[0]), "corpus": "AVAD", "video": key[1:], "frames": 25}
        | dict.fromkeys(chosen.metrics, value)
        | {f"{name}_frames": 25 for name in chosen.metrics}
        for key, value in cc.items()
    ]
    record = {"kind": KIND, "format": FORMAT, "protocol": asdict(chosen), "videos": videos} | changes
    path.write_text(json.dumps(record))
    return path


FIRST = {"1a": 0.5, "1b": 0.6, "1c": 0.7, "1d": 0.4, "1e": 0.9, "1x": 0.1}
SECOND = {"1a": 0.4, "1b": 0.4, "1c": 0.4, "1d": 0.5, "1e": 0.9, "1y": 0.1, "2a": 0.2}


def test_differences_by_hand(tmp_path: Path) -> None:
    found = compare_results(write(tmp_path / "a.json", FIRST), write(tmp_path / "b.json", SECOND))
    assert found.only_first == ("1/AVAD/x",)
    assert found.only_second == ("1/AVAD/y", "2/AVAD/a")
    row = {one.metric: one for one in found.rows}["cc"]
    assert row.difference.mean == pytest.approx((0.1 + 0.2 + 0.3 - 0.1 + 0) / 5)
    assert row.first == pytest.approx(3.1 / 5)
    assert row.second == pytest.approx(2.6 / 5)
    assert row.difference.low < row.difference.mean < row.difference.high
    assert row.difference.low >= -0.1
    assert row.difference.high <= 0.3
    assert (row.videos, row.better, row.worse, row.undefined) == (5, 3, 1, 0)
    assert row.p_value == pytest.approx(2 * 5 / 16)  # 1 or fewer of 4, or 3 or more
    back = compare_results(tmp_path / "b.json", tmp_path / "a.json").rows[0]
    assert back.difference.low == pytest.approx(-row.difference.high)
    kld = {one.metric: one for one in found.rows}["kld"]
    assert (kld.better, kld.worse) == (1, 3)  # lower is better


def test_a_video_of_two_splits_is_one_pair_and_undefined_ones_are_counted(tmp_path: Path) -> None:
    first = {"1a": 0.2, "2a": 0.6, "1b": 0.5, "1c": None}
    second = {"1a": 0.1, "2a": 0.1, "1b": 0.5, "1c": 0.3}
    found = compare_results(write(tmp_path / "a.json", first), write(tmp_path / "b.json", second))
    row = found.rows[0]
    assert row.videos == 2
    assert row.difference.mean == pytest.approx((0.3 + 0) / 2)
    assert row.undefined == 1


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", FIRST)
    with pytest.raises(InputError, match=r"protocol plain, .* with stavis \(different: .*metrics"):
        compare_results(a, write(tmp_path / "b.json", SECOND, protocol="stavis"))
    with pytest.raises(InputError, match=r"share no video: the first has 1/AVAD/a, .*, the second 1/AVAD/z"):
        compare_results(a, write(tmp_path / "c.json", {"1z": 0.1}))
    with pytest.raises(InputError, match="no results at"):
        compare_results(a, tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(InputError, match=r"other\.json does not hold results"):
        compare_results(a, tmp_path / "other.json")
    with pytest.raises(InputError, match="of format 99"):
        compare_results(a, write(tmp_path / "d.json", FIRST, format=99))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a.json", FIRST), write(tmp_path / "b.json", SECOND)
    cli.main(["compare", str(a), str(b), f"--out={tmp_path / 'c.json'}"])
    printed = capsys.readouterr().out
    assert "+0.100" in printed
    assert "3 / 1" in printed
    assert "only the first scored 1: 1/AVAD/x" in printed
    assert "only the second scored 2: 1/AVAD/y, 2/AVAD/a" in printed
    written = json.loads((tmp_path / "c.json").read_text())
    assert written["rows"][0]["difference"]["mean"] == pytest.approx(0.1)
