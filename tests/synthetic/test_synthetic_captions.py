"""Captions of synthetic videos, and ceilings: what can be reached with and without reading and ears."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_avsp.backbones.tiny_text import VOCABULARY
from lightning_avsp.data.captions.lines import Caption, read_captions, write_captions
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.synthetic import SyntheticSpec, SynthReport, read_video_record
from lightning_avsp.synthetic.captions import (
    COLOUR_NAMES,
    caption_frames,
    write_synthetic_captions,
)
from lightning_avsp.synthetic.ceilings import score_corpus, score_references
from lightning_avsp.synthetic.packages import assign_conditions
from lightning_avsp.synthetic.record import draw_video


@pytest.fixture(scope="module")
def written(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Caption]:
    made = write_synthetic_captions(corpus, "AVAD", tmp_path_factory.mktemp("captions"))
    captions = read_captions(made.path)
    assert made.captions == len(captions) == 6 * 25
    assert made.informative == sum(caption.more["informative"] for caption in captions)
    return captions


def test_informative_captions_name_what_decides(corpus: Path, written: list[Caption]) -> None:
    for caption in written:
        record = read_video_record(corpus, "AVAD", caption.video)
        named = set(caption.text.replace(",", "").split()) & set(COLOUR_NAMES)
        there = {COLOUR_NAMES[kind] for kind in record.kinds}
        if caption.more["informative"]:
            sounding = int(record.sounding[caption.frame - 1])
            decides = record.fastest if sounding < 0 else sounding
            assert named == {COLOUR_NAMES[record.kinds[decides]]}
        else:
            assert named in (set(), there)


def test_the_others_tell_nothing_of_it(corpus: Path) -> None:
    record = read_video_record(corpus, "AVAD", "V1_Sound")
    other = replace(record, sounding=(record.sounding + 1) % len(record.kinds), speeds=record.speeds[::-1])
    for (text, informative, _), (changed, same, _) in zip(
        caption_frames(record, 0.5, np.random.default_rng(0)),
        caption_frames(other, 0.5, np.random.default_rng(0)),
        strict=True,
    ):
        assert informative == same
        assert (text == changed) == (not informative)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_is_what_was_asked_for_and_recorded(corpus: Path, tmp_path: Path, share: float) -> None:
    made = write_synthetic_captions(corpus, "AVAD", tmp_path, informative_share=share)
    assert (
        abs(made.informative / made.captions - share)
        < 4 * np.sqrt(share * (1 - share) / made.captions) + 1e-9
    )
    assert made.agreeing >= 0.7 * made.informative
    assert {caption.more["informative_share"] for caption in read_captions(made.path)} == {share}


def test_the_same_arguments_write_the_same_file_and_thinning_changes_no_caption(
    corpus: Path, tmp_path: Path, written: list[Caption]
) -> None:
    made = write_synthetic_captions(corpus, "AVAD", tmp_path)
    assert read_captions(made.path) == written
    write_synthetic_captions(corpus, "AVAD", tmp_path, seed=1)
    assert read_captions(made.path) != written
    thinned = read_captions(write_synthetic_captions(corpus, "AVAD", tmp_path, every=4).path)
    assert [caption.frame for caption in thinned[:3]] == [3, 7, 11]
    assert set(map(Caption.line, thinned)) < set(map(Caption.line, written))
    said = {word for caption in written for word in re.findall(r"\w+", caption.text)}
    assert said <= set(VOCABULARY)


def test_captions_from_elsewhere_are_not_overwritten(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "AVAD.jsonl"
    write_captions(path, [Caption("V1_Sound", 1, "a dog", "blip")])
    with pytest.raises(InputError, match="captions of blip"):
        write_synthetic_captions(corpus, "AVAD", tmp_path)
    assert read_captions(path)[0].text == "a dog"


@pytest.mark.parametrize(
    ("corpus_name", "settings", "message"),
    [
        ("AVAD", {"informative_share": 1.5}, r"informative_share=1\.5 .* from 0 to 1"),
        ("AVAD", {"every": 0}, "every=0"),
        ("SumMe", {}, "no synthetic SumMe"),
    ],
)
def test_what_cannot_be_captioned_is_refused(
    corpus: Path, tmp_path: Path, corpus_name: str, settings: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_synthetic_captions(corpus, corpus_name, tmp_path, **settings)


def table_of(size: tuple[int, int], videos: int = 60, frame_step: int = 10) -> pd.DataFrame:
    spec = SyntheticSpec(size=size)
    conditions = assign_conditions(spec, videos)
    records = [draw_video(spec, c, 0, "AVAD", index)[1] for index, c in enumerate(conditions)]
    return score_references(spec, records[videos // 2 :], frame_step=frame_step)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return table_of((64, 112))


def test_only_listening_passes_the_average_of_objects_where_sound_decides(
    table: pd.DataFrame,
) -> None:
    cc = table["cc"].xs("sound", level="condition")
    # Margins of .1 and more: with 18 videos the standard error of these means is below .04
    assert cc["fastest"] + 0.08 < cc["video_only_bayes"] < cc["objects_average"]
    assert cc["objects_average"] == pytest.approx(0.6, abs=0.08)
    assert cc["attended"] == pytest.approx(0.93, abs=0.04)
    nss = table["nss"].xs("sound", level="condition")
    assert nss["objects_average"] + 1 < nss["attended"] < 6


@pytest.mark.parametrize("condition", ["music", "silent"])
def test_motion_suffices_where_sound_does_not_decide(table: pd.DataFrame, condition: str) -> None:
    cc = table["cc"].xs(condition, level="condition")
    assert cc["fastest"] == cc["attended"] == pytest.approx(0.93, abs=0.04)
    assert cc["objects_average"] + 0.1 < cc["video_only_bayes"] < cc["fastest"]


def test_ceilings_of_a_corpus_on_disk(avad: SynthReport, tmp_path: Path) -> None:
    rows = score_corpus(avad.root, "AVAD")
    test = (avad.root / "fold_lists/AVAD_list_test_1_fps.txt").read_text().splitlines()
    attended = rows.loc["attended"]
    assert attended["frames"].sum() == 13 * len(test)
    assert attended["cc"].min() > 0.85
    with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
        score_corpus(tmp_path, "AVAD")
