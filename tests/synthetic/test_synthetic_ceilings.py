"""Ceilings: what can be reached with and without ears, in the order that makes the corpus a diagnostic."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_avsp.errors import CorpusNotFoundError
from lightning_avsp.synthetic import CONDITIONS, SyntheticSpec, SynthReport, VideoRecord
from lightning_avsp.synthetic.ceilings import REFERENCES, Ceiling, ceilings, corpus_ceilings
from lightning_avsp.synthetic.layout import assign_conditions
from lightning_avsp.synthetic.record import draw_video, make_record


def table_of(size: tuple[int, int], videos: int = 60, frame_step: int = 10) -> dict[tuple[str, str], Ceiling]:
    spec = SyntheticSpec(size=size)
    conditions = assign_conditions(spec, videos)
    records: list[VideoRecord] = []
    for index, condition in enumerate(conditions):
        scene, gaze, _ = draw_video(spec, condition, 0, "AVAD", index)
        records.append(make_record(spec, scene, gaze))
    rows = ceilings(spec, records[videos // 2 :], frame_step=frame_step)
    return {(row.reference, row.condition): row for row in rows}


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], Ceiling]:
    return table_of((64, 112))


def test_only_listening_passes_the_average_of_objects_where_sound_decides(
    table: dict[tuple[str, str], Ceiling],
) -> None:
    cc = {reference: table[reference, "sound"].cc for reference in REFERENCES}
    # Margins of .1 and more: with 18 videos the standard error of these means is below .04
    assert cc["fastest"] + 0.08 < cc["video_only_bayes"] < cc["objects_average"]
    assert cc["objects_average"] == pytest.approx(0.6, abs=0.08)
    assert cc["attended"] == pytest.approx(0.93, abs=0.04)
    nss = {reference: table[reference, "sound"].nss for reference in REFERENCES}
    assert nss["objects_average"] + 1 < nss["attended"] < 6


@pytest.mark.parametrize("condition", ["music", "silent"])
def test_motion_suffices_where_sound_does_not_decide(
    table: dict[tuple[str, str], Ceiling], condition: str
) -> None:
    cc = {reference: table[reference, condition].cc for reference in REFERENCES}
    assert cc["fastest"] == cc["attended"] == pytest.approx(0.93, abs=0.04)
    assert cc["objects_average"] + 0.1 < cc["video_only_bayes"] < cc["fastest"]


def test_ceilings_hardly_depend_on_the_frame_size(table: dict[tuple[str, str], Ceiling]) -> None:
    large = table_of((128, 224), videos=30, frame_step=25)
    for reference, tolerance in (("attended", 0.03), ("objects_average", 0.1)):
        assert large[reference, "sound"].cc == pytest.approx(table[reference, "sound"].cc, abs=tolerance)


def test_ceilings_of_a_corpus_on_disk(avad: SynthReport, tmp_path: Path) -> None:
    rows = corpus_ceilings(avad.root, "AVAD", split=1)
    test = (avad.root / "fold_lists/AVAD_list_test_1_fps.txt").read_text().splitlines()
    frames = {(row.reference, row.condition): row.frames for row in rows}
    assert sum(frames.get(("attended", condition), 0) for condition in CONDITIONS) == 13 * len(test)
    attended = [row.cc for row in rows if row.reference == "attended"]
    assert min(attended) > 0.85
    with pytest.raises(CorpusNotFoundError, match="avsp data synth"):
        corpus_ceilings(tmp_path, "AVAD")
    with pytest.raises(CorpusNotFoundError, match="AVAD_list_test_9_fps"):
        corpus_ceilings(avad.root, "AVAD", split=9)
