import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.planning import Training, TrialPlan, plan_trial
from lightning_avsp.sweep.resolve import TrialArguments, resolve, split_arguments
from lightning_avsp.sweep.shards import SweepPlan
from lightning_avsp.sweep.sweep_file import Trial
from lightning_avsp.sweep.trainings import FitClock, Trainer, TrainingBusyError, TrainingFailedError
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

FAKE = (sys.executable, str(Path(__file__).parent / "fake_fit.py"))


@pytest.fixture(scope="module")
def experiment(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny experiment on the small corpus, and one for a stage before it."""
    folder = tmp_path_factory.mktemp("experiments")
    content = {
        "experiment": "tiny",
        "trainer": {"accelerator": "cpu", "max_epochs": 1},
        "data": {"root": str(corpus), "corpora": ["AVAD"], "split": 1},
        "model": {
            "class_path": "DiffusionSaliencyTask",
            "init_args": {
                "network": {
                    "class_path": "DiffSal",
                    "init_args": {"video_encoder": "tiny", "audio_encoder": "tiny"},
                },
                "sampling": {"steps": 4},
            },
        },
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    (folder / "stage.yaml").write_text(yaml.safe_dump({**content, "experiment": "stage"}))
    content["trainer"]["max_epochs"] = 3
    content["init_from"] = f"stage:{folder / 'first.yaml'}"
    (folder / "second.yaml").write_text(yaml.safe_dump({**content, "experiment": "second"}))
    content["init_from"] = f"stage:{folder / 'second.yaml'}"
    (folder / "first.yaml").write_text(yaml.safe_dump({**content, "experiment": "first"}))
    return folder / "tiny.yaml"


Plan = Callable[..., TrialPlan]


@pytest.fixture
def plan(experiment: Path) -> Plan:
    def make(overrides: dict | None = None, *more: str) -> TrialPlan:
        return plan_trial(TrialArguments(("--config", str(experiment), *more), overrides or {}))

    return make


def trainer(runs: Path, **settings: object) -> Trainer:
    return Trainer(runs, program=FAKE, say=lambda line: None, **settings)


def starts(training: Training, runs: Path) -> list[str]:
    path = training.folder(runs) / "starts.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.is_file() else []


def test_resolving_gives_what_print_config_prints(experiment: Path) -> None:
    arguments = ["--config", str(experiment), "--model.init_args.sampling.steps=7", "--data.split=2"]
    done = subprocess.run(
        [sys.executable, "-m", "lightning_avsp", "fit", *arguments, "--print_config"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert resolve(arguments) == yaml.safe_load(done.stdout)


@pytest.mark.parametrize(
    "same",
    [
        {"model": {"init_args": {"sampling": {"steps": 1}}}},
        {
            "data": {
                "test": {"audio": "silent", "every": 5},
                "num_workers": 0,
                "loading": {"eval_batch_size": 9},
            }
        },
        {"trainer": {"limit_test_batches": 1, "enable_progress_bar": False, "strategy": "ddp"}},
        {"experiment": "other", "run_dir": "x", "wandb": "disabled", "figures": 0, "save_every_steps": 3},
        {"compile": "default", "activation_checkpointing": True, "test_after_fit": True},
        {"model": {"init_args": {"metrics": ["cc"]}}},
    ],
)
def test_what_does_not_decide_the_weights_shares_a_training(plan: Plan, same: dict) -> None:
    assert plan(same).training.name == plan().training.name
    assert plan(same).id != plan().id


@pytest.mark.parametrize(
    "other",
    [
        {"seed_everything": 1},
        {"data": {"split": 2}},
        {"data": {"batch_size": 3}},
        {"trainer": {"max_epochs": 2}},
        {"trainer": {"precision": "bf16-mixed"}},
        {"model": {"init_args": {"network": {"init_args": {"interaction": "none"}}}}},
        {"model": {"init_args": {"timestep_draw": "per_batch"}}},
        {"monitor": "val/nss"},
        {"ema": 0.9},
        {"trainer": {"devices": 2}},
    ],
)
def test_what_decides_the_weights_is_a_training_of_its_own(plan: Plan, other: dict) -> None:
    assert plan(other).training.name != plan().training.name


def test_a_global_batch_makes_the_number_of_processes_unimportant(plan: Plan) -> None:
    one = plan({"data": {"global_batch": 4}}, "--trainer.devices=1")
    two = plan({"data": {"global_batch": 4}}, "--trainer.devices=2")
    assert one.training.name == two.training.name
    assert one.training.name != plan().training.name


def test_the_training_has_the_experiments_sampling_and_the_test_the_trials(plan: Plan) -> None:
    planned = plan({"model": {"init_args": {"sampling": {"steps": 1}}}})
    assert planned.training.config["model"]["init_args"]["sampling"]["steps"] == 4
    assert planned.config["model"]["init_args"]["sampling"]["steps"] == 1
    assert planned.config_hash != plan().config_hash


def test_the_data_decide_wherever_they_lie(plan: Plan, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(corpus)
    assert plan({"data": {"root": str(tmp_path / "elsewhere")}}).training.name == plan().training.name
    spec = SyntheticSpec(size=(64, 128), seconds=2.0)
    synthesise_corpus(tmp_path / "seed5", "AVAD", 6, spec=spec, workers=1, seed=5)
    assert plan({"data": {"root": str(tmp_path / "seed5")}}).training.name != plan().training.name


def test_weights_and_starts_are_named_by_content(plan: Plan, tmp_path: Path) -> None:
    for name, text in (("a.pth", "1"), ("b.pth", "1"), ("c.pth", "2")):
        (tmp_path / name).write_text(text)
    row = {"model": {"init_args": {"network": {"init_args": {}}}}}
    names = []
    for name in ("a.pth", "b.pth", "c.pth"):
        row["model"]["init_args"]["network"]["init_args"] = {"audio_weights": str(tmp_path / name)}
        names.append(plan(row).training.name)
    assert names[0] == names[1] != names[2]
    started = [plan({"init_from": str(tmp_path / n)}).training.name for n in ("a.pth", "b.pth", "c.pth")]
    assert started[0] == started[1] != started[2]
    with pytest.raises(InputError, match=r"none\.ckpt"):
        plan({"init_from": str(tmp_path / "none.ckpt")})


def test_a_stage_is_named_by_content_and_shared(plan: Plan, experiment: Path) -> None:
    stage = f"stage:{experiment.parent / 'stage.yaml'}"
    first = plan({"init_from": stage})
    other = plan({"init_from": stage, "seed_everything": 1, "trainer": {"max_epochs": 2}})
    assert [t.config["experiment"] for t in first.training.chain()] == ["stage", "tiny"]
    assert first.training.stage == other.training.stage
    assert first.training.name not in (other.training.name, plan().training.name)
    # another split of the trial is another split of its stage: its test videos must not have been seen
    elsewhere = plan({"init_from": stage, "data": {"split": 2}})
    assert elsewhere.training.stage != first.training.stage
    # where the computation runs is the trial's; the network is the trial's only if asked for
    row = {"model": {"init_args": {"network": {"init_args": {"interaction": "none"}}}}, "init_from": stage}
    assert plan(row).training.stage == first.training.stage
    row["init_from"] = f"{stage}#model"
    inherited = plan(row).training.stage
    assert inherited is not None
    assert inherited.config["model"]["init_args"]["network"]["init_args"]["interaction"] == "none"


def test_stages_in_a_circle_and_missing_ones_are_refused(plan: Plan, experiment: Path) -> None:
    with pytest.raises(InputError, match="circle"):
        plan({"init_from": f"stage:{experiment.parent / 'first.yaml'}"})
    with pytest.raises(InputError, match="no experiment file"):
        plan({"init_from": "stage:experiments/none.yaml"})


def test_the_last_config_is_taken_as_the_trials_values() -> None:
    given = split_arguments(["--config", "a.yaml", "--config", '{"x": null}'], ["--data.root=/d"])
    assert given.base == ("--config", "a.yaml", "--data.root=/d")
    assert given.overrides == {"x": None}
    assert given.all[-2:] == ("--config", '{"x": null}')
    assert split_arguments(['--config={"x": 1}', "--a=b"]).overrides == {"x": 1}
    assert split_arguments(["--config", "a.yaml"]).overrides == {}
    with pytest.raises(InputError, match="JSON"):
        split_arguments(["--config", "{x}"])


def test_however_many_want_a_training_it_is_trained_once(
    plan: Plan, experiment: Path, tmp_path: Path
) -> None:
    planned = plan({"init_from": f"stage:{experiment.parent / 'stage.yaml'}"}).training
    threads = [threading.Thread(target=trainer(tmp_path).find_or_train, args=(planned,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert planned.stage is not None
    assert starts(planned, tmp_path) == ["new"]
    assert starts(planned.stage, tmp_path) == ["new"]
    used = (planned.folder(tmp_path) / "starts.txt").read_text()
    assert str(planned.stage.folder(tmp_path) / "checkpoints" / "best.ckpt") in used
    assert trainer(tmp_path).find_or_train(planned) == planned.folder(tmp_path)
    assert starts(planned, tmp_path) == ["new"]


def test_a_training_that_was_killed_goes_on_from_its_last_checkpoint(plan: Plan, tmp_path: Path) -> None:
    planned = plan().training
    folder = planned.folder(tmp_path)
    training = trainer(tmp_path)

    def kill() -> None:
        while not (folder / "checkpoints" / "last.ckpt").is_file():
            pass
        assert training.children.current is not None
        os.kill(training.children.current.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(TrainingFailedError, match="-9"):
        training.find_or_train(planned)
    thread.join()
    trainer(tmp_path).find_or_train(planned)
    assert starts(planned, tmp_path) == ["new", "resumed"]
    assert [fit["code"] for fit in FitClock(folder).read()] == [-9, 0]
    assert 0.2 < FitClock(folder).seconds() < 30


def test_a_training_that_fails_says_so_and_may_be_tried_again(plan: Plan, tmp_path: Path) -> None:
    planned = plan({"experiment": "breaks"}).training
    for _ in range(2):
        with pytest.raises(TrainingFailedError, match="code 1"):
            trainer(tmp_path).find_or_train(planned)
    assert starts(planned, tmp_path) == ["new", "resumed"]


def test_a_worker_may_leave_instead_of_waiting(plan: Plan, tmp_path: Path) -> None:
    planned = plan().training
    thread = threading.Thread(target=trainer(tmp_path).find_or_train, args=(planned,))
    thread.start()
    while not starts(planned, tmp_path):
        pass
    with pytest.raises(TrainingBusyError):
        trainer(tmp_path, wait=False).find_or_train(planned)
    thread.join()
    with pytest.raises(TrainingBusyError):
        trainer(tmp_path, wait=False, owned={"other"}).find_or_train(plan({"seed_everything": 8}).training)


def test_a_folder_of_another_run_is_left_alone(plan: Plan, tmp_path: Path) -> None:
    planned = plan().training
    folder = planned.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"finished": true}')
    with pytest.raises(InputError, match="no sweep made"):
        trainer(tmp_path).find_or_train(planned)
    (folder / "training.json").write_text(json.dumps({"name": planned.name, "version": 0}))
    with pytest.raises(InputError, match="another training"):
        trainer(tmp_path).find_or_train(planned)


def test_shards_share_no_training(plan: Plan, experiment: Path) -> None:
    stage = f"stage:{experiment.parent / 'stage.yaml'}"
    points = [
        {"init_from": stage, "seed_everything": seed, "model": {"init_args": {"sampling": {"steps": steps}}}}
        for seed in (0, 1, 2)
        for steps in (1, 2)
    ]
    pairs = [(Trial(p.id, p.overrides, i, (), ""), p) for i, p in enumerate(map(plan, points))]
    planned = SweepPlan(tuple(pairs))
    assert len(planned.trainings) == 4
    assert [t.config["experiment"] for t in planned.stages.values()] == ["stage"]
    parts = [planned.shard(number, 2) for number in (0, 1)]
    assert [len(trials) for trials, _ in parts] == [4, 2]
    assert sorted(name for _, owned in parts for name in owned) == sorted(planned.trainings)
