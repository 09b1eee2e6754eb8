"""Composition of trials, and the names of trainings and tests: everything that decides them, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_avsp.cli import main
from lightning_avsp.errors import InputError
from lightning_avsp.sweep import expand, load_sweep
from lightning_avsp.sweep.composition import lay_option, lookup, split_arguments
from lightning_avsp.sweep.costs import plan_costs
from lightning_avsp.sweep.execution import Runner, run_environment
from lightning_avsp.sweep.planning import SweepPlan, TrialPlan, hand_made_trial, plan_sweep, plan_trial
from lightning_avsp.sweep.preflight import check_plan
from lightning_avsp.sweep.status import find_results
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

NETWORK = "model.init_args.network.init_args"


@pytest.fixture(scope="module")
def experiment(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny experiment on the small corpus, and stages before it."""
    folder = tmp_path_factory.mktemp("experiments")
    network = {"class_path": "DiffSal", "init_args": {"video_encoder": "tiny", "audio_encoder": "tiny"}}
    content: dict[str, Any] = {
        "experiment": "tiny",
        "trainer": {"accelerator": "cpu", "max_epochs": 1},
        "data": {"root": str(corpus), "corpora": ["AVAD"], "split": 1, "batch_size": 4},
        "model": {
            "class_path": "DiffusionSaliencyTask",
            "init_args": {"network": network, "sampling": {"steps": 4}, "optimizer": "optimizer.yaml"},
        },
    }
    (folder / "optimizer.yaml").write_text("class_path: torch.optim.Adam\ninit_args: {lr: 1e-4}\n")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    (folder / "stage.yaml").write_text(yaml.safe_dump({**content, "trainer": {"max_epochs": 2}}))
    for name, other in (("first", "second"), ("second", "first")):
        circle = {**content, "init_from": f"stage:{folder / f'{other}.yaml'}"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(circle))
    return folder / "tiny.yaml"


Plan = Callable[..., TrialPlan]


@pytest.fixture
def plan(experiment: Path) -> Plan:
    def make(row: dict | None = None, *args: str, checkpoint: str = "best", **settings: Any) -> TrialPlan:
        words = ["--config", str(experiment), "--config", json.dumps(row or {})]
        return plan_trial("some", hand_made_trial(words), words, args, checkpoint, **settings)

    return make


def nested(name: str, value: Any) -> dict:
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


def test_a_trial_is_composed_of_files_options_and_its_row(experiment: Path) -> None:
    row = {"model": {"init_args": {"network": {"init_args": {"audio_weights": None}}}}}
    words = ["--config", str(experiment), "--trainer.max_epochs=3", "--config", json.dumps(row)]
    args = ["--model.network.audio_weights=a.pth", "--model.network.video_weights", "v.pth"]
    args.append("--data={size: [1, 2]}")
    composed = split_arguments(words, args).compose()
    assert lookup(composed, "model.optimizer.lr") == 1e-4  # of the file that the experiment names
    assert composed["trainer"] == {"accelerator": "cpu", "max_epochs": 3}
    # the row wins over --args, which win over the experiment
    assert lookup(composed, f"{NETWORK}.audio_weights") is None
    assert lookup(composed, f"{NETWORK}.video_weights") == "v.pth"
    assert composed["data"]["size"] == [1, 2]
    assert composed["data"]["corpora"] == ["AVAD"]


def test_options_hold_for_a_row_that_changes_a_class(plan: Plan) -> None:
    network = {"class_path": "lightning_avsp.papers.mubic.MUBiCRegression", "init_args": {"map_size": [8, 8]}}
    row = {"model": {"class_path": "DirectSaliencyTask", "init_args": {"network": network}}}
    model = plan(row, "--model.network.audio_weights=a.pth").config["model"]
    network["init_args"] = {"map_size": [8, 8], "audio_weights": "a.pth"}
    assert model == {"class_path": "DirectSaliencyTask", "init_args": {"network": network}}
    same = {"network": {"class_path": "a.B", "init_args": {"x": 1}}}
    lay_option(same, "network", {"class_path": "B"})
    assert same["network"] == {"class_path": "B", "init_args": {"x": 1}}
    assert plan(row, "--model.network=AVRSP").config["model"] == model  # a row's own class wins


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "{x}"], "JSON"),
        (["--a=1"], "--config EXPERIMENT"),
        (["--config"], "--NAME=VALUE"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--trainer.devices=2"], "--gpus-per-trial"),
        (["--trainer.callbacks+=x"], "whole list"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_arguments(words).compose()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model.init_args.sampling.steps", 1),
        ("data.test.audio", "silent"),
        ("data.test.every", 5),
        ("data.test.corpora", ["AVAD"]),
        ("trainer.limit_test_batches", 1),
        ("model.init_args.metrics", ["cc"]),
    ],
)
def test_the_settings_of_a_test_name_the_result_alone(plan: Plan, setting: str, value: Any) -> None:
    changed = plan(nested(setting, value))
    assert changed.training.name == plan().training.name
    assert changed.test != plan().test
    assert changed.training.config == plan().training.config  # the experiment's own sampling validates
    if setting != "model.init_args.sampling.steps":
        given = plan(None, f"--{setting}={json.dumps(value)}")  # --args decide the result as a row does
        assert (given.training.name, given.test) == (changed.training.name, changed.test)


@pytest.mark.parametrize(
    "same",
    [
        "--data.num_workers=0 --data.loading.eval_batch_size=9 --trainer.enable_progress_bar=false",
        "--trainer.strategy=ddp --trainer.accelerator=auto --compile=default --deterministic=true",
        "--experiment=other --wandb=disabled --figures=0 --save_every_steps=3 --trainer.max_epochs=1.0",
    ],
)
def test_how_a_run_computes_is_in_no_name(plan: Plan, same: str) -> None:
    assert plan(None, *same.split()).training.name == plan().training.name
    assert plan(None, *same.split()).test == plan().test


@pytest.mark.parametrize(
    "other",
    [
        *("--seed_everything=1", "--data.split=2", "--data.batch_size=3", "--trainer.max_epochs=2"),
        *("--trainer.precision=bf16-mixed", "--model.network.interaction=none", "--monitor=val/nss"),
        *("--model.network=AVRSP", "--ema=0.9", "--model.sampling.steps=1", "--data.global_batch=4"),
    ],
)
def test_what_decides_the_weights_is_in_both_names(plan: Plan, other: str) -> None:
    assert plan(None, other).training.name != plan().training.name
    assert plan(None, other).test != plan().test


def test_a_global_batch_is_shared_by_whatever_divides_it(plan: Plan, tmp_path: Path) -> None:
    twenty = plan(None, "--data.global_batch=20")
    assert plan(None, "--data.global_batch=20", "--data.batch_size=2").training.name == twenty.training.name
    counts = {gpus: Runner(tmp_path, tmp_path, gpus).devices(twenty.config) for gpus in (1, 2, 3, 8, 64)}
    assert counts == {1: 1, 2: 2, 3: 2, 8: 5, 64: 20}
    assert Runner(tmp_path, tmp_path, 8).devices(plan().config) == 1  # the batch is one GPU's


def test_the_checkpoint_that_is_tested_names_the_result(plan: Plan) -> None:
    last = plan(checkpoint="last")
    assert last.training.name == plan().training.name
    assert last.test != plan().test


def test_the_data_decide_wherever_they_lie(plan: Plan, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(corpus)
    assert plan(None, f"--data.root={tmp_path / 'elsewhere'}").training.name == plan().training.name
    spec = SyntheticSpec(size=(64, 128), seconds=2.0)
    synthesise_corpus(tmp_path / "seed5", "AVAD", 6, spec=spec, workers=1, seed=5)
    assert plan(None, f"--data.root={tmp_path / 'seed5'}").training.name != plan().training.name
    with pytest.raises(InputError, match=r"some, row all: no folder"):
        plan(None, "--data.root=/none")
    assert plan(None, "--data.root=/none", with_data=False).test


def test_weights_and_starts_are_named_by_content(plan: Plan, tmp_path: Path) -> None:
    for name, text in (("a.pth", "1"), ("b.pth", "1"), ("c.pth", "2")):
        (tmp_path / name).write_text(text)
    for option in ("model.network.audio_weights", "init_from"):
        names = [plan(None, f"--{option}={tmp_path / name}") for name in ("a.pth", "b.pth", "c.pth")]
        assert names[0].test == names[1].test != names[2].test
        assert names[0].training.name == names[1].training.name != names[2].training.name
    with pytest.raises(InputError, match=r"none\.ckpt"):
        plan(None, "--init_from=none.ckpt")


def test_captions_their_prompt_and_model_are_in_the_names(plan: Plan, tmp_path: Path) -> None:
    args = [f"--data.captions.folder={tmp_path}", f"--data.captions.features={tmp_path / 'features'}"]
    (tmp_path / "features").mkdir()
    names = []
    for prompt, model in (("a", "x"), ("b", "x"), ("a", "y")):
        (tmp_path / "AVAD.jsonl").write_text(
            json.dumps({"video": "v", "frame": 1, "text": "t", "prompt": prompt})
        )
        (tmp_path / "features" / "model.json").write_text(
            json.dumps({"name": model, "is": "longer"[: len(names)]})
        )
        names.append(plan(None, *args))
    assert len({one.training.name for one in names}) == len({one.test for one in names}) == 3


def test_a_stage_is_named_by_content_and_shared(plan: Plan, experiment: Path) -> None:
    stage = f"stage:{experiment.parent / 'stage.yaml'}"
    first = plan({"init_from": stage})
    other = plan({"init_from": stage, "seed_everything": 1, "trainer": {"max_epochs": 5}})
    assert first.training.stage is not None
    assert other.training.stage is not None
    assert first.training.stage.name == other.training.stage.name
    assert first.training.name not in (other.training.name, plan().training.name)
    # another split of the trial is another split of its stage: its test videos must not have been seen
    elsewhere = plan({"init_from": stage, "data": {"split": 2}}).training.stage
    assert elsewhere is not None
    assert elsewhere.name != first.training.stage.name
    # the network is the trial's only if asked for; pretrained encoders are handed on
    row: dict[str, Any] = nested(f"{NETWORK}.interaction", "none")
    same = plan({**row, "init_from": stage}).training.stage
    inherited = plan(
        {**row, "init_from": f"{stage}#model"}, "--model.network.video_weights=kinetics400"
    ).training.stage
    assert same is not None
    assert same.name == first.training.stage.name
    assert inherited is not None
    assert lookup(inherited.config, f"{NETWORK}.interaction") == "none"
    assert lookup(inherited.config, f"{NETWORK}.video_weights") == "kinetics400"
    with pytest.raises(InputError, match="circle"):
        plan({"init_from": f"stage:{experiment.parent / 'first.yaml'}"})
    with pytest.raises(InputError, match="no experiment file"):
        plan({"init_from": "stage:experiments/none.yaml"})


def test_published_tables_start_all_rows_from_one_stage_and_sound_alone_from_none() -> None:
    def stages(name: str) -> dict[str, str | None]:
        planned = plan_sweep(load_sweep(Path("sweeps") / f"{name}.yaml"), with_data=False).trials
        rows = [one.training for one in planned if one.seed == 0 and one.split == 1]
        return {one.label.split()[1]: None if one.stage is None else one.stage.name for one in rows}

    av_tv_ta_tav = stages("tavdiff_table1")
    assert len(av_tv_ta_tav) == 4
    assert len(set(av_tv_ta_tav.values())) == 1
    audio, video, ours = stages("diffsal_table2").values()
    assert audio is None
    assert video == ours is not None


def test_costs_are_counted_from_the_lists(plan: Plan, experiment: Path) -> None:
    stage = f"stage:{experiment.parent / 'stage.yaml'}"
    rows = [plan({"init_from": stage}), plan({"init_from": stage, "data": {"test": {"every": 2}}})]
    first, second = plan_costs(SweepPlan(tuple(rows)))
    assert (first.is_stage, first.epochs, first.tests, first.test_frames) == (True, 2, 0, 0)
    assert (second.is_stage, second.epochs, second.tests) == (False, 1, 2)
    assert second.test_frames == 2 * 25 + 2 * 13  # 2 test videos of 25 frames, once all and once every other
    assert second.clips == round(4 * 0.9)  # 4 videos of one segment, a tenth held out


def test_one_preflight_finds_everything(plan: Plan, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    bad = [
        "--model.network.audio_weights=none.pth",
        "--trainer.accelerator=gpu",
        "--data.captions.folder=none",
    ]
    with pytest.raises(InputError) as caught:
        check_plan(SweepPlan((plan(None, *bad),)), runs, gpus=0, gpus_per_trial=1)
    for fault in ("none.pth", "there is no GPU", "none/AVAD.jsonl", "--model.network.audio_weights"):
        assert fault in str(caught.value)
    (tmp_path / "text.pth").write_text("no weights")
    row = {"model": {"class_path": "DirectSaliencyTask", "init_args": {"network": {"class_path": "AVRSP"}}}}
    args = [f"--model.network.audio_weights={tmp_path / 'text.pth'}", "--model.sampling.steps=2"]
    with pytest.raises(InputError) as caught:
        check_plan(SweepPlan((plan(row, *args),)), runs, gpus=0, gpus_per_trial=1)
    assert "sampling" in str(caught.value)
    assert "DirectSaliencyTask" in str(caught.value)
    assert "text.pth" in str(caught.value)
    with pytest.raises(InputError, match="more than 4 GPUs"):  # 8 on two nodes are in no one's reach
        check_plan(SweepPlan((plan(),)), runs, gpus=4, gpus_per_trial=8)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        check_plan(SweepPlan((plan(),)), tmp_path / "file", gpus=0, gpus_per_trial=1)


@pytest.fixture
def finished_sweep(experiment: Path, tmp_path: Path) -> Path:
    """A sweep file whose trials are finished, with --args."""
    command = ["${program}", "trial", "--config", str(experiment), "--config", "${args_json}"]
    content = {"program": "lightning", "method": "grid", "command": command}
    path = tmp_path / "done.yaml"
    path.write_text(yaml.safe_dump({**content, "parameters": {"seed_everything": {"values": [0, 1]}}}))
    for trial in plan_sweep(load_sweep(path), ["--data.test.every=3"]).trials:
        result = trial.result(tmp_path / "runs")
        result.parent.mkdir(parents=True)
        result.write_text(json.dumps({"trial": trial.trial.id, "args": list(trial.args)}))
    return path


def test_results_are_found_by_their_options(finished_sweep: Path, tmp_path: Path) -> None:
    sweep = load_sweep(finished_sweep)
    ids = {trial.id for trial in expand(sweep)}
    assert find_results(sweep, tmp_path / "runs").keys() == ids
    assert find_results(sweep, tmp_path / "runs", []) == {}  # the paper's run is not the smoke test
    one = next((tmp_path / "runs").glob("sweeps/done/*/result.json"))
    (one.parent.parent / "other").mkdir()
    (one.parent.parent / "other" / "result.json").write_text(json.dumps({"trial": "x", "args": []}))
    with pytest.raises(InputError, match="--args"):
        find_results(sweep, tmp_path / "runs")
    assert find_results(sweep, tmp_path / "runs", ["--data.test.every=3"]).keys() == ids


@pytest.mark.parametrize("command", ["plan", "status", "run"])
def test_looking_and_having_nothing_to_do_import_no_torch(
    finished_sweep: Path, tmp_path: Path, command: str
) -> None:
    words = [
        sys.executable,
        *["-X", "importtime", "-m", "lightning_avsp", "sweep"],
        command,
        str(finished_sweep),
    ]
    words += [f"--runs={tmp_path / 'runs'}", "--args=--data.test.every=3"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lightning_avsp.sweep.planning" in imported
    assert not imported & {"torch", "lightning", "ray", "wandb", "scipy"}
    assert {"plan": "2 trials, 2 trainings", "status": "2 finished", "run": "2 of 2"}[command] in done.stdout


def test_commands_are_printed_and_gpus_are_named(finished_sweep: Path, capsys: pytest.CaptureFixture) -> None:
    main(["sweep", "run", str(finished_sweep), "--dry-run", "--args=--data.test.every=4"])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert shown[0].endswith("--data.test.every=4")
    main(["sweep", "plan", str(finished_sweep), "--args=--data.global_batch=20", "--gpus-per-trial=8"])
    assert "5 of 8 GPUs: batch 20" in capsys.readouterr().out
    main(["sweep", "plan", str(finished_sweep), str(finished_sweep), "--args=--data.root=/none"])
    assert "counted without the data" in capsys.readouterr().out


def test_runs_in_slurm_and_under_the_agent() -> None:
    there = {"SLURM_NTASKS": "1", "WANDB_RUN_ID": "abc", "WANDB_SWEEP_ID": "s", "PATH": "p"}
    agent = run_environment(there, "row", "name", agent=True)
    assert agent["SLURM_JOB_NAME"] == "interactive"  # Lightning starts one process per device itself
    assert (agent["WANDB_RUN_ID"], agent["WANDB_SWEEP_ID"], agent["WANDB_RESUME"]) == ("abc", "s", "allow")
    alone = run_environment(there, "row", "name", agent=False)
    assert (alone["WANDB_RUN_ID"], alone["WANDB_NAME"], alone["PATH"]) == ("name", "row", "p")
    assert "WANDB_SWEEP_ID" not in alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "a"], "--sweep"),
        (["--sweep", "s"], "--config"),
        (["--sweep=s", "--checkpoint=x", "--config=a"], "best"),
    ],
)
def test_a_trial_without_what_it_needs_ends_with_one_line(
    arguments: list[str], message: str, refused: Callable[..., str]
) -> None:
    error = refused(["trial", *arguments])
    assert error.startswith("error: ")
    assert message in error
