"""Every sweep file of the papers: accepted, rendered and parsed, with the rows of its table and networks that build."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from commandline import EXPERIMENTS

from lightning_avsp.data.catalogue import find_corpus, splits_in_mix
from lightning_avsp.report import published_tables
from lightning_avsp.report.measured import dataset_corpus
from lightning_avsp.structures import SaliencyNetwork
from lightning_avsp.sweep import Sweep, Trial, expand, load_sweep
from lightning_avsp.sweep.composition import leaves
from lightning_avsp.sweep.identity import PLACE, TEST_ONLY
from lightning_avsp.sweep.planning import Training, TrialPlan, plan_sweep
from lightning_avsp.tasks.experiment import Experiment

ROOT = EXPERIMENTS.parent
FOLDER = ROOT / "sweeps"
NOT_OF_A_PAPER = ("demo_table1", "smoke")
FILES = [path for path in sorted(FOLDER.glob("*.yaml")) if path.stem not in NOT_OF_A_PAPER]
TABLES = published_tables()
each_sweep = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # commands name experiments/X.yaml


@cache
def plans(path: Path) -> dict[str, TrialPlan]:
    """Every trial of a sweep, planned without the corpora being there."""
    return {plan.trial.id: plan for plan in plan_sweep(load_sweep(path), with_data=False).trials}


@cache
def sweep_and_trials(path: Path) -> tuple[Sweep, list[Trial]]:
    sweep = load_sweep(path)
    return sweep, expand(sweep)


def rows(path: Path) -> dict[str, list[Trial]]:
    """Trials of every row that is ours, by its printed name."""
    _, trials = sweep_and_trials(path)
    by_index = {
        position: name for name, position in TABLES[path.stem].rows.sweep_index.items() if position >= 0
    }
    found: dict[str, list[Trial]] = {name: [] for name in by_index.values()}
    for trial in trials:
        found[by_index[trial.row]].append(trial)
    return found


@cache
def parsed(config: str) -> tuple[Experiment, str]:
    """An experiment and its complete configuration as JSON, every default filled in."""
    experiment = Experiment(("--config", config))
    return experiment, json.dumps(experiment.values, sort_keys=True, default=str)


def of_fit(config: dict[str, Any]) -> str:
    """A composed configuration as `lightning fit` takes it."""
    return json.dumps({**config, "init_from": None})


def state(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network that `lightning fit` would build, full size, without memory."""
    experiment, text = parsed(of_fit(config))
    network = json.dumps(json.loads(text)["model"]["init_args"]["network"])
    if network not in _built:
        made = experiment.build("meta")[0].network
        assert isinstance(made, SaliencyNetwork)
        _built[network] = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    return _built[network]


_built: dict[str, dict[str, tuple[int, ...]]] = {}


@each_sweep
def test_it_is_a_sweep_of_wandb_that_says_what_it_does(path: Path) -> None:
    sweep, trials = sweep_and_trials(path)  # load_sweep refuses what W&B's schema refuses
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# avsp sweep run sweeps/{path.name} ")
    names = ("name", "program", "method", "metric")
    metric = {"name": "test/cc", "goal": "maximize"}
    assert [sweep.content[name] for name in names] == [path.stem, "lightning", "grid", metric]
    full = {key: value for key, value in sweep.content.items() if key != "run_cap"}
    assert sweep.content["run_cap"] == len(trials) == len(expand(Sweep(path, full)))
    assert f"= {len(trials)} points" in path.read_text()
    assert {trial.overrides["seed_everything"] for trial in trials} == {0, 1, 2}


@each_sweep
def test_wandbs_agent_renders_commands_of_a_trial(path: Path) -> None:
    _, trials = sweep_and_trials(path)
    for trial in trials:
        env, program, command, option, name, *chosen, config, experiment, config_too, values = trial.command
        assert chosen == (["--checkpoint=last"] if path.stem.startswith("mubic") else [])
        assert (env, program, command, option, name) == (
            "/usr/bin/env",
            "lightning",
            "trial",
            "--sweep",
            path.stem,
        )
        assert config == config_too == "--config"
        assert (ROOT / experiment).is_file()
        assert json.loads(values) == trial.overrides


@each_sweep
def test_every_row_is_another_and_builds_and_takes_what_its_stage_learned(path: Path) -> None:
    points = [of_row[0] for of_row in rows(path).values()]
    for trial in points:
        training = plans(path)[trial.id].training
        own = state(training.config)
        assert own
        if training.stage is not None:
            stage = state(training.stage.config)
            if training.config.get("init_absent") == "drop":
                stage = {tensor: shape for tensor, shape in stage.items() if tensor in own}
            assert stage
            assert stage.items() <= own.items()
    points.append(list(rows(path).values())[-1][-1])  # of the last seed, split and sets
    texts = {parsed(of_fit(plans(path)[trial.id].config))[1] for trial in points}
    assert len(texts) == len({trial.id for trial in points})


@each_sweep
def test_it_has_the_rows_of_its_table(path: Path) -> None:
    sweep, trials = sweep_and_trials(path)
    table = TABLES[path.stem]
    own = table.rows[~table.rows.external]
    assert list(own.sweep_index) == list(range(sweep.row_count()))
    found = rows(path)
    assert {len(of_row) for of_row in found.values()} == {len(trials) // len(own)}
    for dataset in table.corpora:  # every printed column is tested, in every row
        corpus = dataset_corpus(dataset)[0]
        assert all(any(corpus in t.overrides["data"]["corpora"] for t in of_row) for of_row in found.values())


@each_sweep
def test_its_splits_exist_and_a_single_list_is_used_once(path: Path) -> None:
    _, trials = sweep_and_trials(path)
    asked = {(tuple(t.overrides["data"]["corpora"]), t.overrides["data"]["split"]) for t in trials}
    for names, split in asked:
        splits_in_mix([find_corpus(name) for name in names], split)
    columns = [dataset_corpus(name)[0] for name in TABLES[path.stem].corpora]
    one_list = {name for name in columns if name == "DIEM" or len(find_corpus(name).splits) == 1}
    if one_list == set(columns):
        assert {split for _, split in asked} == {1}
    else:
        assert {split for _, split in asked} == {1, 2, 3}


def trainings(path: Path, trial: Trial) -> list[str]:
    """Names of the trainings of a trial, stages first."""
    return [one.name for one in plans(path)[trial.id].training.chain()]


def test_trainings_have_one_name_exactly_if_their_complete_settings_are_alike() -> None:
    # names are made of what files and rows write; that must tell apart what every default filled in tells apart
    unused = (*PLACE, *TEST_ONLY[1:], "data.batch_size", "trainer.accumulate_grad_batches")

    def complete(training: Training) -> str:
        settings = leaves("", json.loads(parsed(of_fit(training.config))[1]))
        kept = {n: v for n, v in settings if not any(n == key or n.startswith(f"{key}.") for key in unused)}
        before = complete(training.stage) if training.stage else None
        return json.dumps([kept, training.config["data"]["corpora"], before], sort_keys=True)

    first = [p for path in FILES for p in plans(path).values() if (p.seed, p.split) == (0, 1)]
    every = {one.name: one for plan in first for one in plan.training.chain()}
    assert len({complete(training) for training in every.values()}) == len(every) > 70


def test_the_readme_lists_every_sweep_with_its_table() -> None:
    lines = (FOLDER / "README.md").read_text().splitlines()
    for path in FILES:
        assert any(line.startswith(f"| `{path.name}` | {TABLES[path.stem].paper} ") for line in lines), (
            path.name
        )


@pytest.mark.parametrize("name", ["diffsal_fig4", "tavdiff_fig5", "mubic_steps"])
def test_denoising_steps_share_one_training(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    first = [plans(path)[of_row[0].id] for of_row in rows(path).values()]
    assert len({plan.training.name for plan in first}) == 1
    assert len({plan.test for plan in first}) == len(first)


def test_the_full_model_is_trained_once_for_all_tables_of_a_paper() -> None:
    full = {
        "diffsal_table6": ["diffsal_table1:+ECA+MIM", "diffsal_table3:DiffSal(w/ MIM)", "diffsal_table4:ECA"],
        "tavdiff_table1": ["tavdiff_table3:Saliency-DiT", "tavdiff_table5:SITR", "tavdiff_fig5:steps=4"],
        "mubic_table42": ["mubic_table43:MUBiC (Full)", "mubic_steps:steps=4"],
        "avrsp_table3": ["avrsp_table4:Audio-Visual 3", "avrsp_table5:RAVF(Ours)"],
    }
    for name, others in full.items():
        path = FOLDER / f"{name}.yaml"
        whole = trainings(path, list(rows(path).values())[-1][0])
        for other in others:
            sweep, row = other.split(":")
            assert trainings(FOLDER / f"{sweep}.yaml", rows(FOLDER / f"{sweep}.yaml")[row][0]) == whole, other
    alone, finetuned = FOLDER / "diffsal_table8.yaml", FOLDER / "diffsal_table6.yaml"
    dhf1k = next(t for t in rows(alone)["Our(DiffSal)"] if t.overrides["data"]["corpora"] == ["DHF1K"])
    stage = trainings(finetuned, rows(finetuned)["Ours(DiffSal)"][0])[0]
    assert trainings(alone, dhf1k) == [stage]  # seed 0 of table 8 is the first stage of the others


def test_every_table_has_its_sweep() -> None:
    # a survey of others' numbers has no row to train
    trained = {name for name, table in TABLES.items() if not table.rows.external.all()}
    assert {path.stem for path in FILES} == {name for name in trained if TABLES[name].course is None}
