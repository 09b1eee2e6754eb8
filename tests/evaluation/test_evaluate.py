"""From a folder of predictions to tables on disk, through the command line."""

from __future__ import annotations

import csv
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import METRIC

from lightning_avsp.cli import dispatch as cli
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.evaluate import evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.results import as_record, write_results
from lightning_avsp.metrics import SaliencyMetrics


@pytest.mark.parametrize("name", ["plain", "ntire26", "dhf1k", "stavis"])
def test_the_truth_predicts_itself(corpus: Path, copy_truth: Callable[..., Path], name: str) -> None:
    result = evaluate_predictions(copy_truth(split=1), corpus, ["AVAD"], find_protocol(name))
    summary = result.corpora["AVAD"]
    metrics = summary.metrics
    assert metrics["auc_judd"].mean > 0.95
    if name == "stavis":  # from the ninth frame on, blurred
        assert {row.frame for row in result.tables[1].frames} == set(range(9, 26))
        assert result.unscored == 16
        assert 0.9 < metrics["cc"].mean < 1 - 1e-4
        return
    assert (summary.videos, summary.frames) == (2, 50)
    # float64 formulas with an epsilon of 1e-7 (ntire26) or less
    assert metrics["cc"].mean == pytest.approx(1, abs=1e-9)
    assert metrics["sim"].mean == pytest.approx(1, abs=1e-8)
    if name == "plain":
        assert metrics["kld"].mean == pytest.approx(0, abs=1e-9)


def test_plain_equals_what_the_trainer_scores(
    corpus: Path, entries: list[VideoEntry], tmp_path: Path
) -> None:
    import torch

    metrics = SaliencyMetrics()
    generator = torch.Generator().manual_seed(0)
    for entry in entries:
        folder = tmp_path / "maps" / entry.corpus / entry.video
        folder.mkdir(parents=True)
        for number in range(1, entry.n_frames + 1):
            levels = torch.randint(0, 256, (32, 64), dtype=torch.uint8, generator=generator)
            Image.fromarray(levels.numpy()).save(folder / f"{number:05d}.png")
            truth = entry.maps.map(number)
            points = entry.fixations.points(number, tuple(truth.shape))
            metrics.update(levels[None], [truth], [points], [(entry.corpus, entry.video, number)])
    result = evaluate_predictions(tmp_path / "maps", corpus, ["AVAD"], find_protocol("plain"))
    expected = metrics.compute()
    for name in ("cc", "sim", "nss", "auc_judd"):  # the same float64 operations, averaged in another order
        assert result.corpora["AVAD"].metrics[name].mean == pytest.approx(expected[name], abs=1e-12)


def test_processes_change_nothing(corpus: Path, copy_truth: Callable[..., Path]) -> None:
    folder, protocol = copy_truth(split=1), find_protocol("stavis")
    progress: list[tuple[int, int]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    alone = evaluate_predictions(folder, corpus, ["AVAD"], protocol)
    assert torch.get_num_threads() == 2, "scoring must not slow down its caller"
    torch.set_num_threads(threads)
    report = lambda done, total: progress.append((done, total))  # noqa: E731
    two = evaluate_predictions(folder, corpus, ["AVAD"], protocol, workers=2, progress=report)
    assert two.tables == alone.tables
    assert two.corpora == alone.corpora
    assert progress == [(1, 2), (2, 2)]


def test_three_splits_are_pooled_with_folders_of_their_own(
    corpus: Path, copy_truth: Callable[..., Path]
) -> None:
    for split in (1, 2, 3):
        copy_truth(f"all/split{split}", split=split)
    folder = copy_truth("all/split1", below="unused", split=1).parent
    result = evaluate_predictions(folder, corpus, ["AVAD"], find_protocol("ntire26"), "all")
    assert sorted(result.tables) == [1, 2, 3]
    assert not result.shared
    assert result.corpora["AVAD"].videos == 6
    assert result.corpora["AVAD"].averaging == "pooled"
    shutil.rmtree(folder / "split3")
    with pytest.raises(InputError, match=r"^2 videos have no predictions \(3/AVAD/"):
        evaluate_predictions(folder, corpus, ["AVAD"], find_protocol("ntire26"), "all")


def test_missing_frames_and_videos_are_counted(
    corpus: Path, copy_truth: Callable[..., Path], entries: list[VideoEntry]
) -> None:
    folder, (first, second) = copy_truth(split=1), entries
    (folder / "AVAD" / first.video / "eyeMap_00003.jpg").unlink()
    (folder / "AVAD" / first.video / "eyeMap_00020.jpg").unlink()
    shutil.rmtree(folder / "AVAD" / second.video)
    protocol = find_protocol("ntire26")
    with pytest.raises(InputError) as caught:
        evaluate_predictions(folder, corpus, ["AVAD"], protocol)
    assert str(caught.value) == (
        f"1 videos have no predictions (1/AVAD/{second.video}); 2 frames of 1 videos are missing "
        f"(1/AVAD/{first.video} lacks 2, first 3); complete {folder}, or pass --allow_missing to score the rest"
    )
    result = evaluate_predictions(folder, corpus, ["AVAD"], protocol, allow_missing=True)
    assert result.missing.videos == [f"1/AVAD/{second.video}"]
    assert result.missing.frame_count == 2
    assert (result.corpora["AVAD"].videos, result.corpora["AVAD"].frames) == (1, 23)


def test_degenerate_frames_are_counted_by_reason(
    corpus: Path, copy_truth: Callable[..., Path], entries: list[VideoEntry]
) -> None:
    folder = copy_truth(split=1)
    size = (entries[0].size[1], entries[0].size[0])
    for number in (10, 11):
        Image.new("L", size, 128).save(folder / "AVAD" / entries[0].video / f"eyeMap_{number:05d}.jpg")
    result = evaluate_predictions(folder, corpus, ["AVAD"], find_protocol("stavis"))
    metrics = result.corpora["AVAD"].metrics
    assert metrics["cc"].skipped == {"constant_prediction": 2}
    assert metrics["cc"].frames == 32
    assert metrics["cc"].videos == 2
    record = as_record(result)
    assert "a frame whose ground truth is blank counts as SIM 0" in record["degenerate_frames"]
    columns = record["frames"][0]
    assert columns["reasons"]["cc"] == {"constant_prediction": [10, 11]}
    assert metrics["sim"].skipped == {"constant_prediction": 2}
    assert metrics["auc_judd"].skipped == {}  # its expectation over all orders of equal values


def test_the_command_prints_and_writes(
    corpus: Path, copy_truth: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = copy_truth(split=1), tmp_path / "results" / "avad.json"
    options = ["--protocol=plain", "--workers=1", "--count_from=1", "--seed=3"]
    cli.main(["evaluate", str(folder), f"--root={corpus}", f"--out={out}", *options])
    printed = capsys.readouterr().out
    assert "protocol plain, split 1" in printed
    assert "AVAD" in printed
    assert "1.000" in printed
    record = json.loads(out.read_text())
    assert record["protocol"]["name"] == "plain"
    assert record["synthetic"].startswith("SYNTHETIC")
    assert record["missing"] == {"videos": [], "frames": {}, "frame_count": 0}
    assert set(record["versions"]) == {"lightning_avsp", "python", "torch", "numpy"}
    cc = record["corpora"]["AVAD"]["metrics"]["cc"]
    assert cc["low"] <= cc["mean"] <= cc["high"]
    assert cc["frames"] == 50
    assert [row["frames"] for row in record["videos"]] == [25, 25]
    assert record["frames"][1]["numbers"] == list(range(1, 26))
    assert record["frames"][1]["values"]["cc"] == pytest.approx([1] * 25)
    rows = {
        name: list(csv.DictReader((out.parent / f"avad_{name}.csv").read_text().splitlines()))
        for name in ("corpora", "videos", "frames")
    }
    assert [len(rows[name]) for name in ("corpora", "videos", "frames")] == [5, 2, 50]
    assert float(rows["frames"][0]["cc"]) == pytest.approx(1, abs=METRIC)
    assert len(list(out.parent.iterdir())) == 4


def cut_file(folder: Path) -> None:
    path = sorted(folder.glob("AVAD/*/eyeMap_00009.jpg"))[0]
    path.write_bytes(path.read_bytes()[:200])


def turned(folder: Path) -> None:
    for path in folder.glob("AVAD/*/*.jpg"):
        Image.fromarray(np.array(Image.open(path)).T).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "AVAD"), "is empty: predict first"),
        (shutil.rmtree, "no folder at"),
        (cut_file, "eyeMap_00009.jpg (200 bytes) cannot be read as an image"),
        (turned, "they are of another video, or rotated"),
        (
            lambda folder: (folder / "AVAD").rename(folder / "DIEM"),
            "holds no predictions of the 2 listed test videos; looked for",
        ),
    ],
)
def test_damage_gives_one_line_and_no_results(
    corpus: Path,
    copy_truth: Callable[..., Path],
    tmp_path: Path,
    refused: Callable[..., str],
    damage: Callable[[Path], None],
    message: str,
) -> None:
    folder, out = copy_truth(split=1), tmp_path / "results" / "avad.json"
    damage(folder)
    said = refused(["evaluate", folder, f"--root={corpus}", f"--out={out}", "--workers=1"]).strip()
    assert said.startswith("error: ")
    assert message in said
    assert "\n" not in said
    assert not out.parent.exists()


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(corpus: Path, copy_truth: Callable[..., Path], tmp_path: Path) -> None:
    result = evaluate_predictions(copy_truth(split=1), corpus, ["AVAD"], find_protocol("plain"))
    out = tmp_path / "results" / "avad.json"
    with (
        file_limit(1000),
        pytest.raises(InputError, match=r"cannot write .*avad\.json: File too large") as caught,
    ):
        write_results(result, out)  # the first tables fit, that of the frames does not
    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []
    assert len(write_results(result, out)) == 4
