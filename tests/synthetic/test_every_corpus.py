"""Every corpus of the catalogue: synthesised in its own layout, then trained and tested on through the data module."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.data.catalogue import CATALOGUE, find_corpus
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.manifest import read_conditions
from lightning_avsp.errors import InputError
from lightning_avsp.synthetic import SyntheticSpec, read_video_record, synthesise_corpus
from lightning_avsp.synthetic.ceilings import score_corpus
from lightning_avsp.synthetic.packages import (
    PACKAGES,
    SOUNDLESS_CORPORA,
    layouts_of,
    part_of,
    place_in_part,
    video_name,
)
from lightning_avsp.synthetic.record import saliency_maps

SPEC = SyntheticSpec(size=(32, 64), seconds=1.6)  # 20 frames
CASES = [
    (name, layout)
    for name, corpus in CATALOGUE.items()
    for layout in layouts_of(corpus.folder)
    if layout != "avi"
]


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_one_training_and_one_test_batch(tmp_path: Path, name: str, layout: str) -> None:
    corpus = find_corpus(name)
    report = synthesise_corpus(tmp_path, corpus.folder, 5, spec=SPEC, layout=layout)
    lossless = layout != "stavis"  # whose maps are JPEG
    data = AVSaliencyDataModule(tmp_path, corpora=[name], size=(32, 64), batch_size=2, num_workers=0)
    assert data.synthetic == [name]
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["video"].shape == (2, 16, 32, 64, 3)
    assert batch["audio"].shape == (2, 1, 9, 112, 192)
    assert batch["saliency"].shape == (2, 1, 32, 64)
    assert batch["has_audio"].tolist() == [corpus.has_sound] * 2
    for item in range(2):
        video, number = batch["video_id"][item], int(batch["frame"][item])
        check_map(tmp_path, corpus.folder, video, number, batch["saliency"][item, 0].numpy(), lossless)

    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["video"].shape == (2, 16, 32, 64, 3)
    assert batch["frame"].tolist() == [1, 2]
    for item in range(2):
        video, number = batch["video_id"][item], int(batch["frame"][item])
        assert video in report.names
        check_map(tmp_path, corpus.folder, video, number, batch["ground_truth"][item].numpy(), lossless)
        expected = read_video_record(tmp_path, corpus.folder, video).fixations[number - 1]
        if layout != "ntire":  # the only one that keeps repeats
            expected = np.unique(expected, axis=0)
        assert np.array_equal(batch["fixations"][item].numpy(), expected)
    tested = {video for _, video in data.videos("test")}
    assert not tested & {video for part in ("train", "validation") for _, video in data.videos(part)}


def check_map(root: Path, folder: str, video: str, number: int, found: np.ndarray, lossless: bool) -> None:
    """Compare a map with what the generator's record gives."""
    points = read_video_record(root, folder, video).fixations[number - 1 : number]
    expected = saliency_maps(SPEC, points)[0]
    if lossless and found.dtype == np.uint8:
        assert np.array_equal(found, expected)
    elif lossless:  # films of 10 bits, 876 levels of luma: half a level, and float32's rounding of 255
        assert np.abs(found - expected).max() <= 0.5 * 255 / 876 + 255 * 2**-24
    else:
        assert np.abs(found.astype(int) - expected).max() <= 12


def test_every_corpus_has_a_layout_and_its_parts_are_stable_when_it_grows(tmp_path: Path) -> None:
    assert all(layouts_of(corpus.folder) for corpus in CATALOGUE.values())
    assert {layout for _, layout in CASES} == set(PACKAGES) - {"avi"}
    assert [part_of(index) for index in range(7)] == ["train", "train", "test"] * 2 + ["train"]
    assert [place_in_part(index) for index in range(7)] == [0, 1, 0, 2, 3, 1, 4]
    names = [video_name("DHF1K", index, "silent", (32, 64)) for index in range(7)]
    assert names == ["0001", "0002", "0601", "0003", "0004", "0602", "0005"]
    synthesise_corpus(tmp_path, "UCF", 3, spec=SPEC)
    grown = synthesise_corpus(tmp_path, "UCF", 4, spec=SPEC)
    assert (grown.written, grown.kept) == (1, 3)


@pytest.mark.parametrize("layout", ["ntire", "avi", "shots"])
def test_the_seed_fixes_every_byte(tmp_path: Path, layout: str) -> None:
    folder = PACKAGES[layout].corpora[0]
    digests = []
    for name in ("one", "two"):
        synthesise_corpus(tmp_path / name, folder, 3, spec=SPEC, layout=layout)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        digests.append(
            {str(p.relative_to(tmp_path / name)): hashlib.sha256(p.read_bytes()).digest() for p in files}
        )
    assert digests[0] == digests[1]


def test_another_layout_is_another_corpus(tmp_path: Path) -> None:
    synthesise_corpus(tmp_path, "DHF1K", 3, spec=SPEC, layout="vinet")
    with pytest.raises(InputError, match=r"layout: vinet / unisal.*overwrite"):
        synthesise_corpus(tmp_path, "DHF1K", 3, spec=SPEC)
    synthesise_corpus(tmp_path, "DHF1K", 3, spec=SPEC, overwrite=True)
    assert [path.name for path in (tmp_path / "DHF1K").iterdir()] == ["annotation"]
    assert not list((tmp_path / "fold_lists").glob("DHF1K*"))
    assert json.loads((tmp_path / "synthetic.json").read_text())["corpora"]["DHF1K"]["layout"] == "unisal"


def test_impossible_layouts_and_true_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layout of AVAD=vinet is unknown: choose one of stavis"):
        synthesise_corpus(tmp_path, "AVAD", 3, spec=SPEC, layout="vinet")
    (tmp_path / "DHF1K").mkdir()
    with pytest.raises(InputError, match="never overwritten"):
        synthesise_corpus(tmp_path, "DHF1K", 3, spec=SPEC, overwrite=True)


@pytest.mark.parametrize("folder", SOUNDLESS_CORPORA)
def test_ceilings_of_corpora_without_fold_lists_and_sound(tmp_path: Path, folder: str) -> None:
    synthesise_corpus(tmp_path, folder, 3, spec=SPEC)
    assert set(read_conditions(tmp_path, folder).values()) == {"silent"}
    cc = score_corpus(tmp_path, folder)["cc"]
    assert set(cc.index.get_level_values("condition")) == {"silent"}
    assert cc["attended", "silent"] > cc["objects_average", "silent"]
