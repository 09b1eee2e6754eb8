"""Leaks planted in hand-made run folders are found over any chain; what cannot be known is never called clean."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.callbacks import origins
from lightning_avsp.callbacks.origins import reported_sources, weight_options
from lightning_avsp.cli.audit import leak
from lightning_avsp.evaluation.audit.leaks import LeakFinding, audit_leaks, leak_report

HONEST = "chosen on validation videos held out of the training list"


def make_run(
    path: Path,
    train: str,
    test: str,
    validation: str = "v",
    config: dict[str, Any] | None = None,
    **record: Any,
) -> Path:
    """A run folder; each letter of the lists is a video."""
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    videos = {
        part: [["AVAD", name] for name in names]
        for part, names in (("train", train), ("validation", validation), ("test", test))
    }
    content = {"selection": HONEST, "synthetic": [], "videos": videos, "weights": [], "started_from": {}}
    (path / "run.json").write_text(json.dumps({**content, **record}))
    (path / "config.yaml").write_text(yaml.safe_dump(config or {"ckpt_path": None}))
    return path


def seen(finding: LeakFinding) -> dict[str, set[str]]:
    return {exposure.how: {video for _, video in exposure.videos} for exposure in finding.leaks}


def test_other_parts_of_a_tested_film_are_named_and_no_leak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published splits divide ETMD's films."""
    parts = {"train": ["CHI_1_color", "GLA_1_color"], "validation": ["CRA_1_color"], "test": ["CHI_2_color"]}
    videos = {part: [["ETMD", name] for name in names] for part, names in parts.items()}
    leak([make_run(tmp_path / "run", "", "", videos=videos)])
    printed = capsys.readouterr().out
    assert "its training: other parts of films that are tested: ETMD/CHI" in printed
    assert "0 with a leak, 0 unknown, 1 clean" in printed


def test_training_on_a_test_video_is_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    honest = make_run(tmp_path / "honest", "abc", "xy")
    (finding,) = audit_leaks([honest / "checkpoints" / "last.ckpt"])  # a checkpoint names its run
    assert (finding.run, finding.state, finding.leaks, finding.unknown) == (honest, "clean", [], [])
    leak([honest])  # exit code 0
    run = make_run(tmp_path / "a", "abx", "xy")
    (finding,) = audit_leaks([run])
    assert seen(finding) == {"its training": {"x"}}
    with pytest.raises(SystemExit) as raised:
        leak([run], out=tmp_path / "leak.json")
    assert raised.value.code == 1
    assert "AVAD/x" in capsys.readouterr().out
    assert json.loads((tmp_path / "leak.json").read_text())[0]["state"] == "leak"


def test_selection_on_the_test_list_is_a_leak(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "abc", "xy", validation="xy", selection="chosen on the TEST list: ...")
    (finding,) = audit_leaks([run])
    assert seen(finding) == {"its selection": {"x", "y"}}
    # a record whose lists say nothing is believed where it admits it
    config = {"data": {"validation": {"selection": "test"}}}
    odd = make_run(tmp_path / "b", "abc", "xy", validation="", config=config, selection=None)
    assert seen(audit_leaks([odd])[0]) == {"its selection on its test list": {"x", "y"}}


def test_a_chain_of_three_runs_and_splits(tmp_path: Path) -> None:
    first = make_run(tmp_path / "split1", "xpq", "ab")
    start = {"ckpt_path": str(first / "checkpoints" / "last.ckpt")}
    second = make_run(tmp_path / "split2", "abp", "qr", validation="w", started_from=start)
    make_run(
        tmp_path / "tuned",
        "mn",
        "xw",
        config={"model": {"init_args": {"network": {"init_args": {"video_weights": None}}}}},
        started_from={"model.network.video_weights": str(second / "checkpoints" / "best.ckpt")},  # is gone
    )
    findings = {finding.run.name: finding for finding in audit_leaks([tmp_path])}
    assert findings["split1"].state == "clean"
    (how,) = seen(findings["split2"])
    assert how.startswith("training of")
    assert "split1" in how
    assert seen(findings["split2"])[how] == {"q"}
    by_third = seen(findings["tuned"])
    assert sorted(map(sorted, by_third.values())) == [["w"], ["x"]]
    assert any("split1" in how and "through" in how and "split2" in how for how in by_third)
    assert any(how.startswith("selection of") for how in by_third)
    assert findings["tuned"].unknown == []
    text = "\n".join(leak_report(list(findings.values())).lines())
    assert text.endswith("2 with a leak, 0 unknown, 1 clean")


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_a_chain_is_followed_from_the_configuration_alone(tmp_path: Path, kind: str) -> None:
    first = make_run(tmp_path / "runs" / "one" / "seed0", "xpq", "ab")
    checkpoint = first / "checkpoints" / "last.ckpt"
    named = str(checkpoint if kind == "absolute" else checkpoint.relative_to(tmp_path))
    second = make_run(tmp_path / "runs" / "two" / "seed0", "ab", "x", config={"ckpt_path": named})
    record = json.loads((second / "run.json").read_text())
    del record["started_from"]
    (second / "run.json").write_text(json.dumps(record))
    (finding,) = audit_leaks([second])
    assert list(seen(finding).values()) == [{"x"}]


def test_a_weight_line_of_the_record_is_followed_too(tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", "xpq", "ab")
    line = f"video encoder (tiny): {first / 'checkpoints' / 'last.ckpt'} (31 tensors loaded), frozen"
    second = make_run(
        tmp_path / "two", "ab", "x", weights=[line, "Saliency-UNet: random", "core.video_encoder: frozen"]
    )
    (finding,) = audit_leaks([second])
    assert list(seen(finding).values()) == [{"x"}]


def test_going_on_from_an_own_checkpoint_is_no_origin(tmp_path: Path) -> None:
    run = make_run(tmp_path / "now", "abc", "xy")
    (run / "config.yaml").write_text(yaml.safe_dump({"ckpt_path": str(run / "checkpoints" / "last.ckpt")}))
    assert audit_leaks([run])[0].state == "clean"
    before = {"ckpt_path": "/before/run/checkpoints/last.ckpt", "run_dir": "/before/run"}
    (run / "config.yaml").write_text(yaml.safe_dump(before))
    assert audit_leaks([run])[0].state == "clean"
    (run / "config.yaml").write_text(yaml.safe_dump({**before, "run_dir": "/elsewhere"}))
    assert audit_leaks([run])[0].state == "unknown"


def test_earlier_commands_of_a_folder_count(tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", "p", "q")
    earlier = [
        {"videos": {"train": [["AVAD", "x"]], "validation": [["AVAD", "y"]]}, "started_from": {}},
        {"videos": {}, "started_from": {"ckpt_path": str(first / "checkpoints" / "last.ckpt")}},
    ]
    run = make_run(tmp_path / "two", "abc", "xyp", earlier=earlier)
    found = seen(audit_leaks([run])[0])
    assert found["its training"] == {"x"}
    assert found["its selection"] == {"y"}
    assert {"p"} in found.values()


def test_results_of_another_runs_checkpoint(tmp_path: Path) -> None:
    trained = make_run(tmp_path / "trained", "abc", "xy")
    results = {"videos": [{"corpus": "AVAD", "video": name} for name in "xa"]}
    own = trained / "checkpoints" / "last.ckpt"
    for name, checkpoint in (("trained", own), ("t", own), ("u", tmp_path / "gone.ckpt")):
        (tmp_path / name / "results").mkdir(parents=True)
        content = json.dumps({**results, "checkpoint": str(checkpoint)})
        (tmp_path / name / "results" / "test.json").write_text(content)
    for name in (
        "trained",
        "t",
    ):  # a run tested on another split, and a folder that tests another's checkpoint
        (leaking,) = audit_leaks([tmp_path / name])
        assert seen(leaking) == {"its training": {"a"}}
    (unknown,) = audit_leaks([tmp_path / "u"])
    assert unknown.state == "unknown"
    assert "gone.ckpt is not there" in unknown.unknown[0]


@pytest.mark.parametrize("kind", ["no folder", "no record", "broken record", "no videos", "broken settings"])
def test_unknown_is_never_clean(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path / "one", "abc", "xy")
    if kind == "no folder":
        run = tmp_path / "nowhere"
    elif kind == "no record":
        (run / "run.json").unlink()
    elif kind == "broken record":
        (run / "run.json").write_text('{"videos": ')
    elif kind == "no videos":
        (run / "run.json").write_text(json.dumps({"videos": {"train": [], "test": []}}))
    else:
        (run / "config.yaml").write_text("a: [")
    (finding,) = audit_leaks([run])
    assert finding.state == "unknown"
    assert finding.unknown
    leak([run])  # unknown alone is no failure
    with pytest.raises(SystemExit):
        leak([run], strict=True)


def test_an_origin_that_is_gone_or_unrecorded_is_unknown(tmp_path: Path) -> None:
    loose = tmp_path / "weights.pth"
    loose.write_bytes(b"0")
    bare = tmp_path / "bare"
    (bare / "checkpoints").mkdir(parents=True)
    for index, value in enumerate((str(loose), "/nowhere/x.pth", str(bare / "checkpoints" / "last.ckpt"))):
        run = make_run(
            tmp_path / f"r{index}", "abc", "xy", started_from={"model.network.video_weights": value}
        )
        (finding,) = audit_leaks([run])
        assert finding.state == "unknown", value
    leaking = make_run(
        tmp_path / "both", "abx", "xy", started_from={"model.network.video_weights": str(loose)}
    )
    assert audit_leaks([leaking])[0].state == "leak"  # a leak stays one whatever else is unknown


def test_published_weights_are_known_by_name_and_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "renamed.pth"
    file.write_bytes(b"published")
    start = {"model.network.video_weights": "kinetics400", "model.network.audio_weights": str(file)}
    run = make_run(tmp_path / "one", "abc", "xy", started_from=start)
    assert audit_leaks([run])[0].state == "unknown"
    digest = hashlib.sha256(b"published").hexdigest()[:8]
    source = WeightSource("vggish", "some encoder", f"https://host/name-{digest}.pth", "", 1)
    monkeypatch.setattr(origins, "published_sources", lambda: {"some": source})
    (finding,) = audit_leaks([run])
    assert finding.state == "clean"
    assert any("Kinetics-400" in line for line in finding.checked)


def test_runs_that_started_from_each_other_end(tmp_path: Path) -> None:
    for own, other, train, test in (("one", "two", "a", "x"), ("two", "one", "x", "y")):
        origin = str(tmp_path / other / "checkpoints" / "last.ckpt")
        make_run(tmp_path / own, train, test, started_from={"ckpt_path": origin})
    assert {finding.run.name: finding.state for finding in audit_leaks([tmp_path])} == {
        "one": "leak",
        "two": "clean",
    }


def test_a_generated_video_is_not_the_real_one_of_its_name(tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", "x", "y", synthetic=["AVAD"])
    start = {"ckpt_path": str(first / "checkpoints" / "last.ckpt")}
    second = make_run(tmp_path / "two", "ab", "x", started_from=start)
    assert audit_leaks([second])[0].state == "clean"
    third = make_run(tmp_path / "three", "ab", "x", started_from=start, synthetic=["AVAD"])
    assert audit_leaks([third])[0].state == "leak"


def test_options_and_report_lines() -> None:
    config = {
        "ckpt_path": None,
        "model": {"init_args": {"network": {"init_args": {"video_weights": "kinetics400"}}}},
        "trainer": {"callbacks": [{"init_args": {"ckpt_path": "not this"}}]},
    }
    assert weight_options(config) == {"model.network.video_weights": "kinetics400"}
    lines = [
        "video encoder (mvitv2_s): kinetics400 (340 tensors loaded, 2 left out)",
        "audio encoder (VGGish): /data/vggish.pth (12 tensors loaded), frozen",
        "Saliency-UNet: random",
        "core.audio_encoder: frozen, in eval mode, not optimised",
    ]
    assert reported_sources(lines) == {
        "video encoder (mvitv2_s)": "kinetics400",
        "audio encoder (VGGish)": "/data/vggish.pth",
    }
