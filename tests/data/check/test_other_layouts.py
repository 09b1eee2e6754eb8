"""Faults in layouts with PNG files, films and lists of points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_avsp.data.check import CheckReport, check_root
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

SPEC = SyntheticSpec(size=(64, 128), seconds=0.96)  # 12 frames


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layouts")
    for corpus in ("DHF1K", "UCF", "CrowdSAL"):
        synthesise_corpus(root, corpus, 3, spec=SPEC)
    return root


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "copy"))


def found(report: CheckReport) -> set[tuple[str, Path]]:
    return {(fault.kind, fault.path) for fault in report.faults}


@pytest.mark.parametrize("thoroughness", ["quick", "standard", "full"])
def test_clean_corpora_have_no_fault(thoroughness: str, pristine: Path) -> None:
    report = check_root(pristine, thoroughness=thoroughness)
    assert report.faults == []
    assert {corpus.corpus: corpus.frames for corpus in report.corpora} == {
        "DHF1K": 36,
        "UCF": 36,
        "CrowdSAL": 36,
    }


def test_pictures_and_fixations_as_png(root: Path) -> None:
    video = next(path for path in sorted((root / "DHF1K" / "annotation").iterdir()))
    frame, blank, empty = (
        video / kind / f"{number:04d}.png" for kind, number in (("images", 2), ("maps", 3), ("fixation", 4))
    )
    frame.write_bytes(frame.read_bytes()[:-20])
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(blank)
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(empty)
    odd = video / "fixation" / "0005.png"
    Image.fromarray(np.full((32, 64), 255, np.uint8)).save(odd)
    expected = {
        ("frame_truncated", frame),
        ("map_blank", blank),
        ("fixmap_blank", empty),
        ("fixmap_size", odd),
    }
    assert found(check_root(root)) == expected


def test_a_video_that_its_reader_refuses_names_the_file(root: Path) -> None:
    maps = next((root / "UCF").glob("*/*/maps"))
    gone = sorted(maps.iterdir())[4]
    gone.unlink()
    report = check_root(root)
    (fault,) = report.faults
    assert (fault.kind, fault.corpus, fault.severity) == ("video_unreadable", "UCF", "error")
    assert str(gone) in fault.detail
    assert [corpus.videos for corpus in report.corpora if corpus.corpus == "UCF"] == [2]


def test_films_saliency_films_and_points(root: Path) -> None:
    base = root / "CrowdSAL"
    films = sorted((base / "Videos").rglob("*.mp4"))
    films[0].write_bytes(films[0].read_bytes()[:200])
    points = sorted(base.glob("Fixations*/**/fixations.json"))
    lists = json.loads(points[0].read_text())
    other = points[1] if points[1].parent.name != films[0].stem else points[2]
    outside = json.loads(other.read_text())
    outside[2].append([64, 5])  # rows are 0 to 63
    outside[3] = []
    other.write_text(json.dumps(outside))
    report = check_root(root)
    assert {fault.kind for fault in report.faults} == {"video_unreadable", "fixation_outside", "fixmap_blank"}
    by_kind = {fault.kind: fault for fault in report.faults}
    assert films[0].name in by_kind["video_unreadable"].detail
    assert by_kind["fixation_outside"].path == other
    assert "frame 3: 1 of" in by_kind["fixation_outside"].detail
    assert "1 of 12 frames have no fixation, the first is 4" in by_kind["fixmap_blank"].detail
    assert len(lists) == 12


def test_different_numbers_of_frames(root: Path) -> None:
    points = sorted((root / "CrowdSAL").glob("Fixations*/**/fixations.json"))
    for path, kept in zip(points[:2], (11, 5), strict=True):
        path.write_text(json.dumps(json.loads(path.read_text())[:kept]))
    faults = [fault for fault in check_root(root).faults if fault.kind == "counts_disagree"]
    assert sorted((fault.severity, fault.detail) for fault in faults) == [
        ("error", "12 frames, 12 maps, 5 fixations"),
        ("warning", "12 frames, 12 maps, 11 fixations"),
    ]


def test_points_that_are_no_points(root: Path) -> None:
    path = min((root / "CrowdSAL").glob("Fixations*/**/fixations.json"))
    path.write_text("[[[1, 2, 3]]")
    (fault,) = check_root(root).faults
    assert fault.severity == "error"
    assert "fixations.json" in fault.detail or fault.path == path
