"""Faults in layouts with PNG files, films and lists of points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_avsp.curation.check.corpus import check_corpora
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


@pytest.mark.parametrize("depth", ["quick", "standard", "full"])
def test_clean_corpora_have_no_fault(depth: str, pristine: Path) -> None:
    report = check_corpora(pristine, depth=depth)
    assert report.faults == []
    frames = {corpus.corpus: corpus.frames for corpus in report.corpora}
    assert frames == {"DHF1K": 36, "UCF": 36, "CrowdSAL": 36}


def test_films_that_a_split_divides_are_a_fact(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path, "ETMD_av", 7, spec=SyntheticSpec(size=(32, 64), seconds=0.8))
    train, test = (tmp_path / "fold_lists" / f"ETMD_av_list_{part}_1_fps.txt" for part in ("train", "test"))
    lines = [line for path in (train, test) for line in path.read_text().splitlines()]
    for path, chosen in ((train, lambda name: "CHI_1" not in name), (test, lambda name: "CHI_1" in name)):
        path.write_text("".join(f"{line}\n" for line in lines if chosen(line)))
    (corpus,) = check_corpora(tmp_path, depth="quick").corpora
    assert "films of which a split trains and tests parts: CHI" in corpus.facts


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
    found = {fault.path: (fault.severity, fault.message) for fault in check_corpora(root).faults}
    assert set(found) == {frame, blank, empty, odd}
    assert found[frame][0] == found[odd][0] == "error"
    assert "32 x 64, but the map of this frame is 64 x 128" in found[odd][1]
    assert found[blank][0] == found[empty][0] == "warning"
    assert "every pixel is 0" in found[blank][1]
    assert "no fixation" in found[empty][1]


def test_a_video_that_its_reader_refuses_names_the_file(root: Path) -> None:
    maps = next((root / "UCF").glob("*/*/maps"))
    gone = sorted(maps.iterdir())[4]
    gone.unlink()
    report = check_corpora(root)
    (fault,) = report.faults
    assert (fault.corpus, fault.severity) == ("UCF", "error")
    assert str(gone) in fault.message


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
    report = check_corpora(root)
    messages = {fault.path: [] for fault in report.faults}
    for fault in report.faults:
        messages[fault.path].append(fault.message)
    assert set(messages) == {base, other}
    assert films[0].name in messages[base][0]
    outside_text, blank = sorted(messages[other], key=lambda text: "no fixation" in text)
    assert "frame 3: fixation [64, 5] (row, column) lies outside the map of 64 x 128" in outside_text
    assert blank.startswith("1 of 12 frames: no fixation")
    assert blank.endswith("the first is frame 4")
    assert len(lists) == 12


def test_different_numbers_of_frames_and_points_that_are_none(root: Path) -> None:
    points = sorted((root / "CrowdSAL").glob("Fixations*/**/fixations.json"))
    for path, kept in zip(points[:2], (11, 5), strict=True):
        path.write_text(json.dumps(json.loads(path.read_text())[:kept]))
    points[2].write_text("[[[1, 2, 3]]")
    faults = {fault.path: fault for fault in check_corpora(root).faults}
    assert [faults.pop(path).severity for path in points[:1]] == ["warning"]
    fault = faults.pop(points[1])
    assert fault.severity == "error"
    assert "5 fixations for 12 frames" in fault.message
    (fault,) = faults.values()
    assert fault.severity == "error"
    assert "fixations.json" in fault.message
