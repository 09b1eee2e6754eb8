"""Ceilings: what can be reached with and without ears, in the order that makes the corpus a diagnostic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.synthetic import SyntheticSpec, SynthReport
from lightning_avsp.synthetic.ceilings import score_corpus, score_references
from lightning_avsp.synthetic.packages import assign_conditions
from lightning_avsp.synthetic.record import draw_video


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


def test_ceilings_hardly_depend_on_the_frame_size(table: pd.DataFrame) -> None:
    large = table_of((128, 224), videos=30, frame_step=25)
    for reference, tolerance in (("attended", 0.03), ("objects_average", 0.1)):
        expected = table["cc"][reference, "sound"]
        assert large["cc"][reference, "sound"] == pytest.approx(expected, abs=tolerance)


def test_ceilings_of_a_corpus_on_disk(avad: SynthReport, tmp_path: Path) -> None:
    rows = score_corpus(avad.root, "AVAD", split=1)
    test = (avad.root / "fold_lists/AVAD_list_test_1_fps.txt").read_text().splitlines()
    attended = rows.loc["attended"]
    assert attended["frames"].sum() == 13 * len(test)
    assert attended["cc"].min() > 0.85
    with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
        score_corpus(tmp_path, "AVAD")
    with pytest.raises(InputError, match="AVAD has no split 9"):
        score_corpus(avad.root, "AVAD", split=9)
