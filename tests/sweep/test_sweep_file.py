import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.sweep import expand, load_sweep
from lightning_avsp.sweep.sweep_file import content_name, flatten

COMMAND = ["${env}", "${program}", "trial", "--config", "experiments/smoke.yaml", "--config", "${args_json}"]


def write(folder: Path, **content: Any) -> Path:
    path = folder / "some.yaml"
    whole = {"program": "lightning", "method": "grid", "command": COMMAND, **content}
    path.write_text(yaml.safe_dump({key: value for key, value in whole.items() if value is not None}))
    return path


def test_a_grid_follows_wandbs_order(tmp_path: Path) -> None:
    # by name at every level, the last name fastest, values as listed: what sweeps 0.3.0 enumerates
    path = write(
        tmp_path,
        parameters={
            "seed_everything": {"values": [2, 0]},
            "data": {"parameters": {"split": {"values": [1, 3]}, "corpora": {"value": ["AVAD"]}}},
        },
    )
    trials = expand(load_sweep(path))
    assert [(t.overrides["data"]["split"], t.overrides["seed_everything"]) for t in trials] == [
        (1, 2),
        (1, 0),
        (3, 2),
        (3, 0),
    ]
    assert all(t.overrides["data"]["corpora"] == ["AVAD"] for t in trials)
    assert len({t.id for t in trials}) == 4


def test_run_cap_ends_a_grid_and_equal_points_are_one(tmp_path: Path) -> None:
    values = {"a": {"values": [1, 1.0, 2, 3, 4]}}
    assert len(expand(load_sweep(write(tmp_path, parameters=values)))) == 4
    assert len(expand(load_sweep(write(tmp_path, parameters=values, run_cap=3)))) == 2


def test_commands_keep_every_type(tmp_path: Path) -> None:
    row = {"init_args": {"a": None, "b": True, "c": [1, 2.5], "d": "x y", "e": 1e-05}}
    (trial,) = expand(load_sweep(write(tmp_path, parameters={"model": {"values": [row]}})))
    assert trial.command[:-1] == ("/usr/bin/env", "lightning", *COMMAND[2:-1])
    assert json.loads(trial.command[-1]) == {"model": row}


def test_an_unknown_macro_is_refused_when_the_command_is_made(tmp_path: Path) -> None:
    path = write(tmp_path, parameters={"a": {"value": 1}}, command=["x", "${args_json_file}"])
    with pytest.raises(InputError, match="args_json_file"):
        expand(load_sweep(path))


def test_a_trial_is_named_by_its_values_however_they_are_written() -> None:
    assert content_name({"a": 3, "b": {"c": 1, "d": None}}) == content_name(
        {"b": {"d": None, "c": 1.0}, "a": 3.0}
    )
    assert content_name({"a": 3}) != content_name({"a": "3"})
    assert len(content_name({})) == 12


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"rows": []}, "unknown key 'rows'"),
        ({"method": "gird"}, "gird"),
        ({"method": None}, "no 'method'"),
        ({"run_cap": 0}, "run_cap"),
        ({"command": "lightning fit"}, "must be a list"),
        ({"command": ["a", "--config=${args_json}"]}, "whole element"),
        ({"program": None}, "no 'program'"),
        ({"parameters": {}}, "at least one parameter"),
        ({"parameters": {"a": {"values": []}}}, "at least one value"),
        ({"parameters": {"a": 3}}, "parameter a"),
        ({"parameters": {"a": {"value": 1, "label": "x"}}}, "label"),
        ({"parameters": {"a": {"parameters": {"b": {"label": 1}}}}}, "a.b"),
        ({"parameters": {"a b": {"value": 1}}}, "'a b'"),
    ],
)
def test_what_wandb_refuses_is_refused(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_sweep(write(tmp_path, **{"parameters": {"a": {"value": 1}}, **content}))


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_sweep(write(tmp_path, parameters={"a": 1, "b": {}}, extra=1, method="x"))
    assert all(word in str(caught.value) for word in ("extra", "method 'x'", "parameter a", "parameter b"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"method": "bayes"}, "method: bayes"),
        ({"method": "random"}, "method: random"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3}}, "early_terminate"),
        ({"parameters": {"data": {"parameters": {"lr": {"min": 0.1, "max": 0.5}}}}}, r"data\.lr"),
    ],
)
def test_what_needs_the_server_is_sent_to_the_agent(
    tmp_path: Path, content: dict[str, Any], reason: str
) -> None:
    sweep = load_sweep(write(tmp_path, **{"parameters": {"a": {"values": [1, 2]}}, **content}))
    with pytest.raises(InputError, match=f"{reason} needs W&B's server: .*wandb agent"):
        expand(sweep)


def test_groups_are_flattened_in_order_and_rows_are_told_from_repetitions(tmp_path: Path) -> None:
    given = {"b": {"parameters": {"z": {"values": [1, 2]}, "a": {"value": 2}}}, "a": {"value": 3}}
    assert [parameter.path for parameter in flatten(given)[0]] == [("a",), ("b", "a"), ("b", "z")]
    sweep = load_sweep(write(tmp_path, parameters={**given, "seed_everything": {"values": [0, 1]}}))
    assert sweep.row_count() == 2
    assert [(t.row, t.label, t.overrides["seed_everything"]) for t in expand(sweep)] == [
        (0, "z=1", 0),
        (0, "z=1", 1),
        (1, "z=2", 0),
        (1, "z=2", 1),
    ]


def test_a_missing_file_names_where_sweeps_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sweeps/"):
        load_sweep(tmp_path / "none.yaml")
