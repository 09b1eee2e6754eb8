from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.documents import leaderboard_as_csv, render_latex, render_markdown
from lightning_avsp.report.frames import leaderboard_section
from lightning_avsp.report.leaderboard import Leaderboard, read_leaderboard


def board(table, corpus: str = "AVAD", metric: str = "cc") -> Leaderboard:
    return read_leaderboard(corpus, metric, table.runs)


@pytest.fixture
def table(make_table):
    """A sweep with the rows of a published table: L_CE, L_KL, L_MSE."""
    return make_table("diffsal_table5")


def single_run(runs: Path, name: str, value: float, **more) -> Path:
    """The folder of a run, as `lightning fit` and `lightning test` leave it."""
    folder = runs / name / "seed0"
    (folder / "results").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"experiment": name, "seed": 0, "device": "cpu"}))
    (folder / "config.yaml").write_text("data: {split: 1}\n")
    videos = [{"corpus": "AVAD", "video": f"v{n}", "frames": 3, "cc": value} for n in range(3)]
    content = {"videos": videos, "synthetic": [], "selection": "chosen on validation videos", "leaks": []}
    (folder / "results" / "test.json").write_text(json.dumps(content | more))
    return folder


def test_published_models_are_ranked_each_once(table):
    found = board(table)
    names = [entry.name for entry in found.entries]
    assert names[0] == "MUBiC (AV)"
    assert len(set(names)) == len(names)
    assert {"STAViS (AV)", "ViNet (AV)", "CASP-Net (AV)", "TSFP-Net (AV)", "DAVS (AV)"} <= set(names)
    assert {"CaDiff (TV)", "TASED-Net (V)", "ACLNet (V)"} <= set(names)
    values = [entry.values["CC"].mean for entry in found.entries]
    assert values == sorted(values, reverse=True)
    ranks = {entry.name: entry.rank for entry in found.entries}
    # equal numbers share a rank
    assert ranks["TSFP-Net (AV)"] == ranks["AVRSP (AV)"] == ranks["AVRSP (V)"] - 2
    casp = next(entry for entry in found.entries if entry.name == "CASP-Net (AV)")
    assert [place.split(" (")[0] for place in casp.places] == [
        "DiffSal 6",
        "TAVDiff I",
        *("MUBiC 2.5", "MUBiC 4.2"),
        "AVRSP I",
    ]


def test_our_runs_are_shown_by_the_papers_protocol_or_another(table):
    folder = single_run(table.runs, "mine", 0.5)
    videos = [{"corpus": "AVAD", "video": f"v{n}", "frames": 3, "cc": 0.625} for n in range(3)]
    protocols = {"stavis": {"averages": {}, "videos": videos}}
    (folder / "results" / "test_protocols.json").write_text(json.dumps(protocols))
    for protocol, value in (("", 0.625), ("plain", 0.5)):
        found = read_leaderboard("AVAD", "cc", table.runs, protocol)
        (mine,) = [entry for entry in found.entries if entry.ours]
        assert mine.values["CC"].mean == value  # exact in binary
        assert found.notes[0].startswith(f"ours are scored by the protocol {protocol or 'stavis'}")


def test_other_corpora_and_names(table):
    stavis = next(entry for entry in board(table, "Coutrot1", "NSS").entries if entry.name == "STAViS (AV)")
    assert stavis.values["NSS"].mean == 2.11  # all papers but one
    assert (
        "papers disagree on NSS: DiffSal 6 2.11, TAVDiff II 2.21, MUBiC 2.5 2.11, AVRSP II 2.11"
        in stavis.flags
    )
    text = render_markdown([leaderboard_section(board(table, "DIEM"))])
    assert "papers disagree on CC: DiffSal 6 0.579, TAVDiff I 0.580, MUBiC 2.5 0.580, AVRSP I 0.580" in text
    assert "| TAVDiff (TAV) | 1 |" in text
    assert "**0.688**" in text
    found = board(table, "DHF1K", "AUC-J")
    assert found.corpus == "DHF1K"
    assert {"UNISAL (V)", "TMFI-Net (V)"} <= {entry.name for entry in found.entries}
    with pytest.raises(InputError, match="nothing is published on 'MIT1003'"):
        board(table, "MIT1003")
    with pytest.raises(InputError, match="with 'kld'; there is CC, NSS"):
        board(table, metric="kld")


def test_our_runs_stand_among_the_published(table):
    table.finish_all()
    single_run(table.runs, "mine", 0.9)
    found = board(table)
    first = found.entries[0]
    assert (first.name, first.rank, first.ours) == ("mine", 1, True)
    assert any("split 1 of 3 only" in flag for flag in first.flags)
    ours = [entry for entry in found.entries if entry.ours]
    assert [entry.name for entry in ours] == [
        "mine",
        *(f"diffsal_table5 L_{loss}" for loss in ("MSE", "KL", "CE")),
    ]
    assert ours[1].flags == ("6 runs, 2 seeds",)
    interval = ours[1].values["CC"]
    assert interval.low < interval.mean < interval.high


def test_a_trial_counts_once_although_its_attempt_and_training_were_tested_too(table):
    trial = table.trials()[0]
    path = table.finish(trial)
    single_run(path.parent / "attempts", "001", 0.99)
    training = json.loads(path.read_text())["training"]
    results = table.runs / "trainings" / training / "results"
    results.mkdir()
    videos = [{"corpus": "AVAD", "video": "x", "frames": 1, "cc": 0.99}]
    (results / "test.json").write_text(json.dumps({"videos": videos}))
    assert [entry.name for entry in board(table).entries if entry.ours] == ["diffsal_table5 L_CE"]


def test_synthetic_and_contaminated_results_are_never_ranked(table):
    table.finish_all(synthetic=True)
    single_run(table.runs, "seen", 0.99, leaks=["LEAK: 2 test videos were seen"])
    found = board(table)
    assert not any(entry.ours for entry in found.entries)
    assert {(entry.name, entry.synthetic, entry.rank) for entry in found.aside} >= {
        ("seen", False, None),
        ("diffsal_table5 L_CE", True, None),
    }
    section = leaderboard_section(found)
    ranked, aside = render_markdown([section]).split("**Not ranked**")
    assert "(ours)" not in ranked
    assert aside.count("(ours) |") == 4
    assert aside.count("SYNTHETIC") == 1
    rows = list(csv.DictReader(io.StringIO(leaderboard_as_csv(found))))
    assert {row["rank"] for row in rows if row["synthetic"]} == {""}
    assert render_latex([section]).count("SYNTHETIC") == 1


def test_trials_of_other_sweeps_and_with_options_are_named_by_their_values(table, make_table):
    own = make_table("paper_table1")
    own.finish(own.trials()[0])
    table.finish(table.trials()[0], args=["--trainer.max_epochs=1"])
    names = [entry.name for entry in board(table).entries if entry.ours]
    label = table.trials()[0].label
    assert names == [f"diffsal_table5 {label} --trainer.max_epochs=1", f"paper_table1 {label}"]
    single_run(table.runs, "quick", 0.5, test_every=5, test_audio="silent")
    names = [entry.name for entry in board(table).entries]
    assert "quick (every 5th frame only) (audio: silent)" in names
    (table.runs / "quick/seed0/results/test.json").write_text("{")
    with pytest.raises(InputError, match=r"quick/seed0/results/test.json is not a result"):
        board(table)
