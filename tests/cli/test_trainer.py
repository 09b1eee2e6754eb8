"""The trainer commands through their real entry point, and a guard for each of Lightning's traps."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from commandline import EXPERIMENTS, fit_arguments

from lightning_avsp.cli import main
from lightning_avsp.tasks.loading import load_model


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: trained, validated, tested."""
    import warnings

    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(fit_arguments(corpus, folder, "--test_after_fit=true", "--figures=1"))
    return folder


def load(run: Path, name: str = "last") -> dict:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True, map_location="cpu")


def test_a_run_keeps_what_it_promises(run: Path) -> None:
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert yaml.safe_load((run / "config.yaml").read_text())["experiment"] == "smoke"
    record = json.loads((run / "run.json").read_text())
    assert record["finished"]
    videos = {part: {tuple(key) for key in keys} for part, keys in record["videos"].items()}
    assert videos["train"]
    assert videos["validation"]
    assert not videos["train"] & videos["validation"]
    assert not (videos["train"] | videos["validation"]) & videos["test"]
    assert (run / "figures" / "epoch_000.png").stat().st_size > 1000
    rows = list(csv.DictReader((run / "metrics" / "fit" / "metrics.csv").read_text().splitlines()))
    for column in ("val/cc", "train/epoch_loss", "train/epoch_mse_per_pixel", "lr-Adam"):
        assert any(row.get(column) for row in rows), rows[0]
    results = json.loads((run / "results" / "test.json").read_text())
    assert results["checkpoint"].endswith("best.ckpt")
    assert "test/cc" in results["averages"]
    assert {"test_every", "test_frames", "test_audio", "test_audio_shift", "test_text"} <= set(results)


def test_saved_configuration_feeds_back(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", f"--config={run / 'config.yaml'}", f"--run_dir={tmp_path}", "--print_config"])
    assert stop.value.code == 0
    again = yaml.safe_load(capsys.readouterr().out)
    before = yaml.safe_load((run / "config.yaml").read_text())
    assert again["model"] == before["model"]
    assert again["data"] == before["data"]


def test_a_checkpoint_loads_without_the_command_line(run: Path) -> None:
    model = load_model(run / "checkpoints" / "best.ckpt")
    assert model.spec.size == (64, 128)
    assert model.spec.audio.size == (32, 64)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("state_dict", {}, "does not fit this run"),
        ("loops", {"fit_loop": 1}, "does not fit this run"),
        ("optimizer_states", [{"state": 3}], "does not fit this run"),
        ("input_spec", {"size": "a"}, "input_spec"),
        ("pytorch-lightning_version", None, "not of this project's tasks"),
    ],
)
def test_a_checkpoint_that_cannot_be_resumed_is_one_line(
    run: Path,
    corpus: Path,
    tmp_path: Path,
    refused: Callable[..., str],
    name: str,
    value: object,
    message: str,
) -> None:
    content = load(run)
    if value is None:
        del content[name]
    else:
        content[name] = value
    torch.save(content, tmp_path / "bad.ckpt")
    resumed = (f"--ckpt_path={tmp_path / 'bad.ckpt'}", "--trainer.max_epochs=2")
    error = refused(fit_arguments(corpus, tmp_path / "new", *resumed))
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert message in line


def test_a_network_that_cannot_be_built_is_one_line(
    corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    error = refused(fit_arguments(corpus, tmp_path, "--model.network.video_weights=absent.pth"))
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: no file at absent.pth")
    assert "Union subtypes" not in error


def test_a_finished_run_is_not_overwritten(run: Path, corpus: Path, refused: Callable[..., str]) -> None:
    before = (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert "--overwrite=true" in refused(fit_arguments(corpus, run))
    assert (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


@pytest.mark.parametrize(("command", "lock"), [("fit", "lock"), ("predict", "predict.lock")])
def test_a_second_process_in_the_run_folder_is_refused(
    run: Path, corpus: Path, hold_lock: Callable, refused: Callable[..., str], command: str, lock: str
) -> None:
    other = hold_lock(run, lock)
    said = refused([command, *fit_arguments(corpus, run)[1:], "--ckpt_path=last"], "lightning")
    assert f"{run} is used by process {other.pid} on host " in said


def test_flags_win_over_the_checkpoint_when_resuming(run: Path, corpus: Path) -> None:
    import shutil

    copy = run.with_name(f"{run.name}-resumed")
    shutil.copytree(run, copy)
    changed = ("--model.loss.terms={'kl': 1.0}", "--model.target_noise=0.5")
    main(fit_arguments(corpus, copy, "--ckpt_path=last", "--trainer.max_epochs=2", *changed))
    saved = load(copy)
    assert saved["hyper_parameters"]["target_noise"] == 0.5
    assert saved["hyper_parameters"]["loss"]["init_args"]["terms"] == {"kl": 1.0}
    assert saved["global_step"] == 4
    # the copied run knows that its best checkpoint lies beside it now, and what it scored
    states = [state for key, state in saved["callbacks"].items() if key.startswith("RunCheckpoint")]
    (state,) = [state for state in states if state["monitor"]]
    assert state["best_model_path"] == str(copy / "checkpoints" / "best.ckpt")
    # the first training's metrics are still there, the resumed ones beside them
    assert {p.name for p in (copy / "metrics").iterdir()} >= {"fit", "fit-2"}


def test_checkpoints_hold_no_weight_sources(run: Path) -> None:
    from lightning_avsp.tasks.loading import without_weight_files

    settings = {"network": {"init_args": {"video_weights": "kinetics400", "stages": [{"a_weights": 1}]}}}
    assert without_weight_files(settings) == {"network": {"init_args": {"stages": [{}]}}}
    assert "weight_report" in load(run)


def test_missing_checkpoint_says_what_there_is(run: Path, corpus: Path, refused: Callable[..., str]) -> None:
    arguments = ["test", *fit_arguments(corpus, run)[1:]]
    error = refused([*arguments, "--ckpt_path=nowhere.ckpt"])
    assert "nowhere.ckpt" in error
    assert "best.ckpt" in error
    assert "--ckpt_path best" in refused(arguments)


def test_a_second_wandb_run_keeps_a_configuration_of_its_own(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    for name in ("a", "b"):
        main(fit_arguments(corpus, tmp_path / name, "--wandb=offline", f"--model.target_noise=0.{len(name)}"))
    configs = [yaml.safe_load((tmp_path / name / "config.yaml").read_text()) for name in ("a", "b")]
    assert [c["run_dir"] for c in configs] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert all(list((tmp_path / name / "wandb").glob("offline-run-*")) for name in ("a", "b"))


def test_a_misspelt_key_names_the_class(corpus: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    error = refused(fit_arguments(corpus, tmp_path, "--model.network.atention=standard"))
    assert "atention" in error
    assert "DiffSal" in error


def test_short_overrides_and_a_second_config_reach_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tweak = tmp_path / "tweak.yaml"
    tweak.write_text("model: {init_args: {network: {init_args: {num_stages: 2}}}}\n")
    configs = [f"--config={EXPERIMENTS / 'diffsal_avad.yaml'}", f"--config={tweak}"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *configs, "--model.network.attention=standard", "--print_config"])
    assert stop.value.code == 0
    network = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["network"]["init_args"]
    wanted = {"attention": "standard", "interaction": "mim", "num_stages": 2, "video_encoder": "mvitv2_s"}
    assert {name: network[name] for name in wanted} == wanted


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_pure_16_bit_is_refused(
    corpus: Path, tmp_path: Path, precision: str, refused: Callable[..., str]
) -> None:
    assert "bf16-mixed" in refused(fit_arguments(corpus, tmp_path, f"--trainer.precision={precision}"))


def test_clips_of_another_length_than_the_network_was_built_for_are_refused(
    corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    error = refused(fit_arguments(corpus, tmp_path, "--data.clip.frames=8"))
    assert "8 frames" in error
    assert "16" in error


def test_nothing_is_linked() -> None:
    """Links overwrite or vanish without a word; a sweep could then vary a number that has no effect."""
    source = (EXPERIMENTS.parent / "lightning_avsp" / "cli" / "trainer.py").read_text()
    assert ".link_arguments(" not in source


def test_bf16_mixed_trains_and_keeps_the_schedule_exact(corpus: Path, tmp_path: Path) -> None:
    main(fit_arguments(corpus, tmp_path, "--trainer.precision=bf16-mixed", "--figures=0"))
    assert load(tmp_path)["global_step"] == 2


def test_predict_writes_a_map_for_every_frame_asked_for(run: Path, corpus: Path, tmp_path: Path) -> None:
    arguments = [a for a in fit_arguments(corpus, run)[1:] if "limit_" not in a]
    main(["predict", *arguments, "--ckpt_path=last", "--data.loading.limit_videos=1"], "lightning")
    folders = list((run / "maps" / "AVAD").iterdir())
    assert len(folders) == 1
    assert len(list(folders[0].glob("*.png"))) == 25


def test_a_shared_global_batch_feeds_back_and_another_accumulation_is_refused(
    corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    arguments = fit_arguments(corpus, tmp_path / "a", "--data.global_batch=4", "--figures=0")
    main(arguments)
    config = tmp_path / "a" / "config.yaml"
    assert yaml.safe_load(config.read_text())["trainer"]["accumulate_grad_batches"] == 2
    main(["fit", f"--config={config}", f"--run_dir={tmp_path / 'b'}"])
    again = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    assert (again["data"]["batch_size"], again["trainer"]["accumulate_grad_batches"]) == (2, 2)
    error = refused([*arguments, "--overwrite=true", "--trainer.accumulate_grad_batches=3"])
    assert "accumulates 2 batches of 2, but trainer.accumulate_grad_batches=3" in error


@pytest.mark.parametrize(
    ("option", "obstacle"),
    [
        ("--data.global_batch=4", "2 accumulated batches"),
        ("--trainer.accumulate_grad_batches=2", "2 accumulated batches"),
        ("--activation_checkpointing=true", "--activation_checkpointing true"),
        ("--trainer.devices=2", "2 processes"),
    ],
)
def test_cuda_graphs_are_refused_where_they_do_not_work(
    option: str, obstacle: str, corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    error = refused(fit_arguments(corpus, tmp_path, "--compile=graphs", option))
    assert f"does not work with {obstacle}" in " ".join(error.split())
